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

import os
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

from packshot.models.detect.detector import LONGER_PX, PROPOSALS, SHORTER_PX
from packshot.models.engines.step_networks import predicted, residuals
from packshot.models.engines.union import keep_rows_apart, union_residuals
from packshot.models.footprint.stage_footprint import Footprint
from packshot.models.packs.fit import SIZE_NUMBERS
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName
from packshot.models.packs.weights import build
from packshot.models.segment.attention import attend_piecewise
from packshot.models.segment.segmenter import DETAIL, SETS_PER_CALL
from packshot.models.understand.geometry import DEPTH_PX
from packshot.models.understand.network import OUTLINE
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
SET_TOKENS = 8
"""Assumed tokens of a prompt set: clicks and a box. The thousands of image tokens make their number unimportant."""

WORD_PIECES = 16
"""Assumed pieces of a search's words."""


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


def segmenter_footprints(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> tuple[Footprint, Footprint]:
    """The footprints of the image encoder in `dtype` and of the mask decoder in fp32.

    A row of the encoder is a photo, and a row of the decoder is a prompt set. A call of the decoder has at most
    SETS_PER_CALL prompt sets.
    """
    sam = _meta_segmenter(pack)
    decoder = bytes_of(sam.prompt_encoder) + bytes_of(sam.mask_decoder)
    decode = cost_of(partial(_decode, sam, SETS_PER_CALL))
    encoder = nn.Module.to(sam.image_encoder, dtype)
    loading = bytes_of(encoder) + decoder
    attend_piecewise(encoder)
    few, many = (cost_of(partial(_encode, encoder, sam.packshot_config, dtype, photos)) for photos in (FEW, MANY))
    return (
        linear_footprint(few, many, weights=bytes_of(encoder), loading=loading),
        Footprint(
            weights_gib=decoder / GIB,
            loading_gib=loading / GIB,
            base_gib=decode.peak_bytes / GIB,
            row_gib=0,
            row_tflop=decode.flop / SETS_PER_CALL / TERA,
            row_gb=decode.moved_bytes / SETS_PER_CALL / GIGA,
        ),
    )


def _meta_segmenter(pack: Pack) -> Any:
    """The segmenter in SAM's parts, on the meta device in fp32."""
    sam = meta_network(pack, "segmenter", torch.float32)
    if pack.role("segmenter").class_name == "Sam2Model":
        from packshot.models.segment.sam2 import Sam2

        return Sam2(sam)
    return sam


def _encode(encoder: Any, keys: dict[str, Any], dtype: torch.dtype, photos: int) -> object:
    pixels = torch.empty(photos, 3, keys["image_size"], keys["image_size"], dtype=dtype, device="meta")
    return encoder.encode_with_maps(pixels) if hasattr(encoder, "encode_with_maps") else encoder(pixels)


def _decode(sam: Any, sets: int) -> object:
    keys = sam.packshot_config
    channels, side = keys["out_chans"], keys["image_size"] // keys["patch_size"]
    features, positions, tokens, no_mask = (
        torch.empty(shape, device="meta")
        for shape in (
            (sets, channels, side, side),
            (1, channels, side, side),
            (sets, SET_TOKENS, channels),
            (1, channels, 1, 1),
        )
    )
    sides = [keys["image_size"] // 2 ** (level + 1) for level in range(len(DETAIL))]
    maps = [
        torch.empty(sets, wide, side, side, device="meta")
        for wide, side in zip(keys["detail"], sides, strict=False)
        if keys["image_size"] // side >= keys["mask_stride"]
    ]
    return sam.mask_decoder.decode(features, positions, tokens, no_mask, maps)


def geometry_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the pack's geometry. A row is a cutout. A head runs in fp32, after the encoder in `dtype`."""
    if pack.role("geometry").class_name == "GeometryHead":
        sam, head = _meta_segmenter(pack), meta_network(pack, "geometry", torch.float32)
        decoder = bytes_of(sam.prompt_encoder) + bytes_of(sam.mask_decoder)
        encoder = nn.Module.to(sam.image_encoder, dtype)
        loading = bytes_of(encoder) + decoder + bytes_of(head)
        attend_piecewise(encoder)
        call = partial(_head_geometry, encoder, head, sam.packshot_config, dtype)
        weights = bytes_of(encoder) + bytes_of(head)
    else:
        network = meta_network(pack, "geometry", dtype)
        call, weights = partial(_depth, network, dtype), bytes_of(network)
        loading = weights
    few, many = (cost_of(partial(call, cutouts)) for cutouts in (FEW, MANY))
    return linear_footprint(few, many, weights=weights, loading=loading)


def _head_geometry(encoder: Any, head: Any, keys: dict[str, Any], dtype: torch.dtype, cutouts: int) -> object:
    pixels = torch.empty(cutouts, 3, keys["image_size"], keys["image_size"], dtype=dtype, device="meta")
    features, maps = encoder.encode_with_maps(pixels)
    quarter, eighth = (one.float() for one in maps[-2:])
    outline = torch.empty(cutouts, OUTLINE, *quarter.shape[-2:], device="meta")
    return head(features.float(), quarter, eighth, outline)


def _depth(network: Any, dtype: torch.dtype, cutouts: int) -> object:
    return network(pixel_values=torch.empty(cutouts, 3, DEPTH_PX, DEPTH_PX, dtype=dtype, device="meta"))[0]


def detector_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the pack's detector. A row is a photo with its words. A head runs in fp32, on embeddings."""
    if pack.role("detector").class_name == "NameFinder":
        network, keys = meta_network(pack, "detector", torch.float32), pack.role("segmenter").config
        few, many = (cost_of(partial(_find_names, network, keys, photos)) for photos in (FEW, MANY))
        return linear_footprint(few, many, weights=bytes_of(network), loading=bytes_of(network))
    network = meta_network(pack, "detector", dtype)
    one = cost_of(partial(_ground, network, dtype))  # it looks at one photo after another
    return Footprint(
        weights_gib=bytes_of(network) / GIB,
        loading_gib=bytes_of(network) / GIB,
        base_gib=one.peak_bytes / GIB,
        row_gib=0,
        row_tflop=one.flop / TERA,
        row_gb=one.moved_bytes / GIGA,
    )


def _find_names(network: Any, keys: dict[str, Any], photos: int) -> object:
    side = keys["image_size"] // keys["patch_size"]
    features = torch.empty(photos, keys["out_chans"], side, side, device="meta")
    eighth = torch.empty(photos, keys["detail"][-1], 2 * side, 2 * side, device="meta")
    joined = network.joined(features, eighth)
    network.proposed(joined)
    boxes = torch.empty(PROPOSALS * photos, 4, device="meta")
    rows = torch.zeros(PROPOSALS * photos, dtype=torch.long, device="meta")
    asked = torch.empty(photos, len(network.phrases), device="meta")
    return network.scores(network.numbers(joined, network.mended(joined, boxes, rows), rows), asked)


def _ground(network: Any, dtype: torch.dtype) -> object:
    pixels = torch.empty(1, 3, SHORTER_PX, LONGER_PX, dtype=dtype, device="meta")
    ids = torch.zeros(1, WORD_PIECES, dtype=torch.long, device="meta")
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"  # its checks read values, which tensors of meta have none of
    try:
        return network.model(pixel_values=pixels, input_ids=ids)  # the heads after it are small
    finally:
        del os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"]


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


__all__ = ["CallCost", "cost_of", "engine_footprint", "segmenter_footprints"]
