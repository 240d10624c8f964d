"""What one stage of a pack needs of memory and arithmetic: the record that is kept, planned with and computed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GpuStage = Literal["sam_encoder", "mask_decoder", "generator"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Footprint(_Strict):
    """One stage of a pack. A row: a photo (sam_encoder), a prompt set (mask_decoder),
    a row of a denoising step (generator).

    `weights_gib` stay; `loading_gib` is the most while they load. Activations of a call: `base_gib` + `row_gib` x rows,
    or `alone_gib`, that of the largest call that takes one scene whatever the batch. `scene_gib`: what a scene on its
    way holds. Each row of each call spends `row_tflop` (10^12 multiplications and additions in matrix kernels) and
    moves `row_gb` (10^9 bytes in all others); each scene, once, `scene_tflop` and `scene_gb`.
    """

    weights_gib: float = Field(gt=0)
    loading_gib: float = Field(ge=0)
    base_gib: float = Field(ge=-0.1)
    row_gib: float = Field(ge=0)
    row_tflop: float = Field(gt=0)
    row_gb: float = Field(ge=0)
    alone_gib: float = Field(0, ge=0)
    scene_gib: float = Field(0, ge=0)
    scene_tflop: float = Field(0, ge=0)
    scene_gb: float = Field(0, ge=0)

    def activations_gib(self, rows: int, scenes: int = 0) -> float:
        """The most beside the weights, GiB: a call of so many rows, while so many scenes are on their way."""
        return max(self.base_gib + self.row_gib * rows, self.alone_gib) + self.scene_gib * scenes


class PackFootprint(_Strict):
    """`of`: digest of the manifest's networks and sizes. `dtype`: the arithmetic that it is for."""

    of: str
    dtype: Literal["bf16", "fp32"] = "bf16"
    stages: dict[GpuStage, Footprint]


__all__ = ["Footprint", "GpuStage", "PackFootprint"]
