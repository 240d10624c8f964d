"""The ControlNets of a pack: what each serves, the control images of a scene, and who takes which rows of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from packshot.contract.shot_spec import ConditionKind
from packshot.models.engines.controls import Control, ControlName, control_image, scales_of
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.schedule import Schedule
from packshot.models.engines.step_networks import Applied
from packshot.models.engines.tensors import repeat
from packshot.models.engines.union import keep_rows_apart
from packshot.models.engines.windows import Windows
from packshot.models.packs.manifest import CHANNELS_OF_KIND, ControlChannel
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName
from packshot.types import Scene

__all__ = ["ControlNets"]

INPAINT: RoleName = "controlnet_inpaint"


class ControlNets:
    """The ControlNets of a pack on a device.

    `networks` holds them by role. `served` lists what each serves: a union ControlNet several conditions, another one,
    and the one of the role `controlnet_inpaint` the masked picture of every scene. Control images are embedded here,
    once for each scene, so the networks' own calls must get embedded ones.
    """

    def __init__(self, pack: Pack, device: torch.device, dtype: torch.dtype) -> None:
        self._pack, self._dtype = pack, dtype
        self.served: dict[RoleName, tuple[ControlName, ...]] = {}
        if INPAINT in pack.manifest.roles:
            self.served[INPAINT] = ("inpaint",)
        for kind in pack.controls:
            role = pack.manifest.control_role(kind)
            self.served[role] = (*self.served.get(role, ()), kind)
        self.networks: dict[RoleName, Any] = {role: pack.load(role, device, dtype) for role in self.served}
        self._embed = {role: network.controlnet_cond_embedding for role, network in self.networks.items()}
        for role, network in self.networks.items():
            network.controlnet_cond_embedding = nn.Identity()
            if self._types(role):
                keep_rows_apart(network)

    @property
    def plain(self) -> bool:
        """Whether each network takes one control image, so that it can be traced."""
        return not any(self._types(role) for role in self.networks)

    def _types(self, role: RoleName) -> Mapping[ConditionKind, int]:
        return self._pack.role(role).control_types

    def controls(
        self, scene: Scene, repaint: Tensor, masked: Tensor, windows: Windows, schedule: Schedule
    ) -> dict[ControlName, Control]:
        """The control images of a scene, embedded, and their weights.

        `repaint` and `masked` are as in `control_image`. `windows` are the scene's, in pixels.
        """
        asked, steps = scene.brief.all_conditions, len(schedule.plain)
        made: dict[ControlName, Control] = {}
        for role, names in self.served.items():
            for name in names:
                if name == "inpaint":
                    scales = (self._pack.role(role).scale,) * steps
                elif name in asked:
                    scales = scales_of(asked[name], steps)
                else:
                    continue
                image = control_image(scene, repaint, masked, self._channels(role, name))
                parts = windows.split(image).to(self._dtype)  # (windows, K, H, W)
                embedded = torch.cat([self._embed[role](part[None]) for part in parts])
                made[name] = Control(embedded, schedule.spread(scales))
        return made

    def _channels(self, role: RoleName, name: ControlName) -> tuple[ControlChannel, ...]:
        spec = self._pack.role(role)
        return CHANNELS_OF_KIND[name] if spec.control_types and name != "inpaint" else spec.control_channels

    def applied(self, rows: Sequence[Denoising], in_scene: Sequence[int], *, traced: bool) -> list[Applied]:
        """The calls of ControlNets in this step. `in_scene` are each scene's batch rows.

        A ControlNet takes only the rows that it guides now. One exception: where the edges alone guide a step of
        `traced` networks, all rows get them, some with a weight of 0, because ControlNet and UNet are then one trace.
        A union ControlNet takes rows of different sets of conditions in different calls.
        """
        active = {name for row in rows for name in row.controls if row.control_scale(name)}
        everywhere = traced and active == {"canny"}
        calls: list[Applied] = []
        for role, names in self.served.items():
            groups: dict[tuple[ControlName, ...], list[int]] = {}
            for i, row in enumerate(rows):
                has = tuple(name for name in names if (everywhere and name == "canny") or row.control_scale(name))
                if has:
                    groups.setdefault(has, []).append(i)
            calls.extend(self._applied(role, has, chosen, rows, in_scene) for has, chosen in groups.items())
        return calls

    def _applied(
        self,
        role: RoleName,
        names: Sequence[ControlName],
        chosen: Sequence[int],
        rows: Sequence[Denoising],
        in_scene: Sequence[int],
    ) -> Applied:
        """One call for the scenes `chosen`, which have the control images `names`."""
        begins, types = list(accumulate(in_scene, initial=0)), self._types(role)
        own = [in_scene[i] for i in chosen]
        device = rows[0].latents.device

        def scale(name: ControlName) -> Tensor:
            scales = [torch.full((1, 1, 1, 1), rows[i].control_scale(name), device=device) for i in chosen]
            return repeat(scales, own).to(self._dtype)

        return Applied(
            role,
            [number for i in chosen for number in range(begins[i], begins[i + 1])],
            tuple(
                repeat([rows[i].controls[name].embedded for i in chosen], [len(rows[i].texts) for i in chosen])
                for name in names
            ),
            tuple(scale(name) for name in names),
            tuple(types[name] for name in names if name != "inpaint" and types),
        )
