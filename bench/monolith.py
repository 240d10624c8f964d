"""The baseline of P5: a typical monolith, with FastAPI and every model in one process, called from one thread.

    python -m bench.monolith PORT THREADS

It is a strong baseline: the same networks in the same dtype, both guided rows of a scene in one call, decoded photos
and embeddings in memory, no database and no communication between processes. `POST /photos` takes a PNG; `POST /masks`
and `POST /shots` take JSON and return a PNG.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, fit_to, flatten
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_photo
from packshot.imaging.composite import composite, enlarge, inpaint_mask, product_on_grey
from packshot.imaging.edges import canny
from packshot.models.device import model_thread, pick_device, pick_dtype
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.settings import Settings
from packshot.types import Brief, Embedding, Layer, Layout, Mask, Photo, Prompts, Render, Scene


class Monolith:
    """The models, photos and masks of the process. `threads` is the number of threads that a model call uses."""

    def __init__(self, threads: int) -> None:
        settings = Settings()
        pack = find_pack("mini", settings)
        device = pick_device(settings.device)
        dtype = pick_dtype(device, settings.dtype)
        self._model = model_thread(threads)
        self._engine = DiffusionEngine(pack, device, dtype, freeze=True)
        self._encoder, self._decoder = load_segmenter(pack, device, dtype)
        self._photos: list[tuple[Photo, Embedding]] = []
        self._masks: list[tuple[int, Mask]] = []

    def photo(self, data: bytes) -> int:
        """Keep and encode a photo. Returns its number."""
        photo = read_photo(data)
        [embedding] = self._model.submit(self._encoder.encode, [photo]).result()
        self._photos.append((photo, embedding))
        return len(self._photos) - 1

    def mask(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Segment by points or boxes. Returns the number of the best mask, and the mask as a PNG."""
        _, embedding = self._photos[body["photo"]]
        prompts = Prompts(
            tuple((p["x"], p["y"], p["label"]) for p in body.get("points", ())),
            tuple(tuple(box) for box in body.get("boxes", ())),
        )
        [candidates] = self._model.submit(self._decoder.decode, [(embedding, prompts)]).result()
        pngs = [encode_bilevel_png(candidate.mask.pixels) for candidate in candidates]  # all three, like our API
        self._masks.append((body["photo"], candidates[0].mask))
        return len(self._masks) - 1, pngs[0]

    def shot(self, body: dict[str, Any]) -> bytes:
        """Make one picture. Returns it as a PNG."""
        number, mask = self._masks[body["mask"]]
        layer = Layer(cut(self._photos[number][0], mask), *(body["layer"][name] for name in ("x", "y", "scale")))
        canvas = Canvas(body["width"], body["height"])
        flat = flatten(Layout(canvas, (layer,)))
        small = fit_to(flat, *self._engine.bucket(canvas.width, canvas.height))
        scene = Scene(product_on_grey(small), inpaint_mask(small), canny(small), Brief(**body["brief"]))
        render = self._model.submit(self._paint, scene).result()
        return encode_png(composite(flat, enlarge(render.pixels, canvas)))

    def _paint(self, scene: Scene) -> Render:
        row = self._engine.begin(scene)
        while not row.done:
            self._engine.step([row])
        return self._engine.decode([row])[0]


def app_of(monolith: Monolith) -> FastAPI:
    """The HTTP application."""
    app = FastAPI()

    @app.post("/photos")
    async def photos(request: Request) -> dict[str, int]:
        data = await request.body()
        return {"photo": await _in_thread(monolith.photo, data)}

    @app.post("/masks")
    def masks(body: dict[str, Any]) -> Response:
        number, png = monolith.mask(body)
        return Response(png, media_type="image/png", headers={"x-mask": str(number)})

    @app.post("/shots")
    def shots(body: dict[str, Any]) -> Response:
        return Response(monolith.shot(body), media_type="image/png")

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _in_thread(call: Any, *args: Any) -> Any:
    from anyio.to_thread import run_sync

    return await run_sync(call, *args)


if __name__ == "__main__":
    uvicorn.run(app_of(Monolith(int(sys.argv[2]))), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
