"""The networks of a denoising step: the ControlNets, and a UNet that gets their residuals.

These are the steps 9.t and 10.t of `packshot.models.engines.unet_controlnet`. A ControlNet takes only the batch rows
whose scenes it guides now. Where several meet in a row their residuals are added, as by diffusers'
MultiControlNetModel; a row without any gets exactly zero.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from packshot.models.device import use_threads
from packshot.models.engines.looks import Layout, PackedLinears, RowLooks, applied
from packshot.models.engines.references import GuidedAttentions, RowGuides
from packshot.models.engines.union import union_residuals
from packshot.models.packs.roles import RoleName

__all__ = ["Applied", "ControlledUNet", "Frozen", "StepNetworks", "predicted", "residuals", "small"]

SMALL_PARAMETERS = 100_000_000
"""Above this size the kernels take far more time than Python does. This is an estimate from their arithmetic; only the
embedded pack, with 12 M parameters, was measured."""

Made = TypeVar("Made", Tensor, tuple[Tensor, ...])


@dataclass(frozen=True)
class Applied:
    """A ControlNet in one call of the networks, for m of its batch rows.

    `role` is the ControlNet's. `rows` are the rows' numbers, ascending. `controls` are the embedded control images, (m,
    C, h, w) each, and `scales` their weights, (m, 1, 1, 1) each: one, or for a union ControlNet one for each condition
    of its `types`.
    """

    role: RoleName
    rows: Sequence[int]
    controls: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    types: tuple[int, ...] = ()

    def within(self, start: int, stop: int) -> Applied:
        """The part for the batch rows `start` to `stop` - 1, which become 0 to `stop` - `start` - 1."""
        part = slice(bisect_left(self.rows, start), bisect_left(self.rows, stop))
        rows = [row - start for row in self.rows[part]]
        controls, scales = (tuple(one[part] for one in kept) for kept in (self.controls, self.scales))
        return Applied(self.role, rows, controls, scales, self.types)


class ControlledUNet(nn.Module):
    """A UNet and one ControlNet. The control image must already be embedded.

    `forward` takes only tensors and returns a tensor, so the module can be traced.
    """

    def __init__(self, unet: Any, controlnet: Any) -> None:
        super().__init__()
        self.unet, self.controlnet = unet, controlnet

    def forward(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Tensor,
        control: Tensor,
        scale: Tensor,
        inpaint: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction, (n, c, h, w), for n batch rows.

        `latents` (n, c, h, w) are scaled by the scheduler. `times` (n,) are the timesteps. `texts` (n, L, D) are the
        encoded prompts. `control` (n, C, h, w) is the embedded control image, and `scale` (n, 1, 1, 1) its weight.
        `inpaint` (n, 1 + c, h, w) holds the mask and the masked picture's latents; only an inpainting UNet takes it.
        """
        # 9.t
        down, mid = residuals(self.controlnet, latents, times, texts, control, scale)
        # 10.t
        if inpaint is not None:
            latents = torch.cat([latents, inpaint], dim=1)  # (n, 2c + 1, h, w)
        return predicted(self.unet, latents, times, texts, down, mid)


class Residuals(nn.Module):
    """A ControlNet alone: the first half of `ControlledUNet`. It returns the residuals, the middle's last."""

    def __init__(self, controlnet: Any) -> None:
        super().__init__()
        self.controlnet = controlnet

    def forward(
        self, latents: Tensor, times: Tensor, texts: Tensor, control: Tensor, scale: Tensor
    ) -> tuple[Tensor, ...]:
        down, mid = residuals(self.controlnet, latents, times, texts, control, scale)
        return (*down, mid)


