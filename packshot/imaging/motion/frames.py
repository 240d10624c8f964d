"""The frames of a clip, one at a time: the scene moved by its disparity, and the product's layer over it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from packshot.contract.clips import Move
from packshot.imaging.motion.camera import Camera, Pose, camera_for
from packshot.imaging.motion.disparity import scene_disparity
from packshot.imaging.motion.plate import clean_plate, spread
from packshot.types import F32, U8, Flat

__all__ = ["Frames", "frame_size"]

GRID_PX = 4
"""Where a frame sees the scene is computed for one in this many pixels of each side; it changes slowly."""
TRACE_PX = 2
"""How far outside the product's edge the scene is filled anew, in the picture's pixels."""
ROUNDS = 4
"""The disparity of a seen point depends on the point; this many rounds find it to 0.1 px."""


def frame_size(picture: tuple[int, int], longer_px: int) -> tuple[int, int]:
    """(width, height) of a clip whose longer side is `longer_px`: the picture's aspect ratio, and even sides."""
    width, height = (max(2, 2 * round(side * longer_px / max(picture) / 2)) for side in picture)
    return width, height


class Frames:
    """The frames of a clip of one picture. Iterating makes them, one in memory at a time; each is uint8 hxwx3 RGB.

    `picture` is the finished picture, uint8 HxWx3 RGB, and `flat` its layout at the same size: opaque pixels of the
    product are the picture's own. `depth` is a depth map of the picture, if there is one (`scene_disparity`).
    `longer_px` is the longer side of the frames. Raises ValueError when picture and layout differ in size.
    """

    def __init__(
        self,
        picture: U8,
        flat: Flat,
        move: Move,
        seconds: float,
        fps: int,
        longer_px: int,
        depth: F32 | None = None,
    ) -> None:
        if picture.shape[:2] != flat.alpha.shape:
            raise ValueError(f"picture and layout must have one size, got {picture.shape[:2]} and {flat.alpha.shape}")
        self.count = round(seconds * fps)
        self.fps = fps
        self.size = frame_size((picture.shape[1], picture.shape[0]), longer_px)
        product = np.where(flat.alpha[..., None] == 255, np.dstack([picture, flat.alpha]), flat.pixels)
        self._disparity = scene_disparity(picture, flat.alpha, depth)
        self.camera = self._camera(move, seconds, np.ascontiguousarray(flat.alpha))
        self._prepare(picture, np.asarray(product, np.uint8))

    def _camera(self, move: Move, seconds: float, alpha: U8) -> Camera:
        x, y, across, down = cv2.boundingRect(alpha)
        height, width = alpha.shape
        box = (x, y, x + across, y + down) if across else (0, 0, width, height)
        return camera_for(
            move, seconds, (width, height), box, (float(self._disparity.min()), float(self._disparity.max()))
        )

    def _prepare(self, picture: U8, product: U8) -> None:
        """Bring plate and product to the size at which the frames read them: never above the picture's own."""
        height, width = picture.shape[:2]
        closest = max(self.camera.product_affine(self.camera.pose(time))[0] for time in (0.0, 1.0))
        factor = min(1.0, self.size[0] * closest / width)
        small = (max(1, round(width * factor)), max(1, round(height * factor)))
        alpha = np.ascontiguousarray(product[..., 3])
        colours = spread(product) if alpha.any() else np.ascontiguousarray(product[..., :3])
        # the painter leaves a trace of the product just outside its edge, which would show when the scene moves away
        ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * TRACE_PX + 1, 2 * TRACE_PX + 1))
        cover = np.asarray(cv2.dilate(np.asarray(alpha > 0, np.uint8), ring), np.float32)
        if factor < 1:
            picture, colours, alpha, cover = (
                cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (picture, colours, alpha, cover)
            )
        self._per_px = (small[0] / width, small[1] / height)
        self._plate = clean_plate(picture, np.asarray(cover > 0, np.uint8))
        self._layer = (colours, alpha)
        self._drawn: tuple[tuple[float, float, float], U8, U8] | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[U8]:
        return (self.frame(index) for index in range(self.count))

    def frame(self, index: int) -> U8:
        """The frame number `index`, uint8 hxwx3 RGB. A looping clip's last frame is the one before its first."""
        last = self.count if self.camera.loops else max(1, self.count - 1)
        pose = self.camera.pose(index / last)
        return self._over(self._scene(pose), pose)

    def sources(self, pose: Pose) -> tuple[F32, F32]:
        """The plate's points (x, y) in pixels that a frame sees, on the frame's grid of one in GRID_PX pixels.

        The grid reaches a cell beyond the frame on each side.
        """
        across, down = (np.arange(-1, -(-side // GRID_PX) + 1, dtype=np.float32) for side in self.size)
        plate_height, plate_width = self._plate.shape[:2]
        width, height = plate_width / self._per_px[0], plate_height / self._per_px[1]  # of the picture
        x, y = np.meshgrid(
            ((across + 0.5) * GRID_PX) * (width / self.size[0]), ((down + 0.5) * GRID_PX) * (height / self.size[1])
        )
        map_height, map_width = self._disparity.shape
        at_x, at_y = x, y
        for _ in range(ROUNDS):
            disparity = cv2.remap(
                self._disparity,
                np.asarray(at_x * (map_width / width) - 0.5, np.float32),
                np.asarray(at_y * (map_height / height) - 0.5, np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            at_x, at_y = self.camera.seen_from(x, y, np.asarray(disparity, np.float32), pose)
        return (
            np.asarray(at_x * self._per_px[0] - 0.5, np.float32),
            np.asarray(at_y * self._per_px[1] - 0.5, np.float32),
        )

    def _scene(self, pose: Pose) -> U8:
        width, height = self.size
        maps = []
        for grid in self.sources(pose):
            wide = cv2.resize(grid, (grid.shape[1] * GRID_PX, grid.shape[0] * GRID_PX), interpolation=cv2.INTER_LINEAR)
            maps.append(np.ascontiguousarray(wide[GRID_PX : GRID_PX + height, GRID_PX : GRID_PX + width]))
        seen = cv2.remap(self._plate, maps[0], maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.uint8)

    def _over(self, scene: U8, pose: Pose) -> U8:
        """Lay the product over the scene, in place."""
        affine = self.camera.product_affine(pose)
        if self._drawn is None or self._drawn[0] != affine:
            self._drawn = (affine, *self._draw(affine))
        _, colours, alpha = self._drawn
        x, y, across, down = cv2.boundingRect(alpha)
        if across == 0:
            return scene
        here = np.s_[y : y + down, x : x + across]
        share = alpha[here].astype(np.uint16)[..., None]
        scene[here] = ((colours[here] * share + scene[here] * (255 - share) + 127) // 255).astype(np.uint8)
        return scene

    def _draw(self, affine: tuple[float, float, float]) -> tuple[U8, U8]:
        """The product's layer as a frame shows it: colours and alpha."""
        scale, x, y = affine
        to_frame = self.size[0] / (self._plate.shape[1] / self._per_px[0])
        factor = (scale * to_frame / self._per_px[0], scale * to_frame / self._per_px[1])
        move = np.array(
            [
                [factor[0], 0, x * to_frame + factor[0] / 2 - 0.5],
                [0, factor[1], y * to_frame + factor[1] / 2 - 0.5],
            ]
        )
        colours, alpha = (
            np.asarray(cv2.warpAffine(part, move, self.size, flags=cv2.INTER_CUBIC, borderMode=edge), np.uint8)
            for part, edge in zip(self._layer, (cv2.BORDER_REPLICATE, cv2.BORDER_REPLICATE), strict=True)
        )
        return colours, alpha
