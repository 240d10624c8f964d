"""The networks of a denoising step as one call: a ControlNet, and a UNet that gets the ControlNet's residuals.

These are the steps 8.t and 9.t of `packshot.models.engines.unet_controlnet`.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from packshot.models.device import use_threads

SMALL_PARAMETERS = 100_000_000
"""Above this size the kernels take far more time than Python does. This is an estimate from their arithmetic; only the
embedded pack, with 12 M parameters, was measured."""


class ControlledUNet(nn.Module):
    """A UNet and its ControlNet. The control image must already be embedded.

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
    """A ControlledUNet that is traced at its first call, and whose batch rows run in several threads.

    Later calls run the traced kernels without Python between them. The torch threads of the first call are divided
    among the batch rows: each group of rows runs through all kernels in its own thread, so the groups wait for each
    other once in a call and not after each kernel. Later calls may have any number of rows and any size. If the UNet
    cannot halve the latents' sides evenly at each level, it computes sizes in Python; such calls run untraced. The
    results equal the untraced ones to 1e-6 (fp32 rounding). Call it from one thread only.
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
            self._row_threads = ThreadPoolExecutor(self._threads, "rows")
            self._trace = self._traced(inputs)
        groups = min(self._threads, len(inputs[0]))
        if groups == 1:
            return self._run(inputs, self._threads)
        split = zip(*(tensor.tensor_split(groups) for tensor in inputs), strict=True)
        return torch.cat(list(self._row_threads.map(self._run, split, [self._threads // groups] * groups)))

    def _traced(self, inputs: tuple[Tensor, ...]) -> Any:
        doubled = tuple(torch.cat([tensor, tensor]) for tensor in inputs)  # a trace of one row might fix the size 1
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of every Python branch, and that it is deprecated
            trace = torch.jit.trace(self._network, doubled, check_trace=False)
            return torch.jit.freeze(trace)

    def _run(self, inputs: tuple[Tensor, ...], threads: int) -> Tensor:
        use_threads(threads)
        with torch.inference_mode():  # the mode belongs to the thread
            out: Tensor = self._trace(*inputs)
        return out

    @staticmethod
    def worthwhile(network: ControlledUNet, device: torch.device) -> bool:
        """Whether tracing saves time: for small networks on a CPU, where Python takes about as long as the kernels."""
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return device.type == "cpu" and parameters < SMALL_PARAMETERS
