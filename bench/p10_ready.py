"""P10: the start of a generator replica, against a bare process with the same imports that reads the same bytes.

Both run with a warm page cache. The replica is ready when Serve routes requests to it: its weights are loaded and
verified, and its batch curve is measured.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial

import ray
from ray import serve

from bench.harness import Row, Sides, report, timed
from cluster.local import ENVIRONMENT
from deployments.generator import GeneratorDeployment
from deployments.ray_support.decorated import as_deployment
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings

ROW = Row("P10", "replica ready ÷ process start + imports + the same bytes read", 1.3)
REPEATS = 5
BARE = """
import sys
from pathlib import Path
import ray.serve, deployments.generator, packshot.models.engines.unet_controlnet, diffusers, transformers, torch
from diffusers import AutoencoderTiny, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel
for name in sys.argv[1:]:
    Path(name).read_bytes()
"""


def main() -> int:
    """Measure and report."""
    pack = find_pack("mini", Settings())
    files = [str(path) for path in sorted(pack.folder.glob("*.safetensors")) if "segmenter" not in path.name]
    env = {**ENVIRONMENT}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": env},
    )
    serve.start(proxy_location="Disabled")
    started: list[tuple[float, float]] = []
    try:
        for _ in range(REPEATS + 1):
            app = as_deployment(GeneratorDeployment).bind("mini", 2)
            ours = timed(partial(serve.run, app, name="p10", route_prefix=None))
            serve.delete("p10")
            theirs = timed(lambda: subprocess.run([sys.executable, "-c", BARE, *files], check=True))
            started.append((ours, theirs))
    finally:
        serve.shutdown()
        ray.shutdown()
    sides = Sides([pair[0] for pair in started[1:]], [pair[1] for pair in started[1:]])  # without the warm-up
    return 0 if report(ROW, sides, f"{len(files)} files of weights") else 1


if __name__ == "__main__":
    raise SystemExit(main())