class GuidedUNet(nn.Module):
    """A UNet that gets residuals: the second half of `ControlledUNet`. `latents` include what it inpaints."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, times: Tensor, texts: Tensor, *residuals: Tensor) -> Tensor:
        *down, mid = residuals
        return predicted(self.unet, latents, times, texts, down, mid)


class AdaptedUNet(nn.Module):
    """A `GuidedUNet` whose linear layers add packed changes of adapters, (n, R, ...) for n batch rows."""

    def __init__(self, unet: Any, layout: Layout) -> None:
        super().__init__()
        self.unet = unet
        self._linears = PackedLinears(unet, layout)

    def forward(
        self, latents: Tensor, times: Tensor, texts: Tensor, down: Tensor, up: Tensor, *residuals: Tensor
    ) -> Tensor:
        *downs, mid = residuals
        with self._linears.during(down, up):
            return predicted(self.unet, latents, times, texts, downs, mid)


def residuals(
    controlnet: Any,
    latents: Tensor,
    times: Tensor,
    texts: Tensor,
    control: Tensor,
    scale: Tensor,
    added: dict[str, Tensor] | None = None,
) -> tuple[list[Tensor], Tensor]:
    """The residuals of a ControlNet: those of the way down, and the middle's. Its inputs are `ControlledUNet`'s."""
    down, mid = controlnet(
        latents,
        times,
        encoder_hidden_states=texts,
        controlnet_cond=control,
        conditioning_scale=scale,
        added_cond_kwargs=added,
        return_dict=False,
    )
    return down, mid


def predicted(
    unet: Any,
    latents: Tensor,
    times: Tensor,
    texts: Tensor,
    down: Sequence[Tensor] | None,
    mid: Tensor | None,
    added: dict[str, Tensor] | None = None,
) -> Tensor:
    """The UNet's prediction with ControlNets' residuals, None = without. `latents` include what it inpaints."""
    more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid, "added_cond_kwargs": added}
    out: Tensor = unet(latents, times, encoder_hidden_states=texts, return_dict=False, **more)[0]
    return out


def small(networks: Sequence[nn.Module], device: torch.device) -> bool:
    """Whether tracing saves time: for small networks on a CPU, where Python takes about as long as the kernels."""
    parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
    return device.type == "cpu" and parameters < SMALL_PARAMETERS


class StepNetworks:
    """All networks of a step as one call. `freeze` traces them at their first call. Call it from one thread only.

    `controlnets` are those that the engine loads, by role; their control images must already be embedded. Union
    ControlNets and networks with added conditions must not be traced. `guided` is the adapter in the UNet by which it
    follows references; None = it follows none.
    """

    def __init__(
        self,
        unet: Any,
        controlnets: Mapping[RoleName, Any],
        *,
        freeze: bool,
        guided: GuidedAttentions | None = None,
    ) -> None:
        self.unet, self.controlnets = unet, controlnets
        self._attentions = guided
        self.traced = freeze
        threads, multiple = RowThreads(), 2 ** int(unet.num_upsamplers)

        def made(network: nn.Module) -> Any:
            network.eval()
            return Frozen(network, multiple, threads, self._untraced) if freeze else network

        self.controlled = made(ControlledUNet(unet, controlnets["controlnet"]))
        self._guided = made(GuidedUNet(unet))
        self._layout = Layout.of(unet)
        self._adapted = made(AdaptedUNet(unet, self._layout)) if freeze else None
        self._residuals = {role: made(Residuals(network)) for role, network in controlnets.items()}

    def _guided_by(self, guides: RowGuides | None) -> AbstractContextManager[None]:
        return nullcontext() if guides is None or self._attentions is None else self._attentions.during(guides)

    def _untraced(self) -> bool:
        """Whether the UNet's rows have references now: a trace holds the attentions without them."""
        return self._attentions is not None and self._attentions.rows is not None

    def __call__(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Tensor,
        inpaint: Tensor | None,
        conditions: Sequence[Applied],
        max_rows: int,
        added: Mapping[str, Tensor] | None = None,
        guides: RowGuides | None = None,
        looks: RowLooks | None = None,
    ) -> Tensor:
        """The prediction (n, c, h, w) for n batch rows, in calls of at most `max_rows` of them.

        The inputs are those of `ControlledUNet.forward`. `conditions` are the ControlNets that guide some rows now.
        `added` is what the networks get besides the texts, diffusers' `added_cond_kwargs`, (n, ...) each. `guides` are
        the rows' references; None = no row has any. Calls with guides are not traced. `looks` are the rows' adapters;
        None = no row has any. Calls that change other layers than a `Layout` has are not traced.
        """
        most, parts = max(1, max_rows), []
        for start in range(0, len(latents), most):
            rows = slice(start, min(start + most, len(latents)))
            taken = [part for one in conditions if (part := one.within(rows.start, rows.stop)).rows]
            own = None if inpaint is None else inpaint[rows]
            more = {name: tensor[rows] for name, tensor in (added or {}).items()}
            adapted = None if looks is None else looks.within(rows.start, rows.stop)
            with self._guided_by(None if guides is None else guides.within(rows.start, rows.stop)):
                parts.append(self._one_call(latents[rows], times[rows], texts[rows], own, taken, more, adapted))
        return torch.cat(parts)

    def _one_call(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Tensor,
        inpaint: Tensor | None,
        conditions: Sequence[Applied],
        added: dict[str, Tensor],
        looks: RowLooks | None,
    ) -> Tensor:
        more = () if inpaint is None else (inpaint,)
        out: Tensor
        if not added and len(conditions) == 1 and looks is None:
            (one,) = conditions
            if one.role == "controlnet" and not one.types and len(one.rows) == len(latents):
                out = self.controlled(latents, times, texts, *one.controls, *one.scales, *more)
                return out
        inputs = torch.cat([latents, *more], dim=1)
        if not conditions:
            with applied(self.unet, looks):
                return predicted(self.unet, inputs, times, texts, None, None, added)
        total: list[Tensor] = []
        for one in conditions:
            whole = len(one.rows) == len(latents)
            at = torch.tensor(one.rows, device=latents.device)
            given = (latents, times, texts) if whole else (latents[at], times[at], texts[at])
            own_added = added if whole else {name: tensor[at] for name, tensor in added.items()}
            total = _added(total, self._own(one, *given, own_added), None if whole else at, len(latents))
        if looks is not None and self._adapted is not None and looks.fits(self._layout) and not self._untraced():
            out = self._adapted(inputs, times, texts, *looks.packed(self._layout, len(latents)), *total)
            return out
        if added or looks is not None:
            with applied(self.unet, looks):
                return predicted(self.unet, inputs, times, texts, total[:-1], total[-1], added)
        out = self._guided(inputs, times, texts, *total)
        return out

    def _own(
        self, one: Applied, latents: Tensor, times: Tensor, texts: Tensor, added: dict[str, Tensor]
    ) -> Sequence[Tensor]:
        """The residuals of one ControlNet for its rows, the middle's last."""
        network = self.controlnets[one.role]
        if one.types:
            down, mid = union_residuals(network, latents, times, texts, one.controls, one.scales, one.types, added)
        elif added:
            down, mid = residuals(network, latents, times, texts, one.controls[0], one.scales[0], added)
        else:
            own: Sequence[Tensor] = self._residuals[one.role](latents, times, texts, *one.controls, *one.scales)
            return own
        return (*down, mid)


