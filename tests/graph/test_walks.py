"""The walks of new users, as they are in tests/walks, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import skimage.data

from packshot.imaging.codec import encode_png, read_png

WALKS = Path(__file__).parents[1] / "walks"


def walked(script: str, url: str, tmp_path: Path) -> Path:
    """Run a walk on the coffee photo. Returns its folder of pictures."""
    photo, out = tmp_path / "coffee.png", tmp_path / "out"
    photo.write_bytes(encode_png(skimage.data.coffee()))
    command = [sys.executable] if script.endswith(".py") else ["bash"]
    done = subprocess.run(
        [*command, str(WALKS / script), str(photo), str(out)],
        env={**os.environ, "HOST": url},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["verdict"] in ("ok", "warning")
    return out


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the walk uses curl and jq")
def test_the_walk_with_curl_makes_a_picture_and_a_channels_file(url: str, tmp_path: Path) -> None:
    out = walked("curl.sh", url, tmp_path)
    assert read_png((out / "painted.png").read_bytes()).shape == (512, 512, 3)
    assert read_png((out / "amazon.png").read_bytes()).min(axis=-1)[0, 0] == 255


def test_the_walk_with_a_generated_client_makes_a_picture(url: str, tmp_path: Path) -> None:
    out = walked("generated_client.py", url, tmp_path)
    assert read_png((out / "painted.png").read_bytes()).shape == (512, 512, 3)


def test_an_answer_behind_the_proxy_has_one_request_id(http: httpx.Client) -> None:
    """Ray's proxy adds the header itself."""
    for sent in (None, "trace-12345678", "short id"):
        answer = http.get("/v1/shots/sh_none", headers={"x-request-id": sent} if sent else {})
        ids = answer.headers.get_list("x-request-id")
        assert len(ids) == 1
        assert sent is None or ids == [sent]
