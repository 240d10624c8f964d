"""The training loop of all parts. Each part provides a network, its data and a loss.

    1. Set the learning rate (`Run.rate`).
    2. Compute the part's loss of one batch, in bf16 where the device has units for it.
    3. Backward; with several workers, average gradients and metrics over them.
    4. Clip the gradients, step, update the averaged weights (EMA).
    5. Count, log, and save every two minutes.

Workers average gradients by an explicit all-reduce. These networks are called in parts (`vae.encode`, then
`vae.decode`), and DistributedDataParallel synchronises only gradients of `forward`. Each worker has its own running
means of batch norm; rank 0's are saved, as in DistributedDataParallel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from packshot.training.progress import Run

__all__ = ["Loss", "bf16_where_fast", "fit"]

MOST_GRADIENT = 1.0
"""Norm to which gradients are clipped."""


class Loss(NamedTuple):
    """The loss of a batch (scalar, with its graph), its number of samples, and the metrics to log (scalars)."""

    value: Tensor
    samples: int
    metrics: Mapping[str, Tensor]


def fit(
    run: Run,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Loss],
    *,
    ema: float = 0.0,
    on_log: Callable[[], object] = lambda: None,
    on_save: Callable[[], object] = lambda: None,
    on_step: Callable[[], object] = lambda: None,
    precision: torch.dtype | None = None,
    **extra: Any,
) -> nn.Module:
    """Train `net` until the run's plan is done. Returns the network with the weights to use: averaged when `ema` > 0.

    `loss` computes the loss of the next batch. `ema` is the decay of the averaged weights per step; it starts low and
    rises to this value. `on_log` is called after each line of metrics, for example to look for new data, and `on_save`
    after each checkpoint. `on_step` is called after each step, and may end the training by `run.stop`. `precision` is
    the number format of the loss's kernels; None = bf16 where it is fast. In fp16 the loss is scaled, so that small
    gradients do not vanish. `extra` is added to the checkpoint.

    Raises RuntimeError when the workers would resume from different checkpoints.
    """
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    average = copy.deepcopy(net).requires_grad_(False) if ema else None
    if run.state:
        net.load_state_dict(run.state["net"])
        if "optimizer" in run.state:  # `training.mini.warm` writes checkpoints without one
            optimizer.load_state_dict(run.state["optimizer"])
        if average is not None:
            average.load_state_dict(run.state["ema"])
        run.state = {}
    _synchronise(run, net, average)
    torch.manual_seed(int(run.rng.integers(2**62)))  # from here on every rank draws different noise

    def save() -> None:
        averaged = {} if average is None else {"ema": average.state_dict()}
        run.save({"net": net.state_dict(), **averaged, "optimizer": optimizer.state_dict(), **extra})

    scaler = torch.amp.GradScaler(run.plan.device.type, enabled=precision is torch.float16)
    run.begin()
    while run.done < 1:
        for group in optimizer.param_groups:
            group["lr"] = run.rate()
        with _autocast(run.plan.device, precision):
            value, samples, metrics = loss()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        metrics = _averaged(run, weights, {name: metric.detach().float() for name, metric in metrics.items()})
        nn.utils.clip_grad_norm_(weights, MOST_GRADIENT)
        scaler.step(optimizer)
        scaler.update()
        if average is not None:
            _update_average(average, net, min(ema, (1 + run.step) / (10 + run.step)))
        if run.tick(samples * run.ranks, metrics):
            on_log()
        on_step()
        run.update()
        if run.save_due:
            save()
            on_save()
    save()
    run.close()
    return net if average is None else average


def _autocast(device: torch.device, precision: torch.dtype | None) -> torch.autocast:
    if precision is None:
        return bf16_where_fast(device)
    return torch.autocast(device.type, precision, enabled=precision is not torch.float32)


def bf16_where_fast(device: torch.device) -> torch.autocast:
    """Autocast to bf16 on a GPU, and on a CPU with matrix units for it (AMX). Other CPUs train in fp32."""
    fast = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


@torch.no_grad()
def _update_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the network's, of which `keep` stays. Buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
    for mean, value in zip(average.buffers(), net.buffers(), strict=True):
        mean.copy_(value)


@torch.no_grad()
def _synchronise(run: Run, *nets: nn.Module | None) -> None:
    """Copy rank 0's weights to every rank. Raises RuntimeError unless all resume from the same step."""
    if run.ranks == 1:
        return
    step = torch.tensor([run.step], device=run.plan.device)
    dist.broadcast(step, src=0)
    if int(step) != run.step:
        raise RuntimeError(
            f"every worker must see the folder {run.folder}; rank 0 resumes from step {int(step)}, rank {run.rank} "
            f"from {run.step}"
        )
    for tensor in (tensor for net in nets if net is not None for tensor in net.state_dict().values()):
        dist.broadcast(tensor, src=0)


def _averaged(run: Run, weights: list[nn.Parameter], metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average all gradients (in place) and the metrics over the ranks, with one all-reduce of one flat tensor."""
    if run.ranks == 1:
        return metrics
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([part.flatten() for part in (*gradients, *metrics.values())])
    dist.all_reduce(flat)
    parts = (flat / run.ranks).split([part.numel() for part in (*gradients, *metrics.values())])
    for gradient, part in zip(gradients, parts, strict=False):
        gradient.copy_(part.view_as(gradient))
    return dict(zip(metrics, (part[0] for part in parts[len(gradients) :]), strict=True))
