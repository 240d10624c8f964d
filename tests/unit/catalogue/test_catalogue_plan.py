"""A catalogue's plan: its scenes, its shots, its deliveries, their names, its cost."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.autoscaling import Pipeline
from cluster.plan.rates import CPU_SECONDS
from packshot.catalogue.costs import costs_of
from packshot.catalogue.manifest import frame_of, read_manifest
from packshot.catalogue.plan import Costs, Plan, combinations, plan
from packshot.contract import examples
from packshot.contract.catalogue import Axis
from packshot.contract.shot_spec import Background, Canvas, ShotSpec
from packshot.errors import BadInput
from tests.specs import recipe_of, spec_of

ENGINE = examples.ENGINES.engines[0]
COST = Costs(ENGINE, row_step_s=0.05, picture_s=0.4, composed_s=0.1)
"""A square picture takes 16 steps of two rows, so 2 s."""
SCENES: dict[str, Any] = {"name": "scene", "values": {"marble": "on marble", "linen": "on linen"}}
SEASONS: dict[str, Any] = {"name": "season", "values": {"spring": "blossoms", "none": ""}}
ITEMS = [{"sku": "A", "photo": "a.jpg"}, {"sku": "B", "photo": "b.jpg"}]


def planned(items: list[dict[str, Any]] = ITEMS, **frame: Any) -> Plan:
    text = json.dumps({"name": "x", "axes": [SCENES], "items": items, **frame})
    return plan(read_manifest(text.encode(), "application/json"), COST)


def columns(made: Plan) -> list[tuple[int | None, str, str]]:
    return [(one.row, one.column, one.code) for one in made.problems]


def test_the_proof_of_text_is_counted_for_the_rows_that_need_it() -> None:
    items: list[dict[str, Any]] = [*ITEMS, {"sku": "C", "photo": "c.jpg", "category": "medical"}]
    off = [{**ITEMS[0], "proof": {"text": False}}, *items[1:]]
    bare = planned().device_s
    text_s = 2 * COST.text_s  # of the two scenes of a row
    assert planned(items).device_s == pytest.approx(bare * 1.5 + text_s)
    assert planned(items, defaults={"proof": {}}).device_s == pytest.approx(bare * 1.5 + 3 * text_s)
    assert planned(off, defaults={"proof": {}}).device_s == pytest.approx(bare * 1.5 + 2 * text_s)


def test_axes_multiply_and_words_join() -> None:
    scenes = combinations([Axis(**SCENES), Axis(**SEASONS)])
    assert [(scene.name, scene.words) for scene in scenes] == [
        ("marble-spring", "on marble, blossoms"),
        ("marble-none", "on marble"),
        ("linen-spring", "on linen, blossoms"),
        ("linen-none", "on linen"),
    ]
    assert [scene.name for scene in combinations([Axis(**SCENES), Axis(**SEASONS)], ["linen"])] == [
        "linen-spring",
        "linen-none",
    ]


def test_zipped_axes_go_side_by_side_in_the_order_of_the_manifest() -> None:
    axes = [Axis(**SCENES, combine="zip"), Axis(name="size", values={"s": "", "l": ""}), Axis(**SEASONS, combine="zip")]
    assert [scene.name for scene in combinations(axes)] == [
        "marble-s-spring",
        "linen-s-none",
        "marble-l-spring",
        "linen-l-none",
    ]


def test_too_many_combinations_are_refused_with_their_number() -> None:
    axes = [Axis(name=f"a{n}", values={f"v{k}": "" for k in range(10)}) for n in range(3)]
    with pytest.raises(BadInput, match="10 x 10 x 10 = 1000"):
        combinations(axes)
    made = planned(axes=[axis.model_dump() for axis in axes])
    assert columns(made) == [(None, "axes", "axes_too_large")]


def test_zipped_axes_of_unequal_length_are_a_problem() -> None:
    made = planned(axes=[{**SCENES, "combine": "zip"}, {"name": "s", "values": {"a": ""}, "combine": "zip"}])
    assert columns(made) == [(None, "axes", "invalid_request")]


def test_a_delivery_paints_only_where_it_differs_from_the_defaults() -> None:
    made = planned(
        deliver=[
            {"preset": "shopify", "name": "{sku}-{scene}-shop.{ext}"},
            {"preset": "ebay", "name": "{sku}-{scene}-bay.{ext}"},  # the same pictures again
            {"preset": "amazon-main", "scene": "white", "fill": 0.9, "name": "{sku}.MAIN.{ext}"},
            {"preset": "zalando", "scene": "white", "canvas": [1801, 2600], "name": "{sku}-z.{ext}"},
        ]
    )
    assert made.problems == ()
    assert (made.rows, made.shots, made.pictures, made.painted) == (2, 2 * (2 + 2), 8, 4)
    assert made.deliveries == 2 * (2 + 2 + 1 + 1)
    assert made.device_s == pytest.approx(4 * 2.0 + 4 * 0.1)


def test_best_of_paints_more_and_views_count_for_themselves() -> None:
    views = [{"view": "front", "photo": "a.jpg"}, {"view": "back", "photo": "b.jpg"}]
    made = planned([{"sku": "A", "photos": views}], choose={"best_of": 4}, deliver=[{"preset": "shopify"}])
    assert made.problems == ()  # {n} counts the files of a SKU, so the default name is enough
    assert (made.shots, made.pictures, made.deliveries) == (4, 16, 4)


def test_rows_whose_product_words_must_find_are_counted() -> None:
    by_words = {"sku": "A", "photo": "a.jpg", "find": "mug"}
    masked = {"sku": "B", "photo": "b.jpg", "mask": "b.png"}
    views = [{"view": "front", "photo": "c.jpg"}, {"view": "side", "photo": "d.jpg"}]
    turned = {"sku": "C", "photos": views, "mask": "c.png"}
    assert planned([by_words, masked]).searched == 1
    assert planned([by_words, masked, turned], defaults={"find": "cup"}).searched == 2
    assert planned([masked]).searched == 0


def test_retries_cost_their_upper_bound() -> None:
    once, again = (planned(defaults=more) for more in ({}, {"retry": {"max": 2, "on": ["floating"]}}))
    assert (again.shots, again.painted) == (once.shots, 3 * once.painted)
    assert again.device_s == pytest.approx(3 * once.device_s)


def test_a_wide_canvas_costs_a_row_for_each_of_its_windows() -> None:
    square, wide = (planned(defaults={"canvas": canvas}).device_s for canvas in ([1000, 1000], [2000, 1000]))
    assert wide > 1.3 * square
    assert planned(defaults={"steps": 8, "guidance_scale": 1}).device_s == pytest.approx(4 * (0.4 + 8 * 0.05))


def test_a_row_may_choose_its_scenes() -> None:
    made = planned([{"sku": "A", "photo": "a.jpg", "scenes": ["linen"]}, {"sku": "B", "photo": "b.jpg"}])
    assert made.shots == 1 + 2


def test_names_that_collide_or_escape_are_refused_with_their_row() -> None:
    twice = planned(deliver=[{"preset": "shopify", "name": "{scene}.{ext}"}])
    assert columns(twice) == [(2, "deliver.0.name", "invalid_request")] * 2
    assert "row 1 makes it too" in twice.problems[0].rule
    apart = planned(deliver=[{"preset": p, "name": "{sku}-{n}.{ext}", "to": f"out/{p}"} for p in ("shopify", "ebay")])
    assert apart.problems == ()
    escaping = planned([{"sku": "../../x", "photo": "a.jpg"}], deliver=[{"preset": "shopify", "name": "{sku}.{ext}"}])
    assert columns(escaping) == [(1, "deliver.0.name", "filename_invalid")]
    unknown = planned(deliver=[{"preset": "shopify", "name": "{price}.{ext}"}])
    assert columns(unknown) == [(None, "deliver.0.name", "template_invalid")]
    assert columns(planned(deliver=[{"preset": "amazn"}])) == [(None, "deliver.0.preset", "unknown_preset")]
    no_gtin = planned(deliver=[{"preset": "shopify", "name": "{gtin:14}-{n}.{ext}"}])
    assert columns(no_gtin) == [(1, "deliver.0.name", "filename_invalid"), (2, "deliver.0.name", "filename_invalid")]


def test_the_budget_pauses_or_refuses() -> None:
    assert planned(budget={"images": 3}).problems == ()
    assert columns(planned(budget={"images": 3, "on_exceed": "refuse"})) == [(None, "budget", "invalid_request")]
    assert planned(budget={"images": 4, "device_s": 8, "on_exceed": "refuse"}).problems == ()


def test_a_budget_of_nothing_and_a_catalogue_that_paints_nothing_are_refused() -> None:
    assert columns(planned(budget={"images": 0}))[0] == (None, "budget.images", "invalid_request")
    assert columns(planned(axes=[])) == [(None, "axes", "invalid_request")]


def test_a_fill_that_a_channel_will_refuse_is_warned_of() -> None:
    deliver: list[dict[str, Any]] = [
        {"preset": "amazon-main", "scene": "white", "name": "{sku}-a.{ext}"},
        {"preset": "amazon-main", "scene": "white", "fill": 0.88, "name": "{sku}-b.{ext}"},
        {"preset": "shopify", "name": "{sku}-c-{scene}.{ext}"},
    ]
    made = planned(deliver=deliver, defaults={"fill": 0.7, "shadow": {"mode": "none"}})
    assert made.problems == ()
    assert [(one.column, one.value, one.code) for one in made.warnings] == [("deliver.0.fill", "0.7", "preset_unmet")]
    assert "less than 0.85 of the frame" in made.warnings[0].rule
    assert "fill: 0.88" in made.warnings[0].remedy
    assert planned(deliver=deliver, defaults={"fill": 0.9, "shadow": {"mode": "none"}}).warnings == ()


def test_a_shadow_that_a_channel_will_refuse_is_warned_of() -> None:
    deliver: list[dict[str, Any]] = [
        {"preset": "amazon-main", "scene": "white", "name": "{sku}-a.{ext}"},
        {"preset": "amazon-main", "scene": "white", "shadow": {"mode": "none"}, "name": "{sku}-b.{ext}"},
        {"preset": "ebay", "scene": "white", "name": "{sku}-c.{ext}"},
    ]
    made = planned(deliver=deliver, defaults={"fill": 0.9})
    assert [(one.column, one.value) for one in made.warnings] == [("deliver.0.shadow", "contact")]
    assert "shadow: {mode: none}" in made.warnings[0].remedy


def test_a_channel_that_is_only_named_gets_the_fill_that_it_demands_and_no_shadow_on_pure_white() -> None:
    assert frame_of((), ["amazon-main=white"])["deliver"][0]["fill"] == 0.88
    assert frame_of((), ["amazon-main=white"])["deliver"][0]["shadow"] == {"mode": "none"}
    assert "shadow" not in frame_of((), ["ebay=white"])["deliver"][0]
    assert "fill" not in frame_of((), ["shopify"])["deliver"][0]
    assert planned(**frame_of((), ["amazon-main=white", "tiktok-shop=white"])).warnings == ()
    with_typo = planned(**frame_of((), ["amazonn"]))
    assert [one.code for one in with_typo.problems] == ["unknown_preset"]


def test_the_time_of_a_plan_grows_with_its_rows() -> None:
    """Four times as many rows take four times as long, not sixteen times."""

    def took_s(rows: int) -> float:
        items = "".join(f'  - {{sku: "S{n}", photo: photos/{n}.jpg}}\n' for n in range(rows))
        text = f"name: x\naxes: [{json.dumps(SCENES)}]\ndeliver: [{{preset: shopify}}]\nitems:\n{items}"
        began = time.process_time()
        made = plan(read_manifest(text.encode(), "application/yaml"), COST)
        assert (made.rows, made.shots, made.problems) == (rows, 2 * rows, ())
        return time.process_time() - began

    took_s(100)  # imports and caches
    assert min(took_s(4_000) for _ in range(3)) < 8 * min(took_s(1_000) for _ in range(3))


def test_the_manifest_of_the_agencys_page_has_no_problem() -> None:
    page = (Path(__file__).parents[3] / "docs" / "agency.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    made = plan(read_manifest(text.encode(), "application/yaml"), COST)
    assert made.problems == ()
    assert (made.rows, made.shots, made.deliveries) == (2, 5 + 10, 5 + 10)


def test_costs_are_assumed_until_three_scenes_were_painted() -> None:
    spec = spec_of("mk_1", engine=ENGINE.name, canvas=Canvas(256, 256))
    plain = spec_of("mk_1", engine=ENGINE.name, background=Background("white"))
    times = {"begin": 100.0, "steps": 1600.0, "decode": 100.0, "finish": 300.0}

    def shot(spec: ShotSpec) -> Any:
        return SimpleNamespace(spec=spec, images=[SimpleNamespace(recipe=recipe_of(7, spec, **times))])

    assumed, basis = costs_of(ENGINE, [shot(spec)] * 2)
    assert (assumed.row_step_s, basis) == (Pipeline().row_step_s, "assumed")
    assert (assumed.picture_s, assumed.composed_s) == (Pipeline().picture_s, CPU_SECONDS["finisher"])
    measured, basis = costs_of(ENGINE, [shot(spec), shot(plain)] * 3)
    assert (measured.row_step_s, measured.picture_s, measured.composed_s, basis) == (0.4, 0.2, 0.3, "measured")
    others = costs_of(ENGINE.model_copy(update={"name": "other"}), [shot(spec)] * 3)
    assert others[1] == "assumed"


def test_a_relit_catalogue_needs_scenes_and_channels_that_take_them() -> None:
    relit: dict[str, Any] = {"relight": {"amount": 0.3}}
    white = {"preset": "amazon-main", "scene": "white"}
    scenes = {"preset": "shopify", "name": "{sku}-{scene}.{ext}"}
    assert columns(planned(deliver=[white, scenes], defaults=relit)) == []
    main = planned(deliver=[{**scenes, "preset": "amazon-main"}], defaults=relit)
    assert columns(main) == [(None, "deliver.0.preset", "relight_refused")]
    assert main.problems[0].remedy == "Give the entry scene: white, or leave relight out."
    plain = planned(axes=[], deliver=[white], defaults=relit)
    assert columns(plain) == [(None, "defaults.relight", "relight_refused")]
    assert columns(planned(axes=[], deliver=[white], defaults={"relight": {"mode": "off"}})) == []
    wrong = planned(defaults={"relight": {"amount": 7}})
    assert columns(wrong) == [(None, "defaults.relight.amount", "invalid_request")]
