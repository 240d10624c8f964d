"""Profiles: where the application runs, in short typed YAML (`profiles/*.yaml`); unknown keys are refused.

What a profile leaves out keeps the deployment's own default (deployments/*.py). Serve drops unknown keys of its configs
silently, so profiles are our own models, and Serve's are built from them (cluster/render.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from packshot.errors import BadInput

DEPLOYMENTS = ("gateway", "sam_encoder", "mask_decoder", "canny", "generator", "director")
GPU_STAGES = ("sam_encoder", "mask_decoder", "generator")
MAX_DEVICE_SHARE = 0.95
"""The rest of a device is left to what no plan knows: fragmentation, other processes' contexts."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Strict):
    """An autoscaling range. `target_ongoing`: calls under way that one replica is meant to hold."""

    min: int = Field(1, ge=0)
    max: int = Field(1, ge=1)
    target_ongoing: float | None = Field(None, gt=0)
    upscale_delay_s: float | None = Field(None, ge=0)
    downscale_delay_s: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _range(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"replicas.min must be ≤ replicas.max, got {self.min} and {self.max}")
        return self


class Stage(Strict):
    """One deployment's numbers. `gpu_share`: fraction of one device, CUDA context included."""

    replicas: Replicas | None = None
    cpus: float | None = Field(None, ge=0)
    gpu_share: float | None = Field(None, gt=0, le=1)
    max_ongoing: int | None = Field(None, ge=1)
    tunables: dict[str, int] | None = None


class Local(Strict):
    """Limits of the cluster that `packshot serve` starts on this machine."""

    cpus: float = Field(2, gt=0)
    object_store_mib: int = Field(256, ge=80)


class Profile(Strict):
    """Where the application runs."""

    name: str
    sentence: str
    device: Literal["cpu", "cuda"]
    device_gib: float | None = Field(None, gt=0, description="Memory of each GPU that the shares were planned for.")
    pack: str = ""
    threads: dict[Literal["encoder", "decoder", "generator"], int] = Field(default_factory=dict)
    local: Local = Local()
    stages: dict[Literal["gateway", "sam_encoder", "mask_decoder", "canny", "generator", "director"], Stage] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _shares_fit_one_device(self) -> Profile:
        shares = {name: stage.gpu_share for name, stage in self.stages.items() if stage.gpu_share}
        if self.device == "cpu" and shares:
            raise ValueError(f"a cpu profile has no GPU to share, got {shares}")
        if self.device == "cuda":
            if set(shares) != set(GPU_STAGES):
                raise ValueError(f"exactly {', '.join(GPU_STAGES)} take GPU shares, got {shares}")
            total = sum(shares.values())
            if total > MAX_DEVICE_SHARE + 1e-9:
                raise ValueError(f"GPU shares must sum to ≤ {MAX_DEVICE_SHARE} per device, got {total:.3f}: {shares}")
        return self


def profile_names() -> list[str]:
    """The profiles that ship."""
    return sorted(Path(file.name).stem for file in _files())


def load_profile(name: str) -> Profile:
    """The profile of that name, or at that path. Raises BadInput with every fault of the file."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise BadInput("bad_usage", f"a profile's path must be a file, got {name!r}")
        text = path.read_text()
    elif name in profile_names():
        text = resources.files("cluster").joinpath("profiles", f"{name}.yaml").read_text()
    else:
        raise BadInput("bad_usage", f"profile must be one of {', '.join(profile_names())} or a YAML file, got {name!r}")
    try:
        return Profile.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        faults: list[dict[str, Any]] = [{"loc": list(row["loc"]), "msg": row["msg"]} for row in error.errors()]
        raise BadInput("bad_usage", f"profile {name}: {error}", errors=faults) from error


def _files() -> Iterator[Any]:
    for file in resources.files("cluster").joinpath("profiles").iterdir():
        if file.name.endswith(".yaml"):
            yield file
