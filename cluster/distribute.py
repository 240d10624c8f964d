"""Runs a training in N processes with Ray Train, on this machine or on the cluster that RAY_ADDRESS names.

Every worker runs the training's own function. `fit` uses the process group that Ray Train has set up, and averages
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

from cluster.private_ray import bind_to_loopback, private_environment, ray_folder
from packshot.errors import PackshotError
from packshot.training.progress import TrainingOptions

RETRIES = 2
"""Failures after which the training is resumed."""
STORE_BYTES = 100 * 1024**2
"""Ray's object store on this machine. A training keeps nothing in it but its function and arguments."""


def distribute(train: Callable[..., object], arguments: Mapping[str, Any], workers: int, threads: int = 0) -> None:
    """Call train(**arguments) in `workers` processes with `threads` CPUs each; 0 = this machine's, shared out.

    Each has a GPU when the plan's device is cuda. `arguments` must contain `out` (the run's folder) and `plan`. Paths
    in it are made absolute. Raises the PackshotError of a worker that raised one.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer

    arguments = {name: _absolute(value) for name, value in arguments.items()}
    cuda = arguments["plan"].device.type == "cuda"
    threads = threads or max(1, (os.cpu_count() or 1) // workers)
    if not ray.is_initialized():
        _start_ray(workers * threads)
    share = {"CPU": threads, **({"GPU": 1} if cuda else {})}
    trainer = TorchTrainer(
        _work,
        train_loop_config={"train": train, "arguments": arguments, "threads": threads},
        torch_config=TorchConfig(backend="nccl" if cuda else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=cuda, resources_per_worker=share),
        run_config=RunConfig(storage_path=str(arguments["out"] / "ray"), failure_config=FailureConfig(RETRIES)),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        for failure in error.worker_failures.values():
            cause = getattr(failure, "_base_exc", failure)  # Ray wraps it with its traceback
            if isinstance(cause, PackshotError):
                raise cause from error
        raise


def _start_ray(cpus: int) -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray for this user alone, on loopback."""
    import ray

    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address)
        return
    folder = ray_folder()
    os.environ.update({**private_environment(folder), "RAY_USAGE_STATS_ENABLED": "0"})
    bind_to_loopback()
    ray.init(
        "local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder / "ray"),
    )


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
