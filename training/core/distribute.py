"""Runs a training in N processes with Ray Train, on this machine or on the cluster that RAY_ADDRESS names.

Every worker runs the part's own function. `fit` uses the process group that Ray Train has set up, and averages
gradients over it. All workers must see the same runs folder. A worker that dies is replaced, and all resume from the
last checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from training.core.progress import TrainingOptions

RETRIES = 2
"""Failures after which the training is resumed."""


def distribute(train: Callable[..., object], arguments: Mapping[str, Any], workers: int, threads: int = 1) -> None:
    """Call train(**arguments) in `workers` processes with `threads` CPUs each.

    Each has a GPU when the plan's device is cuda. `arguments` must contain `out` (the run's folder) and `plan`. Paths
    in it are made absolute.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    arguments = {name: _absolute(value) for name, value in arguments.items()}
    cuda = arguments["plan"].device.type == "cuda"
    if not ray.is_initialized():
        if address := os.environ.get("RAY_ADDRESS"):
            ray.init(address)
        else:
            ray.init("local", num_cpus=workers * threads, include_dashboard=False)
    share = {"CPU": threads, **({"GPU": 1} if cuda else {})}
    TorchTrainer(
        _work,
        train_loop_config={"train": train, "arguments": arguments, "threads": threads},
        torch_config=TorchConfig(backend="nccl" if cuda else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=cuda, resources_per_worker=share),
        run_config=RunConfig(storage_path=str(arguments["out"] / "ray"), failure_config=FailureConfig(RETRIES)),
    ).fit()


def _work(config: dict[str, Any]) -> None:
    from ray.train.torch import get_device

    torch.set_num_threads(config["threads"])
    plan: TrainingOptions = config["arguments"]["plan"]
    if plan.device.type == "cuda":
        plan = replace(plan, device=get_device())
    config["train"](**{**config["arguments"], "plan": plan})


def _absolute(value: Any) -> Any:
    """Make paths absolute, because workers may run in another working directory."""
    if isinstance(value, Path):
        return value.resolve()
    return [_absolute(one) for one in value] if isinstance(value, list) else value
