"""The harness whole, in real time: Locust as a child, against a server that stalls and against the API.

Bounds here hold on any machine however busy, because its delays only ever add: what an open loop must see at least,
that nothing scheduled is left out, that verdicts and exit codes follow. The tight figures are bench/p8_loadgen.py's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from loadtest.errors import Broken
from loadtest.report.compare import compare
from loadtest.report.plots import draw_all
from loadtest.report.report import read_report, write_report
from loadtest.run.runner import Target, run
from loadtest.scenarios.scenario import Scenario
from loadtest.stall import analytic_ms
from packshot.api.decoding import LocalDecoder
from packshot.catalogue.producer import Producer
from packshot.cli import app
from packshot.contract.verdict import Verdict
from packshot.imaging.canvas import cut, flatten
from packshot.imaging.codec import encode_png, read_mask, read_photo
from packshot.store.records import Claim, NewImage
from packshot.types import Layer, Layout
from tests.api_graph import Api, running
from tests.specs import recipe_of

STALL_S, EVERY_S = 0.4, 1.0
PATIENT = {"p50_ms": 60_000, "p95_ms": 60_000, "p99_ms": 60_000}


@contextmanager
def server(*options: float | str) -> Iterator[str]:
    command = [sys.executable, "-m", "loadtest.stall", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def probes(rate_per_s: int, seconds: int, **bounds: int) -> dict[str, Any]:
    return {
        "name": "probes",
        "sentence": "Probes alone.",
        "seed": 3,
        "timeline": [{"name": "steady", "seconds": seconds, "load": 1}],
        "traffic": [{"persona": "probe", "rate_per_s": rate_per_s, "gaps": "constant"}],
        "patience_s": 60,
        "slo": {"goodput": 0.9, "errors": 0.0, "classes": {"probe": {**PATIENT, **bounds}}},
    }


def test_an_open_loop_sees_the_stalls_of_a_server(tmp_path: Path) -> None:
    """40 % of the time nothing answers: half of those who come then wait at least half of a stall,
    whatever else goes on."""
    with server("--stall", STALL_S, "--every", EVERY_S) as url:
        told = run(Scenario.model_validate(probes(50, 4)), Target(url), tmp_path)
    row = told["classes"]["probe"]
    assert (told["planned"], told["sent"], row["offered"], row["right"]) == (200, 200, 200, 200)
    assert row["p95_ms"] >= 0.8 * analytic_ms(0.95, stall_s=STALL_S, every_s=EVERY_S)
    assert row["p99_ms"] >= 0.8 * analytic_ms(0.99, stall_s=STALL_S, every_s=EVERY_S)
    assert told["outcome"] in ("holds", "invalid")  # invalid where the machine held the generator up for a second
    assert told["generator"]["lag_p99_ms"] > 0


def test_what_a_stalling_server_shows_can_be_written_down() -> None:
    """By hand: 20 ms of every 2 s wait longer than the p99; where serving the line takes half of the time,
    it ebbs half as fast."""
    assert analytic_ms(0.99, stall_s=0.2, every_s=2.0) == pytest.approx(180)
    assert analytic_ms(0.95, stall_s=0.2, every_s=2.0) == pytest.approx(100)
    assert analytic_ms(0.5, stall_s=0.2, every_s=2.0) == 0
    line = {"stall_s": 0.2, "every_s": 2.0, "rate_per_s": 500, "service_s": 0.001}
    assert analytic_ms(0.99, **line) == pytest.approx(200 + 1 - 10)
    assert analytic_ms(0.8, **line) == pytest.approx(1)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_slow_server_fails_and_the_exit_code_says_so(tmp_path: Path, workers: int) -> None:
    """Every answer takes 0.3 s more than its bound, and bounds are wide enough that a busy generator stays valid."""
    slow = probes(20, 2, p50_ms=1_000)
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(slow))
    with server("--stall", 0, "--delay", 1.3) as url:
        result = CliRunner().invoke(
            app,
            [
                "loadtest",
                str(tmp_path / "slow.yaml"),
                "--host",
                url,
                "--out",
                str(tmp_path / "out"),
                "--workers",
                str(workers),
                "--json",
            ],
        )
    assert result.exit_code == 1, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["outcome"] == "fails"
    assert [check["name"] for check in told["checks"] if not check["holds"]] == ["probe p50"]
    report = read_report(tmp_path / "out")
    assert report["classes"]["probe"]["right"] == 40
    page = (tmp_path / "out/report.html").read_text()
    assert "The SLOs do not hold" in page
    assert 'src="data:image/png;base64,' in page
    assert "http://" not in page.replace(url, "")
    assert [difference.verdict for difference in compare(report, report)] == ["same"] * 5


def test_a_server_that_dies_makes_errors_and_no_crash(tmp_path: Path) -> None:
    with server("--stall", 0) as url:
        pass
    with pytest.raises(Exception, match="must be reachable"):
        run(Scenario.model_validate(probes(5, 1)), Target(url), tmp_path)


def test_a_generator_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.run.generator_process.LOCUSTFILE", tmp_path / "none.py")
    with server("--stall", 0) as url, pytest.raises(Broken, match="the generator ended with 1"):
        run(Scenario.model_validate(probes(5, 1)), Target(url), tmp_path)


@contextmanager
def painting(api: Api, shift_px: int = 0) -> Iterator[None]:
    """A director for tests: paints each shot's layout over a colour that its prompt and seed give."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            claim = api.store.queue.claim("painter")
            if claim is None:
                stop.wait(0.02)
                continue
            api.store.queue.commit(claim, [picture(api, claim, index, shift_px) for index in range(claim.spec.images)])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def producing(api: Api) -> Iterator[None]:
    """The producer of catalogues, in a thread of its own."""
    with closing(LocalDecoder(api.settings)) as decoder:
        producer = Producer(api.store, api.graph, decoder, api.settings, worker="producer")
        loop = asyncio.new_event_loop()
        work = loop.create_task(producer.forever())

        def run_loop() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(work)

        thread = threading.Thread(target=run_loop)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(work.cancel)
            thread.join()
            loop.close()


