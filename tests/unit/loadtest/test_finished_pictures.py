"""What designers do with finished pictures: relit shots, touch-ups and clips, with the API and a real director."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from loadtest.checks.pictures import relit
from loadtest.checks.png import png16
from loadtest.generator.http_client import HttpClient
from loadtest.generator.person import Person, World
from loadtest.run.job import Job, Tenant
from loadtest.run.recorder import Recorder
from loadtest.run.runner import Target, run
from loadtest.scenarios.scenario import Scenario, load_scenario
from loadtest.scenarios.traffic import Arrival
from packshot.contract.shot_spec import ShotSpec
from packshot.imaging.codec import encode_png, encode_png16, read_png
from packshot.imaging.light.gain import Gain, encode_gain
from packshot.imaging.light.gain import relit as relit_by_the_library
from packshot.shots import Finished, LayoutFiles, Step, Understood
from packshot.shots.cutouts import view_cutout
from packshot.shots.stages import ClipOrder, Filmed
from packshot.store.store import Store
from packshot.types import Flat
from tests.api_graph import running
from tests.directed import directed
from tests.understood import understood
from tests.unit.shots.painter import Painter

PATIENT = {"p50_ms": 60_000, "p95_ms": 60_000, "p99_ms": 60_000}
CLASSES = ("upload", "click", "cutout", "shot", "touchup", "clip")


class Lit(Painter):
    """Stages that paint grey, and understand a product by its silhouette."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._assets = store.assets

    async def understand(self, files: LayoutFiles) -> Understood:
        self.understood.append(files)
        products = tuple(understood(view_cutout(self._assets, one.cutout).pixels[..., 3]) for one in files.layers)
        return Understood(tuple(one.material for one in products), products)


class Wrong(Lit):
    """Stages whose pictures are shifted by a pixel, and whose clips are no WebP."""

    async def finish(self, prepared: Any, painted: Any, spec: ShotSpec, products: Any = None) -> Finished:
        done = await super().finish(prepared, painted, spec, products)
        shifted = np.roll(read_png(done.png), 1, axis=1)
        return replace(done, png=encode_png(shifted))

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        yield Filmed(b"clip", 256, 256)


def designers(**shares: float) -> Scenario:
    classes = [name for name in CLASSES if shares.get({"touchup": "touch_ups", "clip": "clips"}.get(name, name), 1)]
    return Scenario.model_validate(
        {
            "name": "designers",
            "sentence": "Two designers a second.",
            "seed": 4,
            "photos": [{"width": 240, "height": 180}],
            "timeline": [{"name": "steady", "seconds": 2, "load": 1}],
            "traffic": [{"persona": "designer", "rate_per_s": 2, "gaps": "constant"}],
            "personas": {"designer": {"clicks": [1, 1], "think_s": 0.05, "canvas_px": 256, **shares}},
            "patience_s": 60,
            "slo": {
                "goodput": 1,
                "errors": 0,
                "queue_place": {"within": 1_000, "share": 1},
                "classes": dict.fromkeys(classes, PATIENT),
            },
        }
    )


@pytest.mark.timeout(240)
def test_relit_shots_touchups_and_clips_are_right_and_counted(tmp_path: Path) -> None:
    """Each shot is relit and compared with the photo times its gain; touch-ups and clips are never rendered again."""
    with running(tmp_path / "home") as api, directed(api, stages := Lit(api.store)):
        scenario = designers(relit=1, cast=1, touch_ups=1, clips=1)
        told = run(scenario, Target(api.url, [api.key]), tmp_path / "out")
        made = [len(api.http.get(f"/v1/shots?kind={kind}").json()["shots"]) for kind in ("touchup", "clip")]
    assert {name: row["why"] for name, row in told["classes"].items() if row["why"]} == {}
    assert {name: row["right"] for name, row in told["classes"].items()} == dict.fromkeys(CLASSES, 4)
    assert (told["pictures"]["wrong"], told["pictures"]["pictures"], told["pictures"]["one_to_one"]) == ([], 4, 4)
    assert told["queue_places"]["told"] == 12
    assert made == [4, 4]
    assert len(stages.understood) == 8  # and once more for each comparison


