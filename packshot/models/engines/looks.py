"""Adapters (LoRA, Hu et al. 2021) in a network, for some batch rows of a call.

A layer's output for the rows of a scene is that of the base plus `scale * up(down(x))` for each of the scene's
adapters. The base's weights never change, so scenes of different adapters, and of none, share a call; a row without
adapters gets exactly the base's output. The ranks of adapters and layers may differ.

Hooks are on a network only during a call that has adapters. In a traced network the changes are inputs of the trace
instead: `Packed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.adapters.file import AdapterFile, LowRank, NetworkName
from packshot.models.adapters.fit import fitted, mismatch

__all__ = ["Layout", "Look", "PackedLinears", "RowLooks", "SceneLooks", "applied", "layers_of", "linear", "load_look"]

Matrices = tuple[Tensor, Tensor]
"""`down` (R, I) or (R, I, k, k) and `up` (O, R) or (O, R, 1, 1), multiplied by the file's own alpha / R."""


@dataclass(frozen=True, eq=False)
class Look:
    """A loaded adapter on a device. `layers` are a LoRA's matrices, by network and by layer. `vectors` (n, D) are an
    inversion's, by text encoder."""

    layers: Mapping[NetworkName, Mapping[str, Matrices]] = field(default_factory=dict)
    vectors: Mapping[NetworkName, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The memory of its tensors."""
        pairs = [pair for layers in self.layers.values() for pair in layers.values()]
        return sum(one.nbytes for pair in pairs for one in pair) + sum(one.nbytes for one in self.vectors.values())


def layers_of(network: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers of a network that an adapter may change, by name."""
    return {name: one for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)}


def load_look(
    file: AdapterFile, networks: Mapping[NetworkName, nn.Module], device: torch.device, dtype: torch.dtype, base: str
) -> Look:
    """Put an adapter on a device. `networks` are those of `base`. Raises BadInput (adapter_mismatch)."""
    for name in (*file.layers, *file.vectors):
        if name not in networks:
            raise mismatch(f"an adapter must be for networks that its engine has, {base} has no {name}")
    layers: dict[NetworkName, dict[str, Matrices]] = {}
    for name in file.layers:
        modules = layers_of(networks[name])
        found = fitted(file, name, {key: tuple(one.weight.shape) for key, one in modules.items()}, base)
        layers[name] = {key: _matrices(modules[key], one, device, dtype) for key, one in found.items()}
    for name, vectors in file.vectors.items():
        width = networks[name].get_input_embeddings().weight.shape[1]  # type: ignore[operator]
        if vectors.shape[1] != width:
            raise mismatch(f"an inversion's vectors must have {base}'s width {width}, got {vectors.shape[1]}")
    return Look(layers, {key: torch.from_numpy(one).to(device, dtype) for key, one in file.vectors.items()})


def _matrices(module: nn.Linear | nn.Conv2d, layer: LowRank, device: torch.device, dtype: torch.dtype) -> Matrices:
    down, up = torch.from_numpy(layer.down), torch.from_numpy(layer.up) * layer.share
    if isinstance(module, nn.Linear):
        down, up = down.flatten(1), up.flatten(1)
    elif down.ndim == 2:
        down = down[:, :, None, None]
    if isinstance(module, nn.Conv2d):
        up = up.flatten(1)[:, :, None, None]
    return down.to(device, dtype), up.to(device, dtype)


@dataclass(frozen=True, eq=False)
class SceneLooks:
    """The adapters of a scene, with their scales."""

    looks: tuple[tuple[Look, float], ...]
    _kept: list[Matrices] = field(default_factory=list, repr=False)

    def layers(self, network: NetworkName) -> dict[str, list[tuple[Matrices, float]]]:
        """The matrices and scales of each changed layer of a network."""
        found: dict[str, list[tuple[Matrices, float]]] = {}
        for look, scale in self.looks:
            for name, pair in look.layers.get(network, {}).items():
                if scale:
                    found.setdefault(name, []).append((pair, scale))
        return found

    @cached_property
    def unet(self) -> dict[str, list[tuple[Matrices, float]]]:
        """The changed layers of the UNet."""
        return self.layers("unet")

    def packed(self, layout: Layout) -> Matrices:
        """All changes of the UNet as two matrices, (R, all inputs) and (R, all outputs), where R is the sum of ranks.

        Layers that an adapter does not change have zeros. The result is kept.
        """
        if not self._kept:
            self._kept.append(self._pack(layout))
        return self._kept[0]

    def _pack(self, layout: Layout) -> Matrices:
        parts: list[Matrices] = []
        for look, scale in self.looks:
            layers = look.layers.get("unet", {})
            if not layers or not scale:
                continue
            rank = max(len(down) for down, _ in layers.values())
            some = next(iter(layers.values()))[0]
            down, up = some.new_zeros(rank, layout.inputs), some.new_zeros(rank, layout.outputs)
            for name, (own_down, own_up) in layers.items():
                place = layout.places[name]
                down[: len(own_down), place.inputs] = own_down
                up[: len(own_down), place.outputs] = scale * own_up.T
            parts.append((down, up))
        downs, ups = zip(*parts, strict=True)
        return torch.cat(downs), torch.cat(ups)