def picture(api: Api, claim: Claim, index: int, shift_px: int) -> NewImage:
    (layer,), size = claim.spec.layers, claim.spec.canvas
    mask = api.store.masks.get(claim.tenant, layer.mask_id)
    photo = read_photo(api.store.assets.get(api.store.photos.get(claim.tenant, mask.photo_id).asset_key))
    cutout = cut(photo, read_mask(api.store.assets.get(mask.asset_key)))
    place = Layer(cutout, x=layer.x, y=layer.y, scale=layer.scale)
    flat = flatten(Layout(size, (place,)))
    seed = claim.spec.seeds[index]
    scene = np.random.default_rng([seed, len(claim.spec.prompt)]).integers(0, 255, 3)
    alpha = flat.alpha[..., None] / 255
    pixels = np.roll((flat.rgb * alpha + scene * (1 - alpha)).astype(np.uint8), shift_px, axis=1)
    recipe = recipe_of(seed, claim.spec, queue=1, begin=2, steps=3, decode=1)
    return NewImage(index, seed, size.width, size.height, encode_png(pixels), Verdict(), recipe)


def everyone() -> Scenario:
    classes = ("upload", "click", "cutout", "shot", "api_shot", "catalogue", "catalogue_shot", "refusal", "probe")
    return Scenario.model_validate(
        {
            "name": "everyone",
            "sentence": "All personas for three seconds.",
            "seed": 12,
            "tenants": 2,
            "photos": [{"width": 240, "height": 180}],
            "timeline": [{"name": "steady", "seconds": 3, "load": 1}],
            "traffic": [
                {"persona": "designer", "rate_per_s": 1, "gaps": "constant"},
                {"persona": "integrator", "rate_per_s": 1, "gaps": "constant"},
                {"persona": "catalogue", "rate_per_s": 0.67, "gaps": "constant"},
                {"persona": "hostile", "rate_per_s": 4, "gaps": "constant"},
                {"persona": "probe", "rate_per_s": 4},
            ],
            "personas": {
                "designer": {"clicks": [1, 2], "think_s": 0.05, "images": 2, "canvas_px": 256},
                "integrator": {"fresh": 0.5, "canvas_px": 256},
                "catalogue": {"skus": [2, 3], "canvas_px": 256},
            },
            "patience_s": 60,
            "sample": 5,
            "slo": {
                "goodput": 1,
                "errors": 0,
                "queue_place": {"within": 1_000, "share": 1},
                "classes": dict.fromkeys(classes, PATIENT),
            },
        }
    )


@pytest.mark.timeout(240)
def test_every_persona_gets_right_answers_from_the_api(tmp_path: Path) -> None:
    """Uploads, clicks, shots by events and by waiting, catalogues, attacks: each as the contract says,
    nothing of anybody else's."""
    scenario = everyone()
    with running(tmp_path / "home", poll_s=0.2) as api, painting(api), producing(api):
        keys = [api.key, api.store.keys.create("other").secret]
        told = run(scenario, Target(api.url, keys), tmp_path / "out")
    wrong = {name: row["why"] for name, row in told["classes"].items() if row["why"]}
    assert wrong == {}
    assert [check["name"] for check in told["checks"] if not check["holds"]] == []
    assert all(row["right"] for row in told["classes"].values()), told["classes"]
    assert (told["pictures"]["wrong"], told["strangers"]["let_in"]) == ([], 0)
    assert told["pictures"]["pictures"] >= 5
    assert told["pictures"]["one_to_one"] > 0
    assert set(told["classes"]["shot"]["stages_ms"]) == {"queue", "render", "begin", "steps", "decode"}
    assert told["queue_places"]["told"] == told["classes"]["shot"]["right"]
    assert {"latency", "goodput", "stages", "generator"} <= set(draw_all(told, tmp_path / "plots"))
    assert write_report(told, tmp_path / "out").stat().st_size > 50_000


@pytest.mark.timeout(240)
def test_a_product_that_lies_a_pixel_aside_is_found_out(tmp_path: Path) -> None:
    raw = everyone().model_dump(mode="json")
    raw["traffic"] = [{"persona": "integrator", "rate_per_s": 2, "gaps": "constant"}]
    raw["timeline"] = [{"name": "steady", "seconds": 1, "load": 1}]
    raw["personas"]["integrator"]["fresh"] = 0
    raw["slo"]["classes"] = {"api_shot": PATIENT}
    with running(tmp_path / "home") as api, painting(api, shift_px=1):
        told = run(Scenario.model_validate(raw), Target(api.url, [api.key]), tmp_path / "out")
    assert len(told["pictures"]["wrong"]) == told["pictures"]["pictures"] == 2
    assert told["outcome"] == "fails"


def test_locust_is_imported_by_its_child_alone() -> None:
    """It monkey-patches: no module but those of the child may import it or gevent, nor one of these."""
    import ast
    from pathlib import Path

    child = {"locustfile", "person", "personas", "hostile", "wire"}
    room = Path(app.__module__.replace(".", "/")).parents[1] / "loadtest"
    for file in [*Path("loadtest").glob("*.py"), *Path("packshot").rglob("*.py"), *room.glob("*.py")]:
        if file.parent.name == "loadtest" and file.stem in child:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("locust", "gevent", "geventhttpclient"), (file, name)
                assert name not in {f"loadtest.{module}" for module in child}, (file, name)
