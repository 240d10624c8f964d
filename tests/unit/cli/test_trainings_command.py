"""`packshot trainings` and the clients' `trainings`, on a server whose trainer is a thread that learns nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from packshot.client import AsyncClient, TrainingRequest
from packshot.store.adapters import NewAdapter
from packshot.store.training_records import EndedTraining, Progress
from tests.api_graph import ENGINES, Api, png, running
from tests.cli_server import call, last_json


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose trainings end at once. Those whose tag begins with `fail` fail; those with `wait` go on."""
    stop = threading.Event()
    with running(tmp_path_factory.mktemp("trainings")) as api:
        engine = ENGINES[1].model_copy(update={"name": "mini"})
        setattr(api.graph, "engines", lambda: (engine,))  # noqa: B010 - mypy refuses the assignment
        work = api.store.training_work

        def train() -> None:
            while not stop.wait(0.05):
                claim = work.claim("w", ["mini"])
                if claim is None:
                    continue
                tag = claim.order.tag
                while work.heartbeat(claim, Progress(step=1, loss=0.5, spent_s=0.1, sheet=png())).cancelled is False:
                    if not tag.startswith("wait") or stop.wait(0.05):
                        break
                new = NewAdapter(
                    name=claim.name, kind="lora", engine="mini", family="mini", rank=8, trigger=tag, licence=""
                )
                if tag.startswith("fail"):
                    work.end(
                        claim, EndedTraining(status="failed", code="dataset_refused", detail="a picture is broken")
                    )
                elif tag.startswith("wait"):
                    work.end(claim, EndedTraining(status="cancelled", ended="it was cancelled"))
                else:
                    work.end(claim, EndedTraining(status="done", adapter=new, data=b"file"), step=claim.steps)

        trainer = threading.Thread(target=train)
        trainer.start()
        try:
            yield api
        finally:
            stop.set()
            trainer.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures, three of them with a caption."""
    for shade in range(4):
        (tmp_path / f"{shade}.png").write_bytes(png(64, 64, shade=40 * shade))
        if shade:
            (tmp_path / f"{shade}.txt").write_text(f"a mug {shade}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def key(training: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", training.key)


def test_a_folder_is_uploaded_and_followed_to_its_adapter(training: Api, folder: Path) -> None:
    arguments = (
        "--tag",
        "acmelook7",
        "--upload",
        folder,
        "--sheet",
        folder / "out.png",
        "--host",
        training.url,
        "--json",
    )
    made = call("trainings", "start", "lora", "--name", "Folder look", *arguments)
    assert made.exit_code == 0, made.stderr
    assert "4 pictures x 6 repeats / batch 2 x 10 epochs = 120 steps" in made.stderr
    found = last_json(made)["training"]
    assert (found["status"], found["step"]) == ("done", 120)
    assert found["adapter_id"] in made.stderr
    assert (folder / "out.png").read_bytes() == png()
    record = training.store.trainings.get(training.tenant_id, found["id"])
    assert [one.caption for one in record.order.pictures] == ["", "a mug 1", "a mug 2", "a mug 3"]
    listed = last_json(call("trainings", "list", "--host", training.url, "--json"))["trainings"]
    assert found["id"] in [one["id"] for one in listed]
    assert call("trainings", "rm", found["id"], "--host", training.url).exit_code == 0


def test_a_failed_and_a_cancelled_training_exit_with_1(training: Api, folder: Path) -> None:
    photos = [argument for shade in range(3) for argument in ("--photo", training.photo(shade)["id"])]
    product = ("dreambooth", "--class-words", "mug", *photos, "--host", training.url)
    failed = call("trainings", "start", *product, "--name", "Failed", "--tag", "failmug7")
    assert failed.exit_code == 1
    assert "dataset_refused: a picture is broken" in failed.stderr
    begun = call("trainings", "start", *product, "--name", "Waiting", "--tag", "waitmug7", "--detach", "--json")
    assert begun.exit_code == 0, begun.stderr
    training_id = last_json(begun)["training"]["id"]
    cancelled = call("trainings", "cancel", training_id, "--host", training.url)
    assert cancelled.exit_code == 0, cancelled.stderr
    ended = call("trainings", "wait", training_id, "--host", training.url)
    assert ended.exit_code == 1
    assert "it ended early: it was cancelled" in ended.stderr


def test_an_option_that_cannot_be_meant_is_refused_before_anything_is_sent() -> None:
    refused = call("trainings", "start", "lora", "--name", "x", "--rank", 0, "--host", "http://127.0.0.1:9")
    assert refused.exit_code == 2
    assert "--rank" in refused.stderr


def test_the_async_client_has_the_same_trainings(training: Api) -> None:
    ids = [training.photo(shade)["id"] for shade in range(4)]

    async def train() -> tuple[str, list[str]]:
        async with AsyncClient(training.url, training.key) as client:
            request = TrainingRequest(name="Async look", photo_ids=ids)
            begun = await client.trainings.create(request, idempotency_key="async")
            assert (await client.trainings.create(request, idempotency_key="async")).id == begun.id
            ended = await client.trainings.wait(begun.id)
            listed = [one.id async for one in client.trainings.all()]
            await client.trainings.delete(begun.id)
            return ended.status, [one for one in listed if one == begun.id]

    assert asyncio.run(train())[0] == "done"
