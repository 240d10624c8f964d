"""Shards on disk: rendered one by one in a Blender process, checked, then put in place whole; those that exist are
kept.

`<split>-<number>.npz` holds, for N pictures of size S (H = S/2):

image    uint8   N,S,S,3  sRGB
plate    uint8   N,H,H,3  the same take without the main product, same exposure
shadow   uint8   N,H,H    light that is left where the product is not: 255 = all
alpha    uint8   N,S,S    coverage of the main product, less what neighbours hide
index    uint8   N,S,S    0 set, 1 main product, 2.. neighbours
part     uint8   N,S,S    1.. material groups of the main product, 0 elsewhere
depth    float16 N,S,S    distance along the view axis in product sizes, inf = sky
normals  int8    N,S,S,3  camera frame (x right, y up, z to the camera) times 127, 0 = nothing
gain     float32 N        exposure over the metered one

`<split>-<number>.json` holds the plan: names, captions, lights, sets, camera, printed text, pairs.

A lean shard (groups of products, `python -m training.path_traced groups`) has no plate and no shadow, and its alpha is
0 or 255.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.path_traced import prints
from training.path_traced.assets import Cache
from training.path_traced.scene_plan import ProductPlan, ShardPlan, TakePlan, ViewPlan

Arrays = Mapping[str, NDArray[Any]]
COLUMNS = {
    "image": (np.uint8, 1, (3,)), "plate": (np.uint8, 2, (3,)), "shadow": (np.uint8, 2, ()),
    "alpha": (np.uint8, 1, ()), "index": (np.uint8, 1, ()), "part": (np.uint8, 1, ()),
    "depth": (np.float16, 1, ()), "normals": (np.int8, 1, (3,)), "gain": (np.float32, 0, ()),
}  # fmt: skip
"""Column: type, what the picture's side is divided by (0: a number), trailing axes."""
NOT_LEAN = ("plate", "shadow")
"""The columns that a lean shard lacks."""
REPOSITORY = Path(__file__).parents[2]


class ShardError(ValueError):
    """A shard's arrays do not fit its plan."""


@dataclass(frozen=True)
class Picture:
    """One picture of a shard with all that is known about it."""

    view: ViewPlan
    take: TakePlan
    arrays: Arrays


