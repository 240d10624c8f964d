"""`packshot touchup`, on a server whose director paints grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from packshot.client import Client
from packshot.contract.shot_spec import Background, Canvas, LayerSpec
from packshot.imaging.codec import encode_png, read_png
from tests.api_graph import Api
from tests.cli_server import call, last_json
from tests.specs import spec_of
from tests.unit.cli.test_clip_command import a_mask, filming

__all__ = ["filming"]


@pytest.fixture(scope="module")
def painted_id(filming: Api) -> str:
    with Client(filming.url, filming.key) as client:
        layer = LayerSpec(mask_id=a_mask(client), scale=0.5)
        spec = spec_of(canvas=Canvas(96, 96), layers=(layer,), background=Background("generate"))
        shot, _ = filming.store.shots.add(filming.tenant_id, spec)
        return client.wait(shot.id).images[0].id


def test_the_command_paints_a_box_and_then_a_margin(
    filming: Api, painted_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    out = tmp_path / "new" / "a.png"
    done = call("touchup", painted_id, "--box", "2,2,20,12", "--seed", 5, "-o", out, "--host", filming.url, "--json")
    assert done.exit_code == 0, done.stderr
    assert "version 2, 96x96 px" in done.stderr
    new = last_json(done)["image"]
    mask = tmp_path / "mask.png"
    pixels = np.zeros((96, 96), np.uint8)
    pixels[:8, :8] = 255
    mask.write_bytes(encode_png(pixels))
    grown = call(
        "touchup", new["id"], "--mask", mask, "--grow", "16,0,0,8", "-o", tmp_path / "b.png", "--host", filming.url
    )
    assert grown.exit_code == 0, grown.stderr
    before, after = read_png(out.read_bytes()), read_png((tmp_path / "b.png").read_bytes())
    assert after.shape == (104, 112, 3)
    assert np.array_equal(after[8:96, 24:], before[8:, 8:])


def test_approved_pictures_become_the_dataset_of_a_training(
    filming: Api, painted_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    command = ("train", "approved", tmp_path / "pictures", "--host", filming.url)
    none = call(*command)
    assert (none.exit_code, "approve some" in none.stderr) == (2, True), none.stderr
    with Client(filming.url, filming.key) as client:
        shot = client.shot(client.image(painted_id).shot_id)
        newest = client.versions(painted_id).newest
        client.review(newest, "approved")
    done = call(*command, "--json")
    assert done.exit_code == 0, done.stderr
    (file,) = last_json(done)["pictures"]
    assert Path(file).with_suffix(".txt").read_text() == f"{shot.request.prompt}\n"
    assert read_png(Path(file).read_bytes()).ndim == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--box", "1,2,3"], "--box must be X0,Y0,X1,Y1 in whole pixels, got '1,2,3'"),
        (["--grow", "a"], "--grow must be LEFT,TOP,RIGHT,BOTTOM in whole pixels, got 'a'"),
        (["--mask", "no-such.png"], "--mask must be a file that can be read"),
        (["--strength", "2"], "--strength: input should be less than or equal to 1"),
    ],
)
def test_a_wrong_touchup_option_is_bad_usage(arguments: list[str], words: str) -> None:
    refused = call("touchup", "im_1", "--host", "http://127.0.0.1:9", *arguments)
    assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr
