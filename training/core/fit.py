"""The one training loop: every part brings a network, its data and a loss; the rest is here.

    1. Set the learning rate (`Run.rate`).
    2. Ask the part for the loss of one batch, in bf16 on a GPU.
    3. Backward; with several workers, average gradients and metrics over them.
    4. Clip, step, move the averaged weights (EMA).
    5. Count, log, and every two minutes save.

Data-parallel by an explicit all-reduce: these networks are called in parts (`vae.encode`, then `vae.decode`), where
DistributedDataParallel, which watches `forward` alone, would leave the workers' gradients apart. Batch norm's running
means are each worker's own; rank 0's are kept, as in DistributedDataParallel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.core.progress import Run

MOST_GRADIENT = 1.0


class Loss(NamedTuple):
    """A batch's loss (scalar, with its graph), how many samples it had, and what to log (scalars)."""

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
    **also: Any,
) -> nn.Module:
    """Train `net` until the run's plan is done, and give the weights to use: the averaged ones where `ema` > 0.

    ema: how much of the averaged weights stays at each step; nearly nothing at first. on_log: called after each line of
    metrics, to look for new data. also: what else belongs into the checkpoint.
    """
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    average = copy.deepcopy(net).requires_grad_(False) if ema else None
    if run.state:
        net.load_state_dict(run.state["net"])
        optimizer.load_state_dict(run.state["optimizer"])
        if average is not None:
            average.load_state_dict(run.state["ema"])
        run.state = {}
    _alike(run, net, average)
    torch.manual_seed(int(run.rng.integers(2**62)))  # from here on every rank draws its own noise

    def save() -> None:
        averaged = {} if average is None else {"ema": average.state_dict()}
        run.save({"net": net.state_dict(), **averaged, "optimizer": optimizer.state_dict(), **also})

    run.begin()
    while run.done < 1:
        for group in optimizer.param_groups:
            group["lr"] = run.rate()
        with half_on_gpu(run.plan.device):
            value, samples, metrics = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        metrics = _averaged(run, weights, {name: metric.detach().float() for name, metric in metrics.items()})
        nn.utils.clip_grad_norm_(weights, MOST_GRADIENT)
        optimizer.step()
        if average is not None:
            _follow(average, net, min(ema, (1 + run.step) / (10 + run.step)))
        if run.tick(samples * run.ranks, metrics):
            on_log()
        run.look()
        if run.save_due:
            save()
            on_save()
    save()
    run.close()
    return net if average is None else average


def half_on_gpu(device: torch.device) -> torch.autocast:
    """bf16 where a GPU has it; a CPU trains in fp32 (bf16 pays only where the processor has units for it)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
    for mean, value in zip(average.buffers(), net.buffers(), strict=True):
        mean.copy_(value)


@torch.no_grad()
def _alike(run: Run, *nets: nn.Module | None) -> None:
    """Give every rank rank 0's weights, and see that all go on from the same checkpoint."""
    if run.ranks == 1:
        return
    step = torch.tensor([run.step], device=run.plan.device)
    dist.broadcast(step, src=0)
    if int(step) != run.step:
        raise RuntimeError(
            f"every worker must see the folder {run.folder}; rank 0 goes on from step {int(step)}, rank {run.rank} "
            f"from {run.step}"
        )
    for tensor in (tensor for net in nets if net is not None for tensor in net.state_dict().values()):
        dist.broadcast(tensor, src=0)


def _averaged(run: Run, weights: list[nn.Parameter], metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average all gradients, in place, and the metrics over the ranks: one all-reduce of one flat tensor."""
    if run.ranks == 1:
        return metrics
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([part.flatten() for part in (*gradients, *metrics.values())])
    dist.all_reduce(flat)
    parts = (flat / run.ranks).split([part.numel() for part in (*gradients, *metrics.values())])
    for gradient, part in zip(gradients, parts, strict=False):
        gradient.copy_(part.view_as(gradient))
    return dict(zip(metrics, (part[0] for part in parts[len(gradients) :]), strict=True))
