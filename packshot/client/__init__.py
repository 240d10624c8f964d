"""A client of the public API, for `packshot shoot` and other tools. It needs httpx, httpx-sse and pydantic only.

    client = Client("http://127.0.0.1:8000", key)
    photo = client.upload(Path("mug.jpg").read_bytes(), "image/jpeg")
    mask = client.masks(photo.id, boxes=[(10, 20, 300, 400)])[0]
    shot = client.shoot(ShotRequest(layers=[LayerIn(mask_id=mask.id)], prompt="on a marble table"))
    for image in client.wait(shot.id, progress=print).images:
        Path(f"{image.id}.png").write_bytes(client.download(image.url))

`AsyncClient` has the same methods for asyncio. Requests and responses are the models of `packshot.contract`. An error
response is raised as the `PackshotError` that the server raised.
"""

from packshot.client.async_client import AsyncClient
from packshot.client.catalogue_calls import ManifestFile
from packshot.client.client import Client
from packshot.client.errors import error_of
from packshot.client.events import Event
from packshot.contract.adapters import AdapterChange, AdapterIn
from packshot.contract.clips import ClipRequest
from packshot.contract.deliveries import DeliverIn
from packshot.contract.projects import StyleChange, StyleRequest
from packshot.contract.requests import CanvasIn, LayerIn, ShotRequest, StrokeIn
from packshot.contract.reviews import MarkIn, RedoRequest, ReviewIn
from packshot.contract.shot_style import ReferenceIn, ShotStyleIn
from packshot.contract.trainings import TrainingRequest
from packshot.contract.usage import BudgetRequest

__all__ = [
    "AdapterChange",
    "AdapterIn",
    "AsyncClient",
    "BudgetRequest",
    "CanvasIn",
    "Client",
    "ClipRequest",
    "DeliverIn",
    "Event",
    "LayerIn",
    "ManifestFile",
    "MarkIn",
    "RedoRequest",
    "ReferenceIn",
    "ReviewIn",
    "ShotRequest",
    "ShotStyleIn",
    "StrokeIn",
    "StyleChange",
    "StyleRequest",
    "TrainingRequest",
    "error_of",
]
