"""A pack's manifest: the networks of its roles, the sources of their files, and the pack's defaults and limits.

docs/packs.md describes every field. Unknown fields are refused, so a misspelt field is found when the pack is read and
not when a shot runs.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from packshot.contract.engines import EngineInfo
from packshot.contract.shot_spec import Canvas, ConditionKind, Sampler
from packshot.errors import FieldError, PackRefused
from packshot.models.packs.endpoint import Endpoint
from packshot.models.packs.framing import Tiling, framing, max_windows, nearest_bucket, tilings
from packshot.models.packs.kinds import PackKind, with_kind
from packshot.models.packs.licence import Terms, with_terms
from packshot.models.packs.recipes import capabilities_of
from packshot.models.packs.roles import (
    CLASSES_OF_ROLE,
    CONTROL_ROLES,
    REFERENCE_ROLES,
    RENDER_ROLES,
    SCENE_CLASSES,
    SEE_PICTURES,
    UNION_CLASSES,
    ClassName,
    Recipe,
    ReferenceForm,
    RoleName,
)
from packshot.types import Framing

Family = Literal["mini", "sd15", "sd2", "sdxl", "flux2", "zimage", "remote", "segmenter"]
AROUND_PRODUCTS: frozenset[Family] = frozenset({"mini"})
"""The families whose networks learned to paint a scene around products alone, and not to continue a given scene."""
PredictionType = Literal["epsilon", "v_prediction", "sample", "flow_prediction", "none"]
ControlChannel = Literal[
    "canny",
    "product",
    "depth",
    "normal_left",
    "normal_up",
    "normal_front",
    "segmentation_red",
    "segmentation_green",
    "segmentation_blue",
    "pose_red",
    "pose_green",
    "pose_blue",
    "masked_red",
    "masked_green",
    "masked_blue",
]
CHANNELS_OF_KIND: dict[ConditionKind, tuple[ControlChannel, ...]] = {
    "canny": ("canny", "canny", "canny"),
    "depth": ("depth", "depth", "depth"),
    "normal": ("normal_left", "normal_up", "normal_front"),
    "segmentation": ("segmentation_red", "segmentation_green", "segmentation_blue"),
    "pose": ("pose_red", "pose_green", "pose_blue"),
}
"""The control image of each condition of a union ControlNet."""

PICKLED = (".pth", ".pt", ".bin")
WEIGHT_SUFFIXES = (".safetensors", *PICKLED)
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = tuple[int, int]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSpec(_Strict):
    """One file of a role.

    `sha256` is the hash of its bytes. Only a file of the hub may leave it out; its pinned revision then identifies it.
    `bytes` is its size.
    """

    sha256: Sha256 | None = None
    bytes: int | None = Field(None, gt=0)


class HubSource(_Strict):
    """The place of a role's files on the model hub.

    `revision` is a commit (40 hexadecimal digits) or a branch, whose files may change. `subfolder` is the folder of the
    files inside the repository.
    """

    repo: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
    revision: str = Field(min_length=1)
    subfolder: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, so that its files cannot change."""
        return len(self.revision) == 40 and all(digit in "0123456789abcdef" for digit in self.revision)


