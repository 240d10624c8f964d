"""`packshot deliver`: channels' files of finished pictures, and sides that the engine paints for another frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from packshot.client import Client
from packshot.contract.shot_spec import Background, Canvas, LayerSpec
from tests.api_graph import Api
from tests.cli_server import call, last_json
from tests.specs import spec_of
from tests.unit.cli.test_clip_command import a_mask, filming

__all__ = ["filming"]


@pytest.fixture(scope="module")
def painted_id(filming: Api) -> str:
    """A painted scene in a square, whose product lies low."""
    with Client(filming.url, filming.key) as client:
        layer = LayerSpec(mask_id=a_mask(client), scale=0.2, x=0.5, y=0.7)
        spec = spec_of(canvas=Canvas(256, 256), layers=(layer,), background=Background("generate"))
        shot, _ = filming.store.shots.add(filming.tenant_id, spec)
        return client.wait(shot.id).images[0].id


def test_a_channels_frame_is_painted_when_it_is_asked_for(
    filming: Api, painted_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    command = ("deliver", painted_id, "--preset", "meta-ad-9x16", "--preset", "shopify", "--host", filming.url)
    refused = call(*command, "-o", tmp_path / "refused", "--json")
    assert refused.exit_code == 1
    assert "add --reframe" in refused.stderr
    assert [row["state"] for row in last_json(refused)["files"]] == ["failed", "done"]  # one does not stop the other

    made = call(*command, "--reframe", "-o", tmp_path / "made", "--json")
    assert made.exit_code == 0, made.stderr
    story, shop = last_json(made)["files"]
    assert "the engine painted" in story["message"]
    assert story["file"]["image_id"] != painted_id == shop["file"]["image_id"]
    with Image.open(story["path"]) as opened:
        assert abs(opened.width * 16 / (opened.height * 9) - 1) < 0.002


def test_what_cannot_be_delivered_is_said(
    filming: Api, painted_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    wrong = call("deliver", painted_id, "--preset", "shopify", "--shadow", "long", "--host", filming.url)
    assert (wrong.exit_code, "--shadow" in wrong.stderr) == (2, True)
    unknown = call("deliver", painted_id, "--preset", "none", "--host", filming.url, "-o", tmp_path)
    assert (unknown.exit_code, "unknown_preset" in unknown.stderr) == (1, True)
    missing = call("deliver", "im_none", "--preset", "shopify", "--host", filming.url, "-o", tmp_path)
    assert (missing.exit_code, "not_found" in missing.stderr) == (1, True)