def _added(total: list[Tensor], own: Sequence[Tensor], at: Tensor | None, rows: int) -> list[Tensor]:
    """The sum of residuals. `at` are the batch rows of `own`, of all `rows`; None = all. `total` may be changed."""
    if at is None:
        return [one + two for one, two in zip(total, own, strict=True)] if total else list(own)
    total = total or [part.new_zeros((rows, *part.shape[1:])) for part in own]
    return [one.index_add_(0, at, two) for one, two in zip(total, own, strict=True)]


class RowThreads:
    """The threads among which traced networks divide their batch rows: as many as torch has at the first use."""

    @cached_property
    def count(self) -> int:
        return torch.get_num_threads()

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.count, "rows")


class Frozen:
    """A network that is traced at its first call, and whose batch rows run in several threads.

    Later calls run the traced kernels without Python between them. The torch threads of the first call are divided
    among the batch rows: each group of rows runs through all kernels in its own thread, so the groups wait for each
    other once in a call and not after each kernel. Later calls may have any number of rows and any size. If the UNet
    cannot halve the latents' sides evenly at each level, it computes sizes in Python; such calls run untraced.
    `multiple` is what the sides must be a multiple of. `untraced` says before each call whether it must not use the
    trace. The results equal the untraced ones to 1e-6 (fp32 rounding).
    Call it from one thread only.
    """

    def __init__(
        self, network: nn.Module, multiple: int, threads: RowThreads, untraced: Callable[[], bool] = lambda: False
    ) -> None:
        self._network = network
        self._untraced = untraced
        self._multiple = multiple
        self._trace: Any = None
        self._threads = threads

    def __call__(self, *inputs: Tensor) -> Any:
        """As the network's `forward`."""
        if self._untraced() or any(side % self._multiple for side in inputs[0].shape[-2:]):
            return self._network.forward(*inputs)
        threads = self._threads.count
        if self._trace is None:
            self._trace = self._traced(inputs)
        groups = min(threads, len(inputs[0]))
        if groups == 1:
            return self._run(inputs, threads)
        split = zip(*(tensor.tensor_split(groups) for tensor in inputs), strict=True)
        return _joined(list(self._threads.pool.map(self._run, split, [threads // groups] * groups)))

    def _traced(self, inputs: tuple[Tensor, ...]) -> Any:
        doubled = tuple(torch.cat([tensor, tensor]) for tensor in inputs)  # a trace of one row might fix the size 1
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of every Python branch, and that it is deprecated
            trace = torch.jit.trace(self._network, doubled, check_trace=False)
            return torch.jit.freeze(trace)

    def _run(self, inputs: tuple[Tensor, ...], threads: int) -> Any:
        use_threads(threads)
        with torch.inference_mode():  # the mode belongs to the thread
            return self._trace(*inputs)


def _joined(parts: Sequence[Made]) -> Made:
    """The outputs of groups of rows as one output: a tensor, or a tuple of tensors."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    return tuple(torch.cat(list(of_all)) for of_all in zip(*parts, strict=True))
