"""The networks of a denoising step: the ControlNets of the conditions, and a UNet that gets their residuals.

These are the steps 9.t and 10.t of `packshot.models.engines.unet_controlnet`. A ControlNet takes only the batch rows
whose scenes have its condition now. Where several conditions meet in a row their residuals are added, as by diffusers'
MultiControlNetModel; a row without any gets exactly zero.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from packshot.contract.shot_spec import ConditionKind
from packshot.models.device import use_threads
from packshot.models.engines.references import GuidedAttentions, RowGuides

__all__ = ["Applied", "ControlledUNet", "Frozen", "StepNetworks", "small"]

SMALL_PARAMETERS = 100_000_000
"""Above this size the kernels take far more time than Python does. This is an estimate from their arithmetic; only the
embedded pack, with 12 M parameters, was measured."""

Made = TypeVar("Made", Tensor, tuple[Tensor, ...])


@dataclass(frozen=True)
class Applied:
    """A condition in one call of the networks, for m of its batch rows.

    `rows` are their numbers, ascending. `control` (m, C, h, w) is the embedded control image, and `scale` (m, 1, 1, 1)
    its weight.
    """

    kind: ConditionKind
    rows: Sequence[int]
    control: Tensor
    scale: Tensor

    def within(self, start: int, stop: int) -> Applied:
        """The part for the batch rows `start` to `stop` - 1, which become 0 to `stop` - `start` - 1."""
        part = slice(bisect_left(self.rows, start), bisect_left(self.rows, stop))
        return Applied(self.kind, [row - start for row in self.rows[part]], self.control[part], self.scale[part])


class ControlledUNet(nn.Module):
    """A UNet and the ControlNet of one condition. The control image must already be embedded.

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
        down, mid = _residuals(self.controlnet, latents, times, texts, control, scale)
        # 10.t
        if inpaint is not None:
            latents = torch.cat([latents, inpaint], dim=1)  # (n, 2c + 1, h, w)
        return _predicted(self.unet, latents, times, texts, down, mid)


class Residuals(nn.Module):
    """A ControlNet alone: the first half of `ControlledUNet`. It returns the residuals, the middle's last."""

    def __init__(self, controlnet: Any) -> None:
        super().__init__()
        self.controlnet = controlnet

    def forward(
        self, latents: Tensor, times: Tensor, texts: Tensor, control: Tensor, scale: Tensor
    ) -> tuple[Tensor, ...]:
        down, mid = _residuals(self.controlnet, latents, times, texts, control, scale)
        return (*down, mid)


class GuidedUNet(nn.Module):
    """A UNet that gets residuals: the second half of `ControlledUNet`. `latents` include what it inpaints."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, times: Tensor, texts: Tensor, *residuals: Tensor) -> Tensor:
        *down, mid = residuals
        return _predicted(self.unet, latents, times, texts, down, mid)


def _residuals(
    controlnet: Any, latents: Tensor, times: Tensor, texts: Tensor, control: Tensor, scale: Tensor
) -> tuple[list[Tensor], Tensor]:
    down, mid = controlnet(
        latents,
        times,
        encoder_hidden_states=texts,
        controlnet_cond=control,
        conditioning_scale=scale,
        return_dict=False,
    )
    return down, mid


def _predicted(
    unet: Any, latents: Tensor, times: Tensor, texts: Tensor, down: Sequence[Tensor] | None, mid: Tensor | None
) -> Tensor:
    residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
    out: Tensor = unet(latents, times, encoder_hidden_states=texts, return_dict=False, **residuals)[0]
    return out


def small(networks: Sequence[nn.Module], device: torch.device) -> bool:
    """Whether tracing saves time: for small networks on a CPU, where Python takes about as long as the kernels."""
    parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
    return device.type == "cpu" and parameters < SMALL_PARAMETERS


class StepNetworks:
    """All networks of a step as one call. `freeze` traces them at their first call. Call it from one thread only.

    `controlnets` are those of the conditions that the engine serves; their control images must already be embedded.
    `guided` is the adapter in the UNet by which it follows references; None = it follows none.
    """

    def __init__(
        self,
        unet: Any,
        controlnets: Mapping[ConditionKind, Any],
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

        self.controlled = made(ControlledUNet(unet, controlnets["canny"]))
        self._guided = made(GuidedUNet(unet))
        self._residuals = {kind: made(Residuals(network)) for kind, network in controlnets.items()}

    def _untraced(self) -> bool:
        """Whether the UNet's rows have references now: a trace holds the attentions without them."""
        return self._attentions is not None and self._attentions.rows is not None

    def takes_all_rows(self, kinds: Sequence[ConditionKind]) -> bool:
        """Whether a step with only these conditions gives its ControlNet all rows, some of them with a weight of 0.

        This is so for the edges in traced networks, whose ControlNet and UNet are one trace.
        """
        return self.traced and tuple(kinds) == ("canny",)

    def __call__(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Tensor,
        inpaint: Tensor | None,
        conditions: Sequence[Applied],
        max_rows: int,
        guides: RowGuides | None = None,
    ) -> Tensor:
        """The prediction (n, c, h, w) for n batch rows, in calls of at most `max_rows` of them.

        The inputs are those of `ControlledUNet.forward`. `conditions` are those that some rows have now, in the order
        of their kinds. `guides` are the rows' references; None = no row has any. Calls with guides are not traced.
        """
        most, parts = max(1, max_rows), []
        for start in range(0, len(latents), most):
            rows = slice(start, min(start + most, len(latents)))
            applied = [part for one in conditions if (part := one.within(rows.start, rows.stop)).rows]
            own = None if inpaint is None else inpaint[rows]
            given = (latents[rows], times[rows], texts[rows], own, applied)
            if guides is None or self._attentions is None:
                parts.append(self._one_call(*given))
            else:
                with self._attentions.during(guides.within(rows.start, rows.stop)):
                    parts.append(self._one_call(*given))
        return torch.cat(parts)

    def _one_call(
        self, latents: Tensor, times: Tensor, texts: Tensor, inpaint: Tensor | None, conditions: Sequence[Applied]
    ) -> Tensor:
        more = () if inpaint is None else (inpaint,)
        out: Tensor
        if len(conditions) == 1 and conditions[0].kind == "canny" and len(conditions[0].rows) == len(latents):
            out = self.controlled(latents, times, texts, conditions[0].control, conditions[0].scale, *more)
            return out
        inputs = torch.cat([latents, *more], dim=1)
        if not conditions:
            return _predicted(self.unet, inputs, times, texts, None, None)
        total: list[Tensor] = []
        for one in conditions:
            whole = len(one.rows) == len(latents)
            at = torch.tensor(one.rows, device=latents.device)
            given = (latents, times, texts) if whole else (latents[at], times[at], texts[at])
            own = self._residuals[one.kind](*given, one.control, one.scale)
            total = _added(total, own, None if whole else at, len(latents))
        out = self._guided(inputs, times, texts, *total)
        return out


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