@pytest.mark.timeout(240)
def test_a_relit_product_that_lies_a_pixel_aside_and_a_clip_that_is_no_webp_are_found_out(tmp_path: Path) -> None:
    with running(tmp_path / "home") as api, directed(api, Wrong(api.store)):
        told = run(designers(relit=1, touch_ups=0, clips=1), Target(api.url, [api.key]), tmp_path / "out")
    assert told["classes"]["clip"]["why"] == {"clip_broken": 4}
    assert len(told["pictures"]["wrong"]) == 4
    assert "not the photo's times the gain" in told["pictures"]["wrong"][0]


def test_a_share_of_nobody_leaves_every_other_choice_as_it_was() -> None:
    plan = Job("run", load_scenario("smoke"), "http://127.0.0.1:1", (Tenant(None, "", "", (0, 0), 0),))
    world = World(plan, HttpClient(plan.host, timeout_s=1), [], lambda: 0.0, lambda at_s: None, lambda record: None)
    one, other = (Person(world, Arrival(0.0, 0, "designer", 0, seed=7)) for _ in range(2))
    assert not any(one.chance(0.0) for _ in range(9))
    assert one.rng.random() == other.rng.random()
    assert all(one.chance(1.0) for _ in range(9))
    assert 150 < sum(one.chance(0.2) for _ in range(1_000)) < 250


def test_only_shots_are_sampled_and_every_kind_of_work_counts_as_a_place() -> None:
    recorder = Recorder(designers(touch_ups=1, clips=1))
    for number, (name, more) in enumerate(
        [
            ("shot", {"request": {}, "photo": "p"}),
            ("touchup", {}),
            ("clip", {}),
            ("shot", {"request": {}, "photo": "p"}),
        ]
    ):
        work = {"shot": str(number), "pictures": [[f"/{number}", ""]], "times": [0.0, 1.0 + number, 9.0], "position": 0}
        op = {"k": "op", "c": name, "n": 0, "t": 0, "at": 0.0, "sent": 0.0, "ms": 1.0, "ok": True, "why": "", "st": {}}
        assert recorder.feed(op | work | more)
    assert [record["shot"] for record in recorder.sample] == ["0", "3"]
    assert recorder.place_errors() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["smooth", "noise", "flat"])
def test_a_16_bit_png_is_read_as_the_library_writes_it(kind: str) -> None:
    rng = np.random.default_rng(3)
    rough = rng.integers(0, 65_536, (5, 4, 3), np.uint16)
    values = {
        "smooth": cv2.resize(rough, (61, 47)),
        "noise": rng.integers(0, 65_536, (47, 61, 3), np.uint16),
        "flat": np.full((47, 61, 3), 32_768, np.uint16),
    }[kind]
    data = encode_png16(values)
    assert np.array_equal(png16(data), values)
    with pytest.raises(ValueError, match=r"checksum|ends inside"):
        png16(data[:-30])
    with pytest.raises(ValueError, match="16-bit RGB, got 8 bits"):
        png16(encode_png(values.astype(np.uint8)))


def test_the_gain_is_laid_over_the_photo_as_the_library_lays_it() -> None:
    """Within 1/255: the library enlarges in fixed point."""
    rng = np.random.default_rng(5)
    for _ in range(8):
        height, width = (int(side) for side in rng.integers(20, 300, 2))
        photo = rng.integers(0, 256, (height, width, 3), np.uint8)
        alpha = np.zeros((height, width), np.uint8)
        alpha[rng.integers(0, 9) : height - 5, rng.integers(0, 9) : width - 3] = 255
        rough = rng.uniform(0.72, 1.28, (4, 4, 3)).astype(np.float32)
        gain = Gain.of(np.asarray(cv2.resize(rough, (min(128, width), min(128, height))), np.float32))
        flat = relit_by_the_library(Flat(np.dstack([photo, alpha])), gain)
        lit = relit(photo, alpha, png16(encode_gain(gain)))
        assert np.abs(lit.astype(np.int16) - flat.rgb)[alpha > 0].max() <= 1
        assert (lit == flat.rgb)[alpha > 0].mean() > 0.99