class RoleSpec(_Strict):
    """One network, tokenizer or scheduler of a pack.

    Without `source`, the files lie beside the manifest. `config` holds the arguments of the class's constructor.
    `files` maps relative paths to hashes and sizes; several safetensors files are shards of one state.
    Of a ControlNet, `control_channels` lists the content of each channel of the control image. `control_types` makes it
    a union ControlNet: the place of each condition in its vector of control types; their channels are given. `scale` is
    the weight of one that guides every scene, `controlnet_inpaint`.
    """

    class_name: ClassName
    licence: str = Field(min_length=1)
    source: HubSource | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, FileSpec] = Field(default_factory=dict)
    control_channels: tuple[ControlChannel, ...] = ("canny", "canny", "canny")
    control_types: dict[ConditionKind, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    scale: float = Field(1.0, ge=0, le=2)

    @field_validator("class_name", mode="before")
    @classmethod
    def _steps_can_be_shared(cls, name: object) -> object:
        shared = CLASSES_OF_ROLE["scheduler"]
        if isinstance(name, str) and name.endswith("Scheduler") and name not in shared:
            rule = "a scheduler must need one call of the networks for each step, so that requests can share it"
            raise ValueError(f"{rule}; got {name}, use one of {', '.join(shared)}")
        return name

    @field_validator("files")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, FileSpec]) -> dict[str, FileSpec]:
        for path in files:
            parts = PurePosixPath(path).parts
            if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path or ":" in path:
                raise ValueError(f"file paths must be relative and stay in the pack's folder, got {path!r}")
        return files

    @model_validator(mode="after")
    def _files_have_hashes(self) -> RoleSpec:
        for path, spec in self.files.items():
            if spec.sha256 is None and self.source is None:
                raise ValueError(f"a file beside the manifest must state its sha256, {path!r} does not")
            if spec.sha256 is None and path.endswith(PICKLED):
                raise ValueError(f"a pickle file must state its sha256, {path!r} does not")
        return self

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The paths of the files that hold weights."""
        return tuple(path for path in self.files if path.endswith(WEIGHT_SUFFIXES))


class Defaults(_Strict):
    """The engine's sampling defaults.

    `prompt` replaces a prompt without any known word; empty = no replacement. `guidance_rescale` is the share of the
    guided prediction that is rescaled to the prompt's own contrast, 0 = off (0.7 suits zero-terminal-SNR v-prediction).
    """

    prompt: str = ""

    steps: int = Field(20, ge=1)
    guidance_scale: float = Field(7.5, ge=0)
    control_scale: float = Field(0.8, ge=0)
    guidance_rescale: float = Field(0.0, ge=0, le=1)


class Limits(_Strict):
    """The largest values of a brief. A shot that exceeds one is refused; values are not clipped."""

    max_steps: int = Field(150, ge=1, le=1000)
    max_guidance_scale: float = Field(30.0, ge=1)
    max_control_scale: float = Field(2.0, ge=0)


class PackManifest(_Strict):
    """The content of manifest.yaml. Sizes are (width, height) in pixels, and memory is in GiB.

    `recipe` is how the pack paints. `endpoint` is the vendor's service that a remote engine calls. `controls` are the
    conditions besides canny whose ControlNets are used unless the setting `controls` names others. `samplers` are those
    that a request may name; a distilled pack lists `lcm`. `references` is whether reference pictures are served unless
    the setting `references` says otherwise.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    title: str = Field(min_length=1)
    kind: PackKind = "engine"
    family: Family
    recipe: Recipe = "unet_controlnet"
    licence: str = Field(min_length=1)
    terms: Terms
    renderable: bool = True
    reason: str = ""
    native_px: Size
    buckets: tuple[Size, ...] = Field(min_length=1)
    prediction_type: PredictionType
    controls: tuple[ConditionKind, ...] = ()
    samplers: tuple[Sampler, ...] = ()
    references: bool = False
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    memory_gib: dict[RoleName, float] = Field(default_factory=dict)
    endpoint: Endpoint | None = None
    roles: dict[RoleName, RoleSpec]

    @model_validator(mode="before")
    @classmethod
    def _older_and_shorter_forms(cls, content: Any) -> Any:
        return with_kind(with_terms(content))

    @model_validator(mode="after")
    def _whole(self) -> PackManifest:
        for role, spec in self.roles.items():
            if spec.class_name not in CLASSES_OF_ROLE[role]:
                raise ValueError(f"{role} must be one of {', '.join(CLASSES_OF_ROLE[role])}, got {spec.class_name}")
        if self.renderable:
            needed = RENDER_ROLES[self.recipe]
            missing = [role for role in needed if role not in self.roles]
            if missing:
                rule = f"a renderable pack of recipe {self.recipe} must have the roles {', '.join(needed)}"
                raise ValueError(f"{rule}; missing: {', '.join(missing)}")
            if (self.recipe == "remote") != (self.endpoint is not None):
                raise ValueError("a renderable pack of recipe remote must have an endpoint, and no other pack may")
        elif not self.reason:
            raise ValueError("a pack that cannot render must state why in `reason`")
        for kind in self.controls:
            if kind not in self.possible_controls or kind == "canny":
                raise ValueError(f"controls must name conditions that have a ControlNet, got {kind}")
        self._control_channels_fit()
        if self.samplers and self.recipe != "unet_controlnet":
            raise ValueError(f"samplers are of the recipe unet_controlnet alone, got {self.recipe}")
        if "euler" in self.samplers and self.prediction_type == "sample":
            raise ValueError("samplers must not have euler where prediction_type is sample, which it does not know")
        if self.references and self.reference_form is None:
            raise ValueError(f"a pack that serves references must have the roles {', '.join(REFERENCE_ROLES)}")
        if self.native_px not in self.buckets:
            raise ValueError(f"native_px {self.native_px} must be one of the buckets")
        if any(side < 1 for bucket in self.buckets for side in bucket):
            raise ValueError("bucket sides must be at least 1 px")
        if self.defaults.steps > self.limits.max_steps:
            raise ValueError(f"default steps {self.defaults.steps} must be within max_steps {self.limits.max_steps}")
        return self

    def _control_channels_fit(self) -> None:
        """Raise ValueError for a ControlNet whose control image shows something else than its condition."""
        net = self.roles.get("controlnet")
        if net and (net.class_name in UNION_CLASSES) != ("canny" in net.control_types):
            rule = f"control_types, with canny, if it is a {' or '.join(UNION_CLASSES)}, and only then"
            raise ValueError(f"controlnet must state {rule}; got {net.class_name} with {net.control_types}")
        shown: list[tuple[RoleName, str]] = [(self.control_role(kind), kind) for kind in self.possible_controls]
        if "controlnet_inpaint" in self.roles:
            shown.append(("controlnet_inpaint", "masked"))
        for role, what in shown:
            if self.roles[role].control_types:
                continue
            channels = self.roles[role].control_channels
            strange = [name for name in channels if name != "product" and name.split("_")[0] != what]
            if strange:
                raise ValueError(f"control_channels of {role} must be of {what} or product, got {strange}")

    def control_role(self, kind: ConditionKind) -> RoleName:
        """The role of the ControlNet that serves a condition: its own, or the union ControlNet."""
        union = self.roles.get("controlnet")
        return "controlnet" if union and kind in union.control_types else CONTROL_ROLES[kind]

    @property
    def possible_controls(self) -> tuple[ConditionKind, ...]:
        """The conditions for which the pack names a ControlNet, canny first."""
        return tuple(kind for kind in CONTROL_ROLES if self.control_role(kind) in self.roles)

    def unused_roles(self, controls: tuple[ConditionKind, ...]) -> set[RoleName]:
        """The ControlNets of conditions that are not served. `controls` are those that are."""
        return set(CONTROL_ROLES.values()) - {self.control_role(kind) for kind in controls}

    def bucket(self, width_px: int, height_px: int) -> Size:
        """The bucket that is nearest to a canvas in aspect ratio and area (`nearest_bucket`)."""
        return nearest_bucket((width_px, height_px), self.buckets)

    def framing(self, canvas: Canvas) -> Framing:
        """How a canvas shows its scene: a whole bucket, or the middle of a larger scene that is not stretched."""
        size = (canvas.width, canvas.height)
        return framing(size, self.bucket(*size), self.buckets, self.native_px, max_windows(self.recipe))

    def tiling(self, width_px: int, height_px: int) -> Tiling | None:
        """The windows of a scene of this size; None when the pack cannot paint at this size."""
        return tilings(self.buckets, max_windows(self.recipe)).get((width_px, height_px))

    @property
    def reference_form(self) -> ReferenceForm | None:
        """How the pack's engine can read reference pictures; None when it cannot."""
        if all(role in self.roles for role in REFERENCE_ROLES):
            return "embedding"
        return "picture" if self.recipe in SEE_PICTURES else None

    @property
    def detector_reads(self) -> Literal["photo", "embedding"] | None:
        """Which of a photo's forms the pack's detector takes; None when the pack has none."""
        spec = self.roles.get("detector")
        return None if spec is None else "embedding" if spec.class_name == "NameFinder" else "photo"

    @property
    def sees_scenes(self) -> bool:
        """Whether the pack's geometry network was trained on scenes, so that it knows the depth of a whole picture."""
        spec = self.roles.get("geometry")
        return spec is not None and spec.class_name in SCENE_CLASSES

    @property
    def own_controls(self) -> tuple[ConditionKind, ...]:
        """The conditions that the pack serves unless a setting names others, canny first."""
        return tuple(kind for kind in self.possible_controls if kind == "canny" or kind in self.controls)

    def summary(
        self, controls: tuple[ConditionKind, ...] | None = None, *, references: bool | None = None
    ) -> EngineInfo:
        """The pack's public description, without paths of this machine.

        `controls` are the conditions that it serves, and `references` says whether it serves reference pictures; None =
        the manifest's own. A network that is not used has no licence in it.
        """
        controls = self.own_controls if controls is None else controls
        references = self.references if references is None else references
        unused = self.unused_roles(controls) | (set() if references else set(REFERENCE_ROLES))
        licences = {role: spec.licence for role, spec in self.roles.items() if role not in unused}
        more = {
            "licences": licences,
            "capabilities": capabilities_of(self, controls, references=references),
            "commercial": self.terms.commercial != "no",
            "price_device_s": 0.0 if self.endpoint is None else self.endpoint.price_device_s,
        }
        return EngineInfo.model_validate(self.model_dump(exclude={"roles", "memory_gib", "endpoint"}) | more)


def read_manifest(path: Path) -> PackManifest:
    """Read the manifest in the file `path`. Raises PackRefused (pack_mismatch), which lists every invalid field."""
    try:
        # libyaml takes a seventh of the 20 ms of PyYAML's own loader; lists of packs read all manifests.
        return PackManifest.model_validate(yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader))
    except ValidationError as error:
        rows: list[FieldError] = [{"loc": list(row["loc"]), "msg": row["msg"]} for row in error.errors()]
        listed = "; ".join(f"{'.'.join(map(str, row['loc'])) or 'manifest'}: {row['msg']}" for row in rows)
        raise PackRefused(
            "pack_mismatch", f"{path.name} of pack {path.parent.name!r}: {listed}", errors=rows
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackRefused("pack_mismatch", f"{path.name} of pack {path.parent.name!r} is not YAML: {error}") from error


__all__ = [
    "Defaults",
    "FileSpec",
    "HubSource",
    "Limits",
    "PackManifest",
    "RoleSpec",
    "read_manifest",
]
