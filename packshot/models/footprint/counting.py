"""Compute the memory and arithmetic of each stage's calls, without weights and without a GPU.

The pack's networks are built from the manifest's config on torch's meta device, where tensors have shapes but no
values, and are called as the stages call them. Three quantities are counted: the bytes of every tensor while it is
alive, the operations of matrix kernels, and the bytes that all other kernels read and write. The peak of the first is
the memory that PyTorch's allocator must provide on CUDA (with fused attention, without gradients). The planner adds the
allocator's rounding and the libraries' workspaces (cluster/plan/gpu_shares.py). For SAM ViT-B the count is the
published 972 GFLOP.

Memory is computed at the pack's largest bucket, and arithmetic at its native size.
packshot/models/footprint/pack_footprint.py keeps the results.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from packshot.models.engines.step_networks import predicted, residuals
from packshot.models.engines.union import keep_rows_apart, union_residuals
from packshot.models.footprint.stage_footprint import Footprint
from packshot.models.packs.fit import SIZE_NUMBERS
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName
from packshot.models.packs.weights import build
from packshot.models.upscale.upscaler import Upscaler

GIB = 2**30
TERA, GIGA = 1e12, 1e9
aten = torch.ops.aten
MATRIX_KERNELS = (
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.scaled_dot_product_attention.default,
)
"""The matrix kernels besides convolutions. For convolutions cuDNN also copies the input and the output, because its
kernels need the layout channels last."""
FEW, MANY = 2, 4
"""The two batch sizes from which the linear model of memory is computed. A batch of one needs slightly less."""


@dataclass(frozen=True)
class CallCost:
    """The memory and arithmetic of one call.

    `peak_bytes` is the largest number of bytes that were alive at once, with the call's inputs and without the weights.
    `flop` counts the operations of matrix products, convolutions and attention. `moved_bytes` counts the bytes that all
    other kernels read and write.
    """

    peak_bytes: int
    flop: int
    moved_bytes: int


def cost_of(call: Callable[[], object]) -> CallCost:
    """The memory and arithmetic of a call that makes all its tensors on the meta device."""
    with torch.inference_mode(), _flops() as flops, _MemoryCounter() as memory:
        call()
    return CallCost(memory.peak_bytes, flops.get_total_flops(), memory.moved_bytes)


@contextmanager
def _flops() -> Iterator[FlopCounterMode]:
    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        batch, heads, queries, width = query
        return int(2 * batch * heads * queries * key[2] * (width + value[3]))

    mapping = {aten.scaled_dot_product_attention: attention}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        yield counter


class _MemoryCounter(TorchDispatchMode):
    """Counts the bytes of the storages that operations allocated and that are still referenced."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self._now = 0
        self.peak_bytes = 0
        self.moved_bytes = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in MATRIX_KERNELS:
            # In inference mode composite operations arrive undivided. A GPU runs their parts, so count those.
            with self:
                made = func.decompose(*args, **(kwargs or {}))
            if made is not NotImplemented:
                return made
        made = func(*args, **(kwargs or {}))
        read, written = ([leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in (args, made))
        given = {leaf.untyped_storage()._cdata for leaf in read}
        for leaf in written:
            storage = leaf.untyped_storage()
            if storage not in self._known and storage._cdata not in given:  # neither a view nor written in place
                self._known.add(storage)
                self._now += storage.nbytes()
                weakref.finalize(storage, self._freed, storage.nbytes())
        other_layout = args[0].nbytes + made.nbytes if func is aten.convolution.default else 0
        self.peak_bytes = max(self.peak_bytes, self._now + other_layout)
        if other_layout:
            self.moved_bytes += 2 * other_layout
        elif func not in MATRIX_KERNELS and not _moves_nothing(func):
            self.moved_bytes += sum(leaf.nbytes for leaf in (*read, *written))
        return made

    def _freed(self, size: int) -> None:
        self._now -= size


def _moves_nothing(func: Any) -> bool:
    """Whether an operation neither reads nor writes values: it makes a view, or only allocates memory."""
    returns = func._schema.returns
    is_view = bool(returns) and all(value.alias_info is not None and not value.alias_info.is_write for value in returns)
    return is_view or func in (aten.empty.memory_format, aten._unsafe_view.default)


def engine_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the generator. A row is a batch row of a denoising step; a guided scene has two.

    Memory is counted for rows with all conditions that the pack serves, and arithmetic for rows with the edges alone.
    """
    if pack.manifest.recipe != "unet_controlnet":
        from packshot.models.footprint.flow_counting import flow_footprint

        return flow_footprint(pack, dtype)
    tokenizers = ("tokenizer", "tokenizer_2", "scheduler")
    parts = {name: meta_network(pack, name, dtype) for name in pack.engine_roles if name not in tokenizers}
    controls: list[RoleName] = [name for name in parts if name.startswith("controlnet")]
    embeds = [parts[name].controlnet_cond_embedding for name in controls]
    for name in controls:
        parts[name].controlnet_cond_embedding = nn.Identity()  # the engine runs it once a scene, not in each step
        if pack.role(name).control_types:
            keep_rows_apart(parts[name])
    always: list[RoleName] = [name for name in controls if name in ("controlnet", "controlnet_inpaint")]
    largest = max(pack.manifest.buckets, key=lambda bucket: bucket[0] * bucket[1])
    native = pack.manifest.native_px
    step = partial(_step, pack, parts, dtype)
    calls = (_text, _control, _vae_encode, _vae_decode, *((_upscale,) if "upscaler" in parts else ()))
    once = [partial(call, pack, parts, embeds[0], dtype) for call in calls]
    few, many = (cost_of(partial(step, controls, largest, rows)) for rows in (FEW, MANY))
    row = cost_of(partial(step, always, native, 1))
    text, *others = (cost_of(partial(call, native)) for call in once)
    weights = sum(map(bytes_of, (*parts.values(), *embeds)))
    footprint = linear_footprint(few, many, weights=weights, loading=weights)
    return footprint.model_copy(
        update={
            "row_tflop": row.flop / TERA,
            "row_gb": row.moved_bytes / GIGA,
            "scene_tflop": (2 * text.flop + sum(call.flop for call in others)) / TERA,
            "scene_gb": (2 * text.moved_bytes + sum(call.moved_bytes for call in others)) / GIGA,
            "scene_gib": _scene_bytes(pack, dtype, largest) / GIB,
            "alone_gib": max(cost_of(partial(call, largest)).peak_bytes for call in once) / GIB,
        }
    )


def _step(
    pack: Pack,
    parts: dict[RoleName, Any],
    dtype: torch.dtype,
    controls: Sequence[RoleName],
    size: tuple[int, int],
    rows: int,
) -> object:
    """Steps 8.t to 10.t of packshot/models/engines/unet_controlnet.py, for rows that all these ControlNets guide.

    A union ControlNet gets the edges alone: it takes several conditions in one call.
    """
    empty = partial(torch.empty, device="meta", dtype=dtype)
    unet, controlnet = parts["unet"].config, parts["controlnet"].config
    width, height = (side // pack.vae_factor for side in size)
    latents, times = empty(rows, controlnet.in_channels, height, width), torch.empty(rows, device="meta")
    texts = empty(rows, parts["text_encoder"].config.max_position_embeddings, unet.cross_attention_dim)
    added: dict[str, Tensor] = {}
    if "text_encoder_2" in parts:
        pooled = empty(rows, parts["text_encoder_2"].config.projection_dim)
        added = {"text_embeds": pooled, "time_ids": empty(rows, SIZE_NUMBERS)}
    total: list[Tensor] = []
    for name in controls:
        control, scale = empty(rows, controlnet.block_out_channels[0], height, width), empty(rows, 1, 1, 1)
        if pack.role(name).control_types:
            down, mid = union_residuals(parts[name], latents, times, texts, [control], [scale], [0], added)
        else:
            down, mid = residuals(parts[name], latents, times, texts, control, scale, added)
        own = [*down, mid]
        total = [one + two for one, two in zip(total, own, strict=True)] if total else own
        del down, mid, own
    inputs = empty(rows, unet.in_channels, height, width)
    return predicted(parts["unet"], inputs, times, texts, total[:-1], total[-1], added).float()


def _text(pack: Pack, parts: dict[RoleName, Any], embed: Any, dtype: torch.dtype, size: tuple[int, int]) -> object:
    length = parts["text_encoder"].config.max_position_embeddings
    encoders = [parts[name] for name in ("text_encoder", "text_encoder_2") if name in parts]
    return [encoder(torch.zeros(1, length, dtype=torch.long, device="meta"))[0] for encoder in encoders]


def _control(pack: Pack, parts: dict[RoleName, Any], embed: Any, dtype: torch.dtype, size: tuple[int, int]) -> object:
    channels = parts["controlnet"].config.conditioning_channels
    return embed(torch.empty(1, channels, size[1], size[0], dtype=dtype, device="meta"))


def _vae_encode(
    pack: Pack, parts: dict[RoleName, Any], embed: Any, dtype: torch.dtype, size: tuple[int, int]
) -> object:
    return parts["vae"].encode(torch.empty(1, 3, size[1], size[0], dtype=dtype, device="meta"))


def _vae_decode(
    pack: Pack, parts: dict[RoleName, Any], embed: Any, dtype: torch.dtype, size: tuple[int, int]
) -> object:
    width, height = (side // pack.vae_factor for side in size)
    latents = torch.empty(1, parts["vae"].config.latent_channels, height, width, dtype=dtype, device="meta")
    return parts["vae"].decode(latents, return_dict=False)[0]


def _upscale(pack: Pack, parts: dict[RoleName, Any], embed: Any, dtype: torch.dtype, size: tuple[int, int]) -> object:
    width, height = size
    upscaler = Upscaler(parts["upscaler"], "", torch.device("meta"), dtype)
    return upscaler.enlarge(torch.empty(1, 3, height, width, device="meta"))


def _scene_bytes(pack: Pack, dtype: torch.dtype, size: tuple[int, int]) -> int:
    """The bytes that a `Denoising` holds between its steps."""
    positions = size[0] * size[1] // pack.vae_factor**2
    channels = pack.role("vae").config["latent_channels"]
    control = pack.role("unet").config["block_out_channels"][0]
    tokens = pack.role("text_encoder").config["max_position_embeddings"]
    width = pack.role("unet").config["cross_attention_dim"]
    images = len(pack.controls) + ("controlnet_inpaint" in pack.manifest.roles)
    in_dtype = positions * (images * control + 1 + channels) + 2 * tokens * width
    in_fp32 = positions * (4 * channels + 1)  # latents, noise, known, predicted; mask
    return int(in_dtype * dtype.itemsize + in_fp32 * torch.float32.itemsize)


def meta_network(pack: Pack, role: RoleName, dtype: torch.dtype) -> Any:
    """The role's network on the meta device."""
    spec = pack.role(role)
    with torch.device("meta"):
        made = build(spec.class_name, spec.config)
    # `to` the device too: a parameter that is made by `torch.Tensor(n)` lies on the CPU
    return nn.Module.to(made, "meta", dtype).eval().requires_grad_(requires_grad=False)


def bytes_of(module: nn.Module) -> int:
    """The bytes of the module's weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def linear_footprint(few: CallCost, many: CallCost, *, weights: int, loading: int) -> Footprint:
    """The footprint whose memory is linear in the rows, from calls with FEW and MANY rows. Sizes are bytes."""
    row = (many.peak_bytes - few.peak_bytes) / (MANY - FEW)
    return Footprint(
        weights_gib=weights / GIB,
        loading_gib=loading / GIB,
        base_gib=(few.peak_bytes - FEW * row) / GIB,
        row_gib=row / GIB,
        row_tflop=few.flop / FEW / TERA,
        row_gb=few.moved_bytes / FEW / GIGA,
    )


__all__ = ["CallCost", "cost_of", "engine_footprint"]
