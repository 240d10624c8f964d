"""A pack -> its engine: each recipe has a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from packshot.batching.renders import Engine
from packshot.errors import PackRefused
from packshot.models.adapters.file import AdapterFile
from packshot.models.packs.pack import Pack

if TYPE_CHECKING:
    import torch

__all__ = ["PackEngine", "load_engine"]


class PackEngine(Engine[Any], Protocol):
    """The engine of a pack, as the processes that serve it see it."""

    pack: Pack

    def load_adapter(self, file: AdapterFile) -> Any:
        """Put a read adapter on the device. Raises BadInput: engine_cannot, or adapter_mismatch."""
        ...

    def step_seconds(self, rows: Sequence[int] = ...) -> dict[int, float]:
        """Measure this machine's batch curve: the seconds of a step at the native size for each number of rows."""
        ...


def load_engine(pack: Pack, device: torch.device | str, dtype: torch.dtype, *, freeze: bool = False) -> PackEngine:
    """Load the pack's engine on a device. `dtype` is the number format of its networks.

    `freeze` traces small networks on a CPU at their first step, for processes that serve. Raises PackRefused when parts
    of the pack are missing, were altered, or do not fit together.
    """
    pack.check()
    match pack.manifest.recipe:
        case "unet_controlnet":
            from packshot.models.engines.unet_controlnet import DiffusionEngine

            return DiffusionEngine(pack, device, dtype, freeze=freeze)
        case "flow_edit":
            from packshot.models.engines.flow_edit import FlowEditEngine

            return FlowEditEngine(pack, device, dtype)
        case "flow_control":
            from packshot.models.engines.flow_control import FlowControlEngine

            return FlowControlEngine(pack, device, dtype)
        case "remote":
            raise PackRefused("pack_mismatch", f"pack {pack.name!r} has no engine to load: a vendor's service paints")
