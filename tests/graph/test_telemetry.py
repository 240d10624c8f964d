"""A server as Kubernetes runs it, with JSON logs and traces: what its standard output and its spans say of a shot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from cluster.local import free_port
from packshot.imaging.codec import encode_png
from tests.waiting import WAIT_S

pytestmark = pytest.mark.soak  # a cluster of its own takes a minute

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = "request-of-the-test"
RAYS_OWN = (":actor_name:", ":job_id:", ":task_name:", "======== Running on", "(Press CTRL+C")
"""Begins of lines with which Ray's workers name themselves, and its dashboard's agent says where it listens."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str], list[dict[str, Any]]]:
    """The id of a shot that a server made, the lines of its standard output, and its spans."""
    folder = tmp_path_factory.mktemp("telemetry")
    port = free_port("127.0.0.1")
    environment = {
        **os.environ,
        "PACKSHOT_HOME": str(folder),
        "PACKSHOT_LOG_FORMAT": "json",
        "PACKSHOT_TRACES": str(folder / "spans"),
    }
    output = folder / "stdout"
    with output.open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-m", "packshot.cli", "serve", "--port", str(port)],
            env=environment,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            shot = _shoot(f"http://127.0.0.1:{port}", server)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(WAIT_S)
    spans = [json.loads(line) for file in (folder / "spans").iterdir() for line in file.read_text().splitlines()]
    return shot, output.read_text().splitlines(), spans


def _shoot(url: str, server: subprocess.Popen[bytes]) -> str:
    give_up_at = time.monotonic() + 240
    with httpx.Client(base_url=url, timeout=WAIT_S) as http:
        while True:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < give_up_at
            try:
                if http.get("/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        file = ("coffee.png", encode_png(skimage.data.coffee()), "image/png")
        photo = http.post("/v1/photos", files={"file": file}).json()
        click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]}).json()
        body = {
            "layers": [{"mask_id": click["masks"][0]["id"]}],
            "canvas": {"width": 256, "height": 256},
            "images": 1,
            "steps": 4,
            "prompt": "on a marble table",
        }
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": REQUEST}
        shot = http.post("/v1/shots", json=body, headers=headers).json()
        while (state := http.get(f"/v1/shots/{shot['id']}").json())["status"] != "done":
            assert state["status"] in ("queued", "running"), state
            assert time.monotonic() < give_up_at
            time.sleep(0.2)
    return str(shot["id"])


def test_every_line_of_the_standard_output_is_json_and_names_its_stage(ran: tuple[str, list[str], Any]) -> None:
    _, lines, _ = ran
    objects = [json.loads(line) for line in lines if line.startswith("{")]
    assert [line for line in lines if not line.startswith(("{", *RAYS_OWN))] == []
    assert {"gateway", "director", "controller", "proxy"} <= {one.get("stage") for one in objects}
    assert [one for one in objects if one.get("level") in ("error", "critical")] == []


def test_the_lines_of_a_shot_name_its_request_shot_and_tenant(ran: tuple[str, list[str], Any]) -> None:
    shot, lines, _ = ran
    objects = [json.loads(line) for line in lines if line.startswith("{")]
    accepted = [one for one in objects if one.get("path") == "/v1/shots" and one.get("request") == REQUEST]
    assert [(one["stage"], one["status"]) for one in accepted] == [("gateway", 202)]
    own = [one for one in objects if one.get("shot") == shot]
    assert [one["message"].split(",")[0] for one in own if one["stage"] == "director"] == [
        f"claimed shot {shot}",
        f"shot {shot} ended done",
    ]
    assert {(one["request"], one["tenant"], one["trace"]) for one in own} == {(REQUEST, accepted[0]["tenant"], TRACE)}


def test_one_trace_leads_from_the_request_to_the_steps_of_the_generator(ran: tuple[Any, Any, list[Any]]) -> None:
    *_, spans = ran
    ours = {span["name"]: span for span in spans if span["context"]["trace_id"] == f"0x{TRACE}"}
    assert set(ours) >= {
        "POST /v1/shots",
        "queue",
        "shot",
        "claim",
        "prepare",
        "finisher.prepare",
        "canny.edges",
        "generator.paint",
        "queue wait",
        "begin",
        "step batch",
        "decode",
        "finish",
        "finisher.finish",
        "commit",
    }
    stages = {name: span["resource"]["attributes"]["service.name"] for name, span in ours.items()}
    assert stages["POST /v1/shots"] == "gateway"
    assert stages["shot"] == "director"
    assert stages["step batch"] == "generator"
    assert ours["step batch"]["attributes"]["steps"] == 4
    by_id = {span["context"]["span_id"]: name for name, span in ours.items()}
    way = ["step batch"]
    while (parent := by_id.get(ours[way[-1]]["parent_id"])) is not None:
        way.append(parent)
    assert way == ["step batch", "generator.paint", "shot", "POST /v1/shots"]
