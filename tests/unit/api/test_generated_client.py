"""A client generated from `/openapi.json` does what an integrator does: upload, cut, shoot, look, fetch."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.api_graph import Api, png
from tests.walks.generated_client import PACKAGE, generate, module


@pytest.fixture(scope="module")
def generated(api_server: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package, made without a warning and imported."""
    folder = tmp_path_factory.mktemp("generated")
    generate(api_server.http.get("/openapi.json").content, folder)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture
def client(generated: ModuleType, api: Api) -> Iterator[Any]:
    with generated.AuthenticatedClient(base_url=api.url, token=api.key, httpx_args={"trust_env": False}) as client:
        yield client


def test_every_module_of_it_imports(generated: ModuleType) -> None:
    found = [one.name for one in pkgutil.walk_packages(generated.__path__, f"{PACKAGE}.")]
    for name in found:
        importlib.import_module(name)
    assert len(found) > 50


def test_it_uploads_cuts_shoots_and_fetches(client: Any, api: Api) -> None:
    models, types = module("models"), module("types")
    photo = module("api.photos.upload_photo").sync(
        client=client,
        body=models.PhotoUpload(
            file=types.File(payload=io.BytesIO(png(shade=77)), file_name="a.png", mime_type="image/png")
        ),
    )
    assert (photo.width, photo.height, photo.format_) == (120, 90, "png")

    masks = module("api.photos.click").sync(
        photo.id, client=client, body=models.MaskRequest(boxes=[[20.0, 20.0, 80.0, 60.0]])
    )
    assert list(masks.masks[0].bbox) == [20, 20, 80, 60]

    request = models.ShotRequest(layers=[models.LayerIn(mask_id=masks.masks[0].id)], prompt="on marble", images=2)
    accepted = module("api.shots.create_shot").sync(client=client, body=request, idempotency_key="generated-1")
    assert type(accepted).__name__ == "AcceptedAnswer"
    again = module("api.shots.create_shot").sync(client=client, body=request, idempotency_key="generated-1")
    assert again.id == accepted.id

    api.finish(accepted.id)
    shot = module("api.shots.get_shot").sync(accepted.id, client=client)
    assert (shot.status.value, len(shot.images)) == ("done", 2)
    assert not shot.error
    assert shot.created_at.tzinfo is not None
    waited = module("api.shots.create_shot").sync(
        client=client, body=request, idempotency_key="generated-1", prefer="wait=5"
    )
    assert type(waited).__name__ == "ShotAnswer"

    picture = module("api.images.get_image").sync_detailed(shot.images[0].id, client=client)
    assert picture.content.startswith(b"\x89PNG")
    reviewed = module("api.images.review_image").sync(
        shot.images[0].id, client=client, body=models.ReviewRequest(review="approved")
    )
    assert reviewed.recipe.request.prompt == "on marble"


def test_it_reads_a_problem(client: Any) -> None:
    problem = module("api.shots.get_shot").sync("sh_unknown", client=client)
    assert (type(problem).__name__, problem.status, problem.code) == ("Problem", 404, "not_found")


def test_it_has_a_method_for_every_operation(generated: ModuleType) -> None:
    from tests.unit.api.test_openapi import OPERATIONS

    folder = Path(generated.__path__[0]) / "api"
    assert {file.stem for file in folder.rglob("*.py")} - {"__init__"} == set(OPERATIONS)
