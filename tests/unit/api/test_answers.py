"""Responses equal those of version 0.1.0: the same fields in the same order, and the same null and absent ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from packshot.api.answers import json_answer
from packshot.api.conversions import (
    accepted_answer,
    image_answer,
    mask_answer,
    photo_answer,
    shot_answer,
    whole_image_answer,
)
from packshot.api.events import Progress
from packshot.api.problems import problem_of
from packshot.contract import answers, events, recipe_answers
from packshot.contract.adapters import AdapterUse
from packshot.contract.base import Answer
from packshot.contract.engines import EngineInfo, SamplingDefaults, SamplingLimits
from packshot.contract.light import Reflection, Relight
from packshot.contract.product import GeneratedProduct
from packshot.contract.proof import Proof
from packshot.contract.recipe import Recipe
from packshot.contract.requests import ShotRequest
from packshot.contract.retry import Retry
from packshot.contract.shot_spec import Condition
from packshot.contract.style import Style
from packshot.contract.verdict import Finding, Verdict
from packshot.delivery.presets import Preset, presets
from packshot.errors import BadInput, EngineFailed, NotFound
from packshot.models.packs.manifest import Defaults, Limits, PackManifest
from packshot.models.packs.pack import find_pack
from packshot.models.packs.recipes import capabilities_of
from packshot.settings import Settings
from packshot.store.records import ImageRecord, MaskRecord, PhotoRecord, ShotRecord
from tests.specs import recipe_of, spec_of

PINNED: dict[str, Any] = json.loads(Path(__file__).with_name("answers.json").read_text())
AT = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
LATER = AT + timedelta(seconds=2)
SPEC = spec_of("mk_1", prompt="café")
VERDICT = Verdict(
    (
        Finding("lock", "ok", "all equal", 0.0),
        Finding("prompt", "warning", "2 words", 2),
        Finding("x", "ok", "none"),
    )
)
PHOTO = PhotoRecord("ph_1", "t", 1600, 1200, "jpeg", 482113, "ab" * 32, "x/y.png", AT, (("reduced", "1/2"),))
MASK = MaskRecord(
    "mk_1",
    "t",
    "ph_1",
    0.93,
    612345,
    (212, 130, 1321, 1002),
    "k",
    AT,
    None,
    "strokes",
    "mk_0",
    None,
    5,
    (207, 125, 1326, 1007),
)
PAINTED = recipe_of(7, SPEC, queue=1.0, steps=2, decode=1e-7)
IMAGE = ImageRecord("im_1", "t", "sh_1", 0, 7, 1024, 768, "k", VERDICT, PAINTED, None, None, AT)
PLAIN_RECIPE = Recipe(version="0.1.0", seed=7, spec=SPEC)
PLAIN = ImageRecord("im_2", "t", "sh_1", 0, 7, 1024, 768, "k", Verdict(), PLAIN_RECIPE, "approved", "nice", AT)


def shot(**changes: Any) -> ShotRecord:
    fields: dict[str, Any] = {
        "id": "sh_1",
        "tenant": "t",
        "status": "queued",
        "priority": "interactive",
        "spec": SPEC,
        "position": 0,
        "step": 0,
        "steps": 4,
        "version": 1,
        "preview_version": 0,
        "attempt": 0,
        "created_at": AT,
    }
    return ShotRecord(**(fields | changes))


QUEUED = shot(position=3)
RUNNING = shot(status="running", step=2, preview_version=1, started_at=AT)
DONE = shot(status="done", step=4, started_at=AT, finished_at=LATER, images=(IMAGE,))
FAILED = shot(
    status="failed",
    error_code="engine_nan",
    error_detail="a latent — not a number",
    started_at=AT,
    finished_at=AT,
)
CANCELLED = shot(status="cancelled")

ANSWERS: dict[str, Answer] = {
    "photo": photo_answer(PHOTO),
    "mask": mask_answer(MASK),
    "image": image_answer(IMAGE),
    "whole image": whole_image_answer(IMAGE),
    "plain image": whole_image_answer(PLAIN),
    "accepted": accepted_answer(QUEUED),
    "queued shot": shot_answer(QUEUED),
    "running shot": shot_answer(RUNNING),
    "done shot": shot_answer(DONE),
    "failed shot": shot_answer(FAILED),
    "problem": problem_of(NotFound("not_found", "No shot."), "r1"),
    "problem with fields": problem_of(
        BadInput("invalid_request", "x", errors=[{"loc": ["layers", 0, "x"], "msg": "m"}]), "r1"
    ),
    "fault": problem_of(EngineFailed("internal", "secret"), "r1"),
}


def in_order(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_what_it_was(name: str) -> None:
    answer = ANSWERS[name]
    assert in_order(answer.model_dump(mode="json")) == in_order(PINNED[name])
    assert in_order(json.loads(bytes(json_answer(answer, headers={}).body))) == in_order(PINNED[name])


@pytest.mark.parametrize("name", ANSWERS)
def test_an_old_client_reads_an_answer_of_a_newer_server(name: str) -> None:
    answer = ANSWERS[name]
    newer = {**PINNED[name], "of_a_later_version": {"anything": [1]}}
    assert type(answer).model_validate_json(json.dumps(newer)) == type(answer).model_validate_json(
        answer.model_dump_json()
    )


def test_events_are_what_they_were() -> None:
    sent = [
        one for record in (QUEUED, RUNNING, DONE, FAILED, CANCELLED) for one in Progress(["sh_1"], "").changes(record)
    ]
    assert [one.event for one in sent] == ["queued", "progress", "preview", "done", "failed", "cancelled"]
    for one in sent:
        assert one.data == json.dumps(PINNED[f"event {one.event}"])
        assert one.event is not None
        events.EVENTS[one.event].model_validate_json(one.data)


def test_a_shot_that_did_not_fail_has_no_error_and_a_plain_image_no_engine() -> None:
    assert "error" not in shot_answer(DONE).model_dump(mode="json")
    recipe = whole_image_answer(PLAIN).model_dump(mode="json")["recipe"]
    assert set(recipe) == {"version", "seed", "request"}


def test_a_recipe_tells_the_whole_request() -> None:
    asked = set(ShotRequest.model_fields) - {"project_id", "sku", "meta"}  # how the shot is filed, not what it shows
    conditions = (*SPEC.conditions, Condition(kind="depth", scale=1.0))
    style = Style(palette=("#aabbcc",), strength=0.5, parts=("palette",))
    guided = replace(SPEC, conditions=conditions, style=style, sampler="euler")
    full = replace(guided, reflection=Reflection(), relight=Relight(), retry=Retry(1, ("floating",)))
    full = replace(full, adapters=(AdapterUse(id="ad_1"),), proof=Proof(must_read=("30 ml",)))
    full = replace(full, product=GeneratedProduct(("ph_1",)))  # no shot has all of them
    assert set(recipe_answers.ResolvedRequest.model_fields) == asked == set(full.to_json())


def test_a_locked_product_goes_without_saying() -> None:
    told = answers.VerdictAnswer.model_validate(VERDICT, from_attributes=True)
    assert (told.product, "product" in told.model_dump(mode="json")) == ("locked", False)
    painted = answers.VerdictAnswer.model_validate(replace(VERDICT, product="generated"), from_attributes=True)
    assert painted.model_dump(mode="json")["product"] == "generated"


def test_engines_are_what_their_manifests_say() -> None:
    manifest = find_pack("mini", Settings()).manifest
    inner = {"kind", "roles", "memory_gib", "controls", "samplers", "references", "endpoint"}
    told = manifest.model_dump(mode="json", exclude=inner)
    told["price_device_s"] = 0.0
    told["commercial"] = True
    told["capabilities"] = capabilities_of(manifest, manifest.own_controls, references=True).model_dump(mode="json")
    assert told["capabilities"]["decoder_scale"] == 2  # it paints at 256 px and gives 512
    told["licences"] = {role: spec.licence for role, spec in manifest.roles.items()}
    assert manifest.summary().model_dump(mode="json") == told
    outer = {"price_device_s", "commercial", "licences", "capabilities"}
    assert set(EngineInfo.model_fields) == set(PackManifest.model_fields) - inner | outer
    assert set(SamplingDefaults.model_fields) == set(Defaults.model_fields)
    assert set(SamplingLimits.model_fields) == set(Limits.model_fields)


def test_presets_are_what_their_file_says() -> None:
    order = ["name", "title", "role", "source", "dated", "expires", "warning", "formats", "min_longest_px"]
    order += ["min_width_px", "min_height_px", "changes", "zoom_longest_px", "max_longest_px", "max_sum_px"]
    order += ["max_pixels", "advised_longest_px", "larger_is_fine", "aspect", "max_aspect", "safe_zone"]
    order += [
        "fill_min",
        "fill_advised",
        "background",
        "generated",
        "locked_product",
        "max_bytes",
        "severity",
        "secondary",
    ]
    order += ["digital_source_type", "plain_source_type", "file_name", "file_name_without", "advice"]
    assert list(Preset.model_fields) == order
    for preset in presets():
        assert list(preset.model_dump(mode="json")) == order