@dataclass(frozen=True)
class RowLooks:
    """The adapters of a call's batch rows: (first row, row after the last, adapters of the scene)."""

    scenes: tuple[tuple[int, int, SceneLooks], ...]

    @classmethod
    def of(cls, looks: Sequence[SceneLooks | None], counts: Sequence[int]) -> RowLooks | None:
        """The adapters of scenes with `counts` batch rows each; None when no scene has a changed layer."""
        found, start = [], 0
        for one, count in zip(looks, counts, strict=True):
            if one is not None and one.unet:
                found.append((start, start + count, one))
            start += count
        return cls(tuple(found)) if found else None

    def within(self, start: int, stop: int) -> RowLooks | None:
        """The part for the batch rows `start` to `stop` - 1, which become 0 to `stop` - `start` - 1."""
        part = [(max(one, start) - start, min(two, stop) - start, looks) for one, two, looks in self.scenes]
        kept = tuple((one, two, looks) for one, two, looks in part if one < two)
        return RowLooks(kept) if kept else None

    def fits(self, layout: Layout) -> bool:
        """Whether the layout has every layer that these adapters change."""
        return all(name in layout.places for _, _, looks in self.scenes for name in looks.unet)

    def packed(self, layout: Layout, rows: int) -> Matrices:
        """`SceneLooks.packed` of each of `rows` batch rows, (rows, R, all inputs) and (rows, R, all outputs).

        Smaller ranks are filled with zeros.
        """
        made = [(start, stop, looks.packed(layout)) for start, stop, looks in self.scenes]
        rank = max(len(down) for _, _, (down, _) in made)
        some = made[0][2][0]
        downs, ups = (some.new_zeros(rows, rank, width) for width in (layout.inputs, layout.outputs))
        for start, stop, (down, up) in made:
            downs[start:stop, : len(down)] = down
            ups[start:stop, : len(up)] = up
        return downs, ups


@contextmanager
def applied(network: nn.Module, rows: RowLooks | None) -> Iterator[None]:
    """Change the UNet's calls in this context by the rows' adapters."""
    by_layer: dict[str, list[tuple[int, int, list[tuple[Matrices, float]]]]] = {}
    for start, stop, looks in rows.scenes if rows is not None else ():
        for name, pairs in looks.unet.items():
            by_layer.setdefault(name, []).append((start, stop, pairs))
    with _hooked(network, by_layer):
        yield


@contextmanager
def applied_to_text(network: nn.Module, name: NetworkName, looks: SceneLooks | None) -> Iterator[None]:
    """Change all rows of a text encoder's calls in this context by a scene's adapters."""
    layers = {} if looks is None else looks.layers(name)
    with _hooked(network, {layer: [(0, 1 << 30, pairs)] for layer, pairs in layers.items()}):
        yield


@contextmanager
def _hooked(
    network: nn.Module, by_layer: Mapping[str, list[tuple[int, int, list[tuple[Matrices, float]]]]]
) -> Iterator[None]:
    handles = [network.get_submodule(name).register_forward_hook(_Added(parts)) for name, parts in by_layer.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Added:
    """A layer's forward hook that adds the changes of its rows to its output.

    `parts` are (first row, row after the last, changes).
    """

    def __init__(self, parts: list[tuple[int, int, list[tuple[Matrices, float]]]]) -> None:
        self._parts = parts

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        (given,) = inputs
        for start, stop, pairs in self._parts:
            for (down, up), scale in pairs:
                out[start:stop] += scale * _low_rank(module, given[start:stop], down, up)
        return out


def _low_rank(module: nn.Module, given: Tensor, down: Tensor, up: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        inner = functional.conv2d(given, down, stride=module.stride, padding=module.padding)
        return functional.conv2d(inner, up)
    return functional.linear(functional.linear(given, down), up)


def linear(module: nn.Linear, given: Tensor) -> Tensor:
    """The layer's product without its bias, with the changes of the adapters that are on it now."""
    out = functional.linear(given, module.weight)
    for hook in module._forward_hooks.values():
        out = hook(module, (given,), out)
    return out


@dataclass(frozen=True)
class Place:
    """Where a layer's columns are in packed matrices."""

    inputs: slice
    outputs: slice


@dataclass(frozen=True)
class Layout:
    """Where the columns of each layer are in packed matrices. It holds the linear layers of a UNet's transformers,
    which an adapter changes as a rule."""

    places: Mapping[str, Place]
    inputs: int
    outputs: int

    @classmethod
    def of(cls, unet: nn.Module) -> Layout:
        """The layout of a UNet."""
        places: dict[str, Place] = {}
        inputs = outputs = 0
        for name, module in unet.named_modules():
            if isinstance(module, nn.Linear) and ".transformer_blocks." in name:
                ends = inputs + module.in_features, outputs + module.out_features
                places[name] = Place(slice(inputs, ends[0]), slice(outputs, ends[1]))
                inputs, outputs = ends
        return cls(places, inputs, outputs)


class PackedLinears:
    """Hooks by which a UNet's linear layers add packed changes (n, R, …) of its n batch rows, so it can be traced."""

    def __init__(self, unet: nn.Module, layout: Layout) -> None:
        self._unet, self._layout = unet, layout

    @contextmanager
    def during(self, down: Tensor, up: Tensor) -> Iterator[None]:
        """Add these changes to the UNet's calls in this context."""

        def hook_of(place: Place) -> _AddedPacked:
            return _AddedPacked(down[:, :, place.inputs], up[:, :, place.outputs])

        places = self._layout.places.items()
        handles = [self._unet.get_submodule(name).register_forward_hook(hook_of(place)) for name, place in places]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class _AddedPacked:
    def __init__(self, down: Tensor, up: Tensor) -> None:
        self._down, self._up = down, up

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        (given,) = inputs  # (n, L, I)
        return out + (given @ self._down.mT) @ self._up