def render(
    plan: ShardPlan, out: Path, cache: Cache, *, threads: int = 1, niceness: int = 0, lean: bool = False
) -> bool:
    """Render a shard into `out` unless it is there. Gives whether it was rendered."""
    arrays_path, plan_path = out / f"{plan.stem}.npz", out / f"{plan.stem}.json"
    if arrays_path.exists() and plan_path.exists():
        return False
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        partial = out / f".{plan.stem}.{os.getpid()}.partial"
        job = Path(folder) / "job.json"
        folders = {
            "catalogues": str(cache.catalogues), "hdris": str(cache.hdris), "cache": str(cache.objects),
            "textures": str(cache.textures),
        }  # fmt: skip
        labels = _print(plan, Path(folder), cache)
        job.write_text(
            json.dumps(
                {
                    "plan": json.loads(plan.to_json()),
                    "folders": folders,
                    "labels": labels,
                    "threads": threads,
                    "lean": lean,
                    "out": str(partial),
                }
            )
        )
        command = [str(cache.python), "-m", "training.path_traced.blender.worker", str(job)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        try:
            done = subprocess.run(
                ["nice", "-n", str(niceness), *command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(
                    f"Blender ended with {done.returncode} on {plan.stem}: {(done.stderr or done.stdout)[-2000:]}"
                )
            with np.load(partial) as arrays:
                check(plan, arrays, lean=lean)
            plan_path.write_text(plan.to_json())
            partial.replace(arrays_path)
        finally:
            partial.unlink(missing_ok=True)
    return True


def _print(plan: ShardPlan, folder: Path, cache: Cache) -> dict[str, str]:
    """Print every label of the plan; gives the picture's path by the product's place in the plan."""
    fonts, paths = cache.fonts(), {}
    for number, view in enumerate(plan.views):
        label = view.main.label
        if label is not None:
            path = folder / f"label-{number}.png"
            prints.picture(label, fonts, label_aspect(view.main)).save(path)
            paths[str(number)] = str(path)
    return paths


PRINT_ASPECT = {"box": 1.0, "bottle": 2.1, "jar": 2.0, "can": 1.45, "tube": 4.0, "perfume": 1.4}
"""Width over height of the printed area, over that of the package."""


def label_aspect(main: ProductPlan) -> float:
    """Width over height of the printed area, roughly: a carton's front, or what is seen of a turned body."""
    width, _, height = main.size_xyz
    return float(np.clip(width / height * PRINT_ASPECT[main.family], 0.4, 3.0))


def check(plan: ShardPlan, arrays: Arrays, *, lean: bool = False) -> None:
    """Raise ShardError unless the arrays have the plan's shapes and the labels agree with one another."""
    for name, (kind, divisor, tail) in COLUMNS.items():
        if lean and name in NOT_LEAN:
            continue
        side = (plan.size_px // divisor,) * 2 if divisor else ()
        wanted = (plan.pictures, *side, *tail)
        if name not in arrays or arrays[name].shape != wanted or arrays[name].dtype != kind:
            got = f"{arrays[name].dtype} {arrays[name].shape}" if name in arrays else "none"
            raise ShardError(f"{plan.stem}: {name} must be {np.dtype(kind)} {wanted}, got {got}")
    alpha, index, part, image = (arrays[name] for name in ("alpha", "index", "part", "image"))
    if not np.array_equal(index == 1, alpha >= 128):
        raise ShardError(f"{plan.stem}: index 1 must be where alpha is at least one half")
    if ((part > 0) & (index != 1)).any():
        raise ShardError(f"{plan.stem}: parts must lie on the main product")
    shares = (alpha >= 128).mean((1, 2))
    spread = np.asarray(image, np.float32).std((1, 2, 3))
    if (spread < 1.0).all():
        raise ShardError(f"{plan.stem}: every picture is blank")
    if (shares == 0).all():
        raise ShardError(f"{plan.stem}: no picture shows its product")


def pictures(path: Path) -> Iterator[Picture]:
    """Every picture of the shard at `path` (.npz), with its view and take."""
    plan = ShardPlan.from_json(path.with_suffix(".json").read_text())
    with np.load(path) as shard:
        arrays = {name: shard[name] for name in COLUMNS if name in shard.files}
    row = 0
    for view in plan.views:
        for take in view.takes:
            yield Picture(view, take, {name: values[row] for name, values in arrays.items()})
            row += 1


def usable(picture: Picture) -> bool:
    """Whether a picture is fit for training: its product is seen, and it is neither black nor burnt."""
    share = float(np.mean(np.asarray(picture.arrays["alpha"]) >= 128))
    mean = float(np.asarray(picture.arrays["image"], np.float32).mean())
    return 0.01 < share < 0.75 and 12 < mean < 246


def render_all(
    plans: Iterator[ShardPlan], out: Path, cache: Cache, *, threads: int, niceness: int, lean: bool = False
) -> list[str]:
    """Render the missing shards one after another, and say how fast. Gives the stems that failed; the others go on."""
    cache.check()
    begin, rendered, failed = time.perf_counter(), 0, list[str]()
    for plan in plans:
        try:
            fresh = render(plan, out, cache, threads=threads, niceness=niceness, lean=lean)
        except (RuntimeError, ShardError) as error:
            print(f"{plan.stem} failed: {error}", flush=True)
            failed.append(plan.stem)
            continue
        if fresh:
            rendered += plan.pictures
            seconds = time.perf_counter() - begin
            rate = f"{rendered / seconds * 3600:.0f} an hour, {seconds / rendered:.1f} s each"
            print(f"{plan.stem}: {rendered} pictures, {rate}", flush=True)
    return failed
