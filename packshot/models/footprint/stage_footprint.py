"""The footprint records: the memory and arithmetic that each GPU stage of a pack needs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GpuStage = Literal["sam_encoder", "mask_decoder", "detector", "understand", "reference_encoder", "generator"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Footprint(_Strict):
    """The footprint of a stage.

    A row is a photo (sam_encoder, detector), a prompt set (mask_decoder), a cutout (understand), a reference picture
    (reference_encoder) or a batch row (generator).

    Memory: the weights take `weights_gib` permanently, and up to `loading_gib` while they load. The activations of a
    call with n rows take `base_gib` + n x `row_gib`. Calls that handle one scene, whatever the batch, take up to
    `alone_gib`. A begun scene holds `scene_gib` until it is decoded. `text_gib` of the weights are those of a text
    encoder that may run on the CPU (setting `text_encoder_device`).

    Arithmetic: each row of each call needs `row_tflop` (10^12 operations in matrix kernels), and all other kernels move
    `row_gb` (10^9 bytes) for it. Each scene needs `scene_tflop` and `scene_gb` once.
    """

    weights_gib: float = Field(gt=0)
    loading_gib: float = Field(ge=0)
    base_gib: float = Field(ge=-0.1)
    row_gib: float = Field(ge=0)
    row_tflop: float = Field(gt=0)
    row_gb: float = Field(ge=0)
    alone_gib: float = Field(0, ge=0)
    scene_gib: float = Field(0, ge=0)
    text_gib: float = Field(0, ge=0)
    scene_tflop: float = Field(0, ge=0)
    scene_gb: float = Field(0, ge=0)

    def activations_gib(self, rows: int, scenes: int = 0) -> float:
        """The peak memory besides the weights, in GiB, of a call with `rows` rows while `scenes` scenes are begun."""
        return max(self.base_gib + self.row_gib * rows, self.alone_gib) + self.scene_gib * scenes


class PackFootprint(_Strict):
    """The footprints of a pack's GPU stages. A pack without a network for a stage has none of it.

    `of` is the digest of the manifest's networks and sizes. `dtype` is the number format of the networks.
    """

    of: str
    dtype: Literal["bf16", "fp32"] = "bf16"
    stages: dict[GpuStage, Footprint]


__all__ = ["Footprint", "GpuStage", "PackFootprint"]
