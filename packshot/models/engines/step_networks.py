"""The networks of a step as one call: the ControlNet's residuals go into the UNet.
Steps 8 and 9 of `packshot.models.engines.unet_controlnet`."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from packshot.models.device import use_threads

SMALL_PARAMETERS = 100_000_000
"""Beyond, kernels outweigh Python by far (by their arithmetic; the embedded pack, of 12 M, is what was measured)."""


class ControlledUNet(nn.Module):
    """A UNet and its ControlNet, whose control image is already embedded. Tensors in, a tensor out:
    it can be traced."""

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
        """What the UNet says, (n, c, h, w).

        latents (n, c, h, w), scaled; times (n,); texts (n, L, D); control (n, C, h, w); scale (n, 1, 1, 1); inpaint
        (n, 1 + c, h, w) for an inpainting UNet.
        """
        # 8.t
        down, mid = self.controlnet(
            latents,
            times,
            encoder_hidden_states=texts,
            controlnet_cond=control,
            conditioning_scale=scale,
            return_dict=False,
        )
        # 9.t
        if inpaint is not None:
            latents = torch.cat([latents, inpaint], dim=1)  # (n, 2c + 1, h, w)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        out: Tensor = self.unet(latents, times, encoder_hidden_states=texts, return_dict=False, **residuals)[0]
        return out


class Frozen:
    """A ControlledUNet's kernels as its first call ran them, without Python between them,
    its rows dealt out to threads.

    The first caller's torch threads are shared out: each share takes its rows through all the kernels, so shares wait
    for each other once a call and not once a kernel. Any number of rows and any size may follow. Latents that the UNet
    cannot halve evenly at each of its levels it sizes in Python: those run as they are. Values are the plain call's but
    for fp32 rounding, 1e-6. Call it from one thread.
    """

    def __init__(self, network: ControlledUNet) -> None:
        self._network = network
        self._multiple = 2 ** int(network.unet.num_upsamplers)
        self._trace: Any = None
        self._threads = 1

    def __call__(self, *inputs: Tensor) -> Tensor:
        """As `ControlledUNet.forward`."""
        if any(side % self._multiple for side in inputs[0].shape[-2:]):
            return self._network.forward(*inputs)
        if self._trace is None:
            self._threads = torch.get_num_threads()
            self._sharers = ThreadPoolExecutor(self._threads, "rows")
            self._trace = self._traced(inputs)
        shares = min(self._threads, len(inputs[0]))
        if shares == 1:
            return self._run(inputs, self._threads)
        dealt = zip(*(one.tensor_split(shares) for one in inputs), strict=True)
        return torch.cat(list(self._sharers.map(self._run, dealt, [self._threads // shares] * shares)))

    def _traced(self, inputs: tuple[Tensor, ...]) -> Any:
        twice = tuple(torch.cat([one, one]) for one in inputs)  # a trace of one row might take 1 for a constant
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer names each Python branch, and itself as old
            trace = torch.jit.trace(self._network, twice, check_trace=False)
            return torch.jit.freeze(trace)

    def _run(self, inputs: tuple[Tensor, ...], threads: int) -> Tensor:
        use_threads(threads)
        with torch.inference_mode():  # each thread has a mode of its own
            out: Tensor = self._trace(*inputs)
        return out

    @staticmethod
    def pays(network: ControlledUNet, device: torch.device) -> bool:
        """Whether Python costs about as much as the kernels: small networks on a CPU."""
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return device.type == "cpu" and parameters < SMALL_PARAMETERS
