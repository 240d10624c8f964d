"""What limits a catalogue of 50,000 SKUs: the table of docs/capacity.md, its order, and the simulation's agreement."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.profiles import load_profile
from cluster.simulate.limits import limits, rows
from cluster.simulate.pipeline import Pipeline
from cluster.simulate.policies import Fixed
from cluster.simulate.stages import A_24_GB_CARD
from cluster.simulate.traces import Arrival, Trace
from packshot.settings import Settings

PAGE = Path(__file__).parents[3] / "docs/capacity.md"


def test_the_page_has_the_table_that_the_profile_gives() -> None:
    _, _, rest = PAGE.read_text("utf-8").partition("<!-- limits -->\n")
    shown, _, _ = rest.partition("\n<!-- /limits -->")
    assert shown.splitlines() == rows(load_profile("production")), "write `--limits production` between the marks"


def test_the_first_limit_is_what_is_used_up_first_and_more_of_it_moves_the_limit() -> None:
    production = load_profile("production")
    first, second, *_ = limits(production, Settings())
    assert first.resource == "finisher processors"
    assert first.skus_s == pytest.approx(24 / 3.37, rel=0.01)
    assert second.skus_s > first.skus_s
    stage = production.stages["finisher"]
    assert stage.replicas is not None
    wide = stage.model_copy(update={"replicas": stage.replicas.model_copy(update={"max": 110})})
    wider = production.model_copy(update={"stages": {**production.stages, "finisher": wide}})
    assert limits(wider, Settings())[0] == second


@pytest.mark.parametrize("finishers", [24, 110])
def test_a_simulated_catalogue_runs_at_the_rate_of_its_first_limit(finishers: int) -> None:
    """24 finishers are used up before 32 cards, 110 are not. The first and the last shots take a tenth of the time."""
    card, skus = A_24_GB_CARD, 800
    bulk = [Arrival(0.0, interactive=False, tenant=9) for _ in range(skus)]
    beside = dict.fromkeys(("gateway", "photo_decoder", "sam_encoder", "mask_decoder", "canny"), 8)
    replicas = {**beside, "generator": 32, "finisher": finishers, "director": 16}
    run = Pipeline(Trace("x", "x", 100.0, bulk), card, Fixed(replicas)).simulate()
    by_finishers = finishers / (card.cut_s + card.layout_s + 2 * card.finish_s)
    by_cards = 32 / (2 * card.picture_s())
    assert (by_finishers < by_cards) == (finishers == 24)
    assert 0.85 * min(by_finishers, by_cards) <= skus / run.catalogue_done_s() <= min(by_finishers, by_cards)
