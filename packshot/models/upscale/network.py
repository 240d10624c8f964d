"""Two published layouts of super-resolution networks, with the tensor names of their released weights.

`RRDBNet` is ESRGAN's generator as Real-ESRGAN released it: residual-in-residual dense blocks at the picture's own size,
then two enlargements by two. `SRVGGNetCompact` is Real-ESRGAN's small network: plain convolutions at the picture's own
size, and one pixel shuffle. Both map RGB in 0..1 to RGB of about 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RRDBNet", "SRVGGNetCompact"]

RESIDUAL = 0.2
"""The weight of a block's result beside its input."""


class DenseBlock(nn.Module):
    """Five convolutions; each reads the input and the results of all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, 5):
            setattr(self, f"conv{number}", nn.Conv2d(width + (number - 1) * growth, growth, 3, 1, 1))
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for number in range(1, 5):
            conv = getattr(self, f"conv{number}")
            found.append(functional.leaky_relu(conv(torch.cat(found, 1)), 0.2))
        last: Tensor = self.conv5(torch.cat(found, 1))
        return x + RESIDUAL * last


class Rrdb(nn.Module):
    """Three dense blocks in one residual."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + RESIDUAL * last


class RRDBNet(nn.Module):
    """Enlarges four times, or `scale` 2 times: then the input is folded 2 x 2 into channels before the first layer.

    `num_feat` is the width, `num_block` the number of blocks and `num_grow_ch` their growth, as released.
    """

    def __init__(self, num_feat: int = 64, num_block: int = 23, num_grow_ch: int = 32, scale: int = 4) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(f"scale must be 2 or 4, got {scale}")
        self.scale = scale
        self.conv_first = nn.Conv2d(3 * (4 // scale) ** 2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(Rrdb(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, H, W) -> (n, 3, scale x H, scale x W). With scale 2, H and W must be even."""
        first = self.conv_first(functional.pixel_unshuffle(x, 4 // self.scale))
        features = first + self.conv_body(self.body(first))
        for conv in (self.conv_up1, self.conv_up2):
            larger = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = functional.leaky_relu(conv(larger), 0.2)
        out: Tensor = self.conv_last(functional.leaky_relu(self.conv_hr(features), 0.2))
        return out


class SRVGGNetCompact(nn.Module):
    """Enlarges `upscale` times. `num_feat` is the width and `num_conv` the number of inner convolutions."""

    def __init__(self, num_feat: int = 64, num_conv: int = 16, upscale: int = 4) -> None:
        super().__init__()
        self.scale = upscale
        layers: list[nn.Module] = [nn.Conv2d(3, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(num_feat, 3 * upscale**2, 3, 1, 1)])

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, H, W) -> (n, 3, upscale x H, upscale x W): the nearest pixels, and what the network adds to them."""
        features = x
        for layer in self.body:
            features = layer(features)
        nearest = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(features, self.scale) + nearest
