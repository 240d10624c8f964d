"""The commands of docs/agency.md run as they are printed: from a sheet to a folder, to a bucket and to a feed."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from packshot.api.decoding import LocalDecoder
from packshot.catalogue.producer import Producer
from packshot.cli.running import announced
from packshot.contract.verdict import Verdict
from packshot.delivery.delivered_lock import with_product
from packshot.imaging.codec import encode_png
from packshot.shots.layout import draw_layout, find_layout
from packshot.store.records import Claim, NewImage
from tests.api_graph import Api, jpeg, running
from tests.cli_server import call
from tests.s3_server import S3Server, s3_server
from tests.specs import recipe_of

PAGE = Path(__file__).parents[3] / "docs" / "agency.md"
FOLDER_FILES = {"meta/MUG-01.jpg", "meta/RING-07.jpg", "shop/MUG-01-marble-01.jpg", "shop/RING-07-marble-01.jpg"}


@pytest.fixture
def bucket() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield server


@contextmanager
def producing(api: Api) -> Iterator[None]:
    """A producer and a director's part behind the server. A picture is its product on a plain area."""
    stop = threading.Event()

    async def work() -> None:
        with closing(LocalDecoder(api.settings)) as decoder:
            producer = Producer(api.store, api.graph, decoder, api.settings, worker="producer")
            running = asyncio.create_task(producer.forever())
            while not stop.is_set():
                if (claim := await asyncio.to_thread(api.store.queue.claim, "director")) is None:
                    await asyncio.sleep(0.1)
                    continue
                await asyncio.to_thread(api.store.queue.commit, claim, [picture_of(api, claim)])
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            producer.release()

    worker = threading.Thread(target=asyncio.run, args=(work(),))
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def picture_of(api: Api, claim: Claim) -> NewImage:
    """A finished picture: the product on white, or on the grey of a painted scene."""
    canvas = claim.spec.canvas
    grey = 128 if claim.spec.background.generated else 255
    layout, _ = draw_layout(api.store.assets, find_layout(api.store, claim.tenant, claim.spec))
    png = encode_png(with_product(np.full((canvas.height, canvas.width, 3), grey, np.uint8), layout))
    seed = claim.spec.seeds[0]
    recipe = recipe_of(seed, claim.spec, queue=1, steps=2, decode=1)
    return NewImage(0, seed, canvas.width, canvas.height, png, Verdict(), recipe)


def bash_blocks() -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_takes_a_sheet_to_a_folder_a_bucket_and_a_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: S3Server
) -> None:
    photos = tmp_path / "spring" / "photos"
    photos.mkdir(parents=True)
    for name in ("mug.jpg", "ring.jpg"):
        photos.joinpath(name).write_bytes(jpeg(1600, 1200))
    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKSHOT_HOME", str(home))
    monkeypatch.setattr("packshot.cli.catalogue_run.EVERY_S", 0.3)
    monkeypatch.setattr("packshot.cli.servers.ANSWERS_WITHIN_S", 60.0)  # of a machine that does much else
    serving = running(home, open_access=True, catalogue_route_urls="s3://bucket/spring", poll_s=0.1)
    with serving as api, announced(home, api.url, opened=True), producing(api):
        for block in bash_blocks():
            commands = [line for line in block.splitlines() if line.startswith("packshot ")]
            rest = "\n".join(line for line in block.splitlines() if not line.startswith("packshot "))
            subprocess.run(["bash", "-euc", rest], check=True, timeout=120)
            for command in commands:
                result = call(*shlex.split(command)[1:])
                assert result.exit_code == 0, (command, result.stderr)
    delivered = tmp_path / "delivered"
    written = {path.relative_to(delivered).as_posix() for path in delivered.rglob("*.jpg")}
    assert written == FOLDER_FILES
    assert (delivered / "manifest.csv").read_text("utf-8").count("made") == 4
    feed = (delivered / "feed-shopify.csv").read_text("utf-8")
    assert '"Mug, blue"' in feed
    assert "https://cdn.example/spring/shop/MUG-01-marble-01.jpg?v=" in feed
    assert bucket.keys("s3://bucket/spring") == ["MUG-01-marble-01.jpg", "RING-07-marble-01.jpg"]
    sent = bucket.client.get_object(Bucket="bucket", Key="spring/MUG-01-marble-01.jpg")["Body"].read()
    assert sent == (tmp_path / "bucket-delivered" / "bucket" / "spring" / "MUG-01-marble-01.jpg").read_bytes()
