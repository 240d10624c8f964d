"""`packshot clip` and the clients' `film`, on a server whose director films."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from packshot.client import AsyncClient, Client, ClipRequest
from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Background, Canvas, LayerSpec
from packshot.errors import BadInput, NotFound
from packshot.imaging.motion import encode
from tests.api_graph import Api, png, running
from tests.cli_server import call, last_json
from tests.directed import directed
from tests.specs import spec_of


@pytest.fixture(scope="module")
def filming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("clips"), heartbeat_s=0.1) as api, directed(api):
        yield api


def a_mask(client: Client) -> str:
    photo = client.upload(png(), "image/png")
    return client.masks(photo.id, boxes=[(20, 20, 100, 80)])[0].id


@pytest.fixture(scope="module")
def image_id(filming: Api) -> str:
    with Client(filming.url, filming.key) as client:
        layer = LayerSpec(mask_id=a_mask(client), scale=0.5)
        spec = spec_of(canvas=Canvas(96, 96), layers=(layer,), background=Background("white"), shadow=Shadow("contact"))
        shot, _ = filming.store.shots.add(filming.tenant_id, spec)
        return client.wait(shot.id).images[0].id


def test_the_command_writes_the_clip(
    filming: Api, image_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    out = tmp_path / "new" / "mug.webp"
    made = call("clip", image_id, "--move", "orbit", "--seconds", 1, "-o", out, "--host", filming.url, "--json")
    assert made.exit_code == 0, made.stderr
    assert "orbit, 1 s, 96x96 px" in made.stderr
    answer = last_json(made)
    assert answer["path"] == str(out)
    assert answer["clip"]["image_id"] == image_id
    with Image.open(out) as opened:
        assert getattr(opened, "n_frames", 1) == 24


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", 600], "--seconds: input should be less than or equal to 8, got 600"),
        (["--size", 8000], "--size: input should be less than or equal to 1920, got 8000"),
        (["--move", "spin"], "--move: input should be 'push_in', 'orbit' or 'pan', got 'spin'"),
        (["-o", "mug.gif"], "--out must end in .webp or .mp4, got 'mug.gif'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(arguments: list[str | int], words: str) -> None:
    refused = call("clip", "im_1", "--host", "http://127.0.0.1:9", *arguments)
    assert refused.exit_code == 2
    assert words in refused.stderr


def test_what_the_server_refuses_is_said(
    filming: Api, image_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    missing = call("clip", "im_none", "--host", filming.url, "-o", tmp_path / "a.webp")
    assert (missing.exit_code, "not_found" in missing.stderr) == (2, True)
    monkeypatch.setattr(encode, "_ffmpeg_installed", lambda: False)
    no_ffmpeg = call("clip", image_id, "--host", filming.url, "-o", tmp_path / "a.mp4")
    assert no_ffmpeg.exit_code == 2
    assert "packshot[video]" in no_ffmpeg.stderr


def test_both_clients_film(filming: Api, image_id: str) -> None:
    request = ClipRequest(move="pan", seconds=1.0, size=64)
    with Client(filming.url, filming.key) as client:
        ended = client.wait(client.film(image_id, request, idempotency_key="pan").id)
        assert client.film(image_id, request, idempotency_key="pan").id == ended.id
        assert ended.clip is not None
        assert client.clip(ended.clip.id) == ended.clip
        assert len(client.download(ended.clip.url)) == ended.clip.bytes
        with pytest.raises(NotFound):
            client.clip("cl_none")

    async def film() -> tuple[str, int]:
        async with AsyncClient(filming.url, filming.key) as later:
            accepted = await later.film(image_id, request)
            done = await later.wait(accepted.id)
            assert done.clip is not None
            return accepted.kind, len(await later.download((await later.clip(done.clip.id)).url))

    assert asyncio.run(film()) == ("clip", ended.clip.bytes)


def test_a_transparent_picture_is_refused_by_the_client(filming: Api) -> None:
    with Client(filming.url, filming.key) as client:
        layer = LayerSpec(mask_id=a_mask(client), scale=0.5)
        spec = spec_of(canvas=Canvas(64, 64), layers=(layer,), background=Background("transparent"))
        shot, _ = filming.store.shots.add(filming.tenant_id, spec)
        image = client.wait(shot.id).images[0]
        with pytest.raises(BadInput) as refused:
            client.film(image.id)
        assert refused.value.code == "not_filmable"
