"""P16: what a second condition costs: the processor time of a denoising step with edges and depth ÷ with edges alone.

The engine is the embedded pack's, traced as in a replica, with two guided scenes in the step. Its depth ControlNet has
the weights of its own edges: time does not depend on them. `mixed` is a step in which one of the two scenes has both
conditions.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from bench.harness import Row, interleave, report
from bench.p4_goodput import scene_of
from packshot.contract.shot_spec import Condition
from packshot.models.device import pick_device, pick_dtype
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import ConditionMaps, Scene

STEPS, REPEATS = 4, 15
DEPTH = Condition(kind="depth", scale=0.8)

TWO = Row("P16-two", "a step of two scenes with edges and depth ÷ with edges alone, processor time", 1.5)
MIXED = Row("P16-mixed", "the same when one of the two scenes has both", 1.5)


def mini_with_depth(folder: Path) -> Path:
    """Write a copy of the embedded pack whose edges' ControlNet also serves as that of depth. Returns its folder."""
    mini = find_pack("mini", Settings(pack_path=""))
    made = shutil.copytree(mini.folder, folder / "mini")
    manifest = yaml.safe_load((made / "manifest.yaml").read_text("utf-8"))
    channels = ["depth"] * len(mini.role("controlnet").control_channels)
    manifest["roles"]["controlnet_depth"] = {**manifest["roles"]["controlnet"], "control_channels": channels}
    manifest["controls"] = ["depth"]
    (made / "manifest.yaml").write_text(yaml.safe_dump(manifest), "utf-8")
    return made


def deep(scene: Scene) -> Scene:
    """The scene with a depth map and its condition."""
    depth = np.asarray(255 - scene.inpaint_mask, np.uint8)
    brief = replace(scene.brief, conditions=(DEPTH,))
    return replace(scene, brief=brief, maps=ConditionMaps(depth=depth))


def main() -> None:
    device = pick_device()
    with tempfile.TemporaryDirectory() as folder:
        pack = find_pack("mini", Settings(pack_path=str(mini_with_depth(Path(folder)))))
        engine = DiffusionEngine(pack, device, pick_dtype(device), freeze=True)
        engine.step_seconds((1,))
        plain = [scene_of(engine, STEPS, seed) for seed in range(2)]

        def rows_of(scenes: list[Scene]) -> list[Denoising]:
            return [engine.begin(scene) for scene in scenes]

        sides = {
            TWO: (rows_of([deep(one) for one in plain]), rows_of(plain)),
            MIXED: (rows_of([deep(plain[0]), plain[1]]), rows_of(plain)),
        }

        def steps(rows: list[Denoising]) -> None:
            for row in rows:
                row.index = 0
            while not rows[0].done:
                engine.step(rows)

        holds = []
        for target, (ours, theirs) in sides.items():
            measured = interleave(lambda: steps(ours), lambda: steps(theirs), REPEATS, time.process_time)  # noqa: B023
            told = "depth changes the latents" if changed(ours, theirs) else "NO EFFECT"
            holds.append(report(target, measured, told))
    sys.exit(0 if all(holds) else 1)


def changed(ours: list[Denoising], theirs: list[Denoising]) -> bool:
    """Whether the first scenes of both sides differ."""
    return not torch.equal(ours[0].latents, theirs[0].latents)


if __name__ == "__main__":
    main()
