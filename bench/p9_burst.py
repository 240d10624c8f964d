"""P9: a simulated five-fold burst. Late shots and replica-seconds, the pipeline's policy against Serve's autoscaler.

The simulation runs the policy function that Serve runs. Serve's autoscaler is Serve's own code, on contexts with the
same delays as in Serve (cluster/simulate/policies.py). The five bursts come from seeds on which neither side was tuned.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from bench.harness import Row, print_row
from cluster.simulate import contest, traces
from cluster.simulate.pipeline import Pipeline, Run
from cluster.simulate.report import WARM_UP_S
from cluster.simulate.stages import A_24_GB_CARD

STOCK = Row("P9-stock", "5× burst: late shots, the pipeline's policy ÷ Serve's default autoscaler", 0.2)
TUNED = Row("P9-tuned", "5× burst: late shots, the pipeline's policy ÷ Serve's autoscaler with tuned delays", 0.6)
STOCK_COST = Row("P9-stock-cost", "5× burst: replica-seconds, the pipeline's policy ÷ Serve's defaults", 1.1)
TUNED_COST = Row("P9-tuned-cost", "5× burst: replica-seconds, the pipeline's policy ÷ tuned", 1.1)
SEEDS = (1, 2, 3, 4, 5)
RATE, HIGH, BEGIN = 1.5, 48, 6
"""Shots per second outside the burst, largest number of generators, number of generators at the beginning."""

POLICIES = ("ours", "stock", "tuned")


def run(policy: str, seed: int) -> Run:
    """Simulate one burst under one policy."""
    makers = {
        "ours": lambda: contest.ours(A_24_GB_CARD, HIGH, BEGIN),
        "stock": lambda: contest.stock(HIGH, BEGIN),
        "tuned": lambda: contest.tuned(HIGH, BEGIN),
    }
    return Pipeline(traces.burst(RATE, seed=seed), A_24_GB_CARD, makers[policy]()).simulate()


def late(one: Run) -> int:
    """The number of shots that missed the SLO."""
    return one.misses(contest.SLO_S, WARM_UP_S)[0]


def replica_seconds(one: Run) -> float:
    """The replica-seconds of all stages."""
    return sum(one.replica_seconds.values())


def main() -> int:
    """Simulate and report."""
    late_of: dict[str, list[int]] = {"ours": [], "stock": [], "tuned": []}
    cost_of: dict[str, list[float]] = {"ours": [], "stock": [], "tuned": []}
    generators_of: dict[str, list[float]] = {"ours": [], "stock": [], "tuned": []}
    jobs = [(policy, seed) for seed in SEEDS for policy in POLICIES]
    with ProcessPoolExecutor(2) as pool:
        for (policy, _), one in zip(jobs, pool.map(run, *zip(*jobs, strict=True)), strict=True):
            late_of[policy].append(late(one))
            cost_of[policy].append(replica_seconds(one))
            generators_of[policy].append(one.replica_seconds["generator"])
    holds = []
    for theirs, row, cost_row in (("stock", STOCK, STOCK_COST), ("tuned", TUNED, TUNED_COST)):
        ratios = [ours / max(their, 1) for ours, their in zip(late_of["ours"], late_of[theirs], strict=True)]
        costs = [ours / their for ours, their in zip(cost_of["ours"], cost_of[theirs], strict=True)]
        gpus = [ours / their for ours, their in zip(generators_of["ours"], generators_of[theirs], strict=True)]
        counts = {"late": {"ours": late_of["ours"], "theirs": late_of[theirs]}}
        holds.append(print_row(row, ratios, parity="same arrivals, bounds and beginning", **counts))
        holds.append(print_row(cost_row, costs, generators=[round(ratio, 3) for ratio in gpus]))
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
