"""A new user's first walk with a client that a generator makes from `/openapi.json`.

    HOST=http://127.0.0.1:8000 [KEY=…] python tests/walks/generated_client.py PHOTO OUT

The generator is openapi-python-client. The client uploads the photo, cuts the product out, makes a picture, and fetches
what is known about it.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

PACKAGE = "generated_packshot_client"
CONFIG = {
    "package_name_override": PACKAGE,
    "post_hooks": [],  # it would only be formatted
    # Content types that the generator does not know, as ones that it does.
    "content_type_overrides": {
        "application/problem+json": "application/json",
        "text/event-stream": "text/plain",
        **dict.fromkeys(("image/png", "image/jpeg", "image/webp"), "application/octet-stream"),
        **dict.fromkeys(
            ("application/zip", "application/yaml", "application/jsonl", "text/csv"), "application/octet-stream"
        ),
    },
}


def generate(document: bytes, folder: Path) -> None:
    """Make the package `PACKAGE` in `folder` from an OpenAPI document. A warning of the generator is an error."""
    source, config = folder / "openapi.json", folder / "config.json"
    source.write_bytes(document)
    config.write_text(json.dumps(CONFIG))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    command += ["--path", str(source), "--config", str(config), "--output-path", str(folder / PACKAGE)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)


def module(name: str) -> Any:
    """A module of the generated package."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def walk(host: str, key: str, photo: Path, out: Path) -> None:
    """Upload, cut, shoot, fetch and describe. `PACKAGE` can be imported."""
    models, types = module("models"), module("types")
    options = {"base_url": host, "timeout": httpx.Timeout(180.0), "httpx_args": {"trust_env": False}}
    package = importlib.import_module(PACKAGE)
    with package.AuthenticatedClient(token=key, **options) if key else package.Client(**options) as client:
        file = types.File(payload=io.BytesIO(photo.read_bytes()), file_name=photo.name)
        uploaded = module("api.photos.upload_photo").sync(client=client, body=models.PhotoUpload(file=file))
        marks = models.MaskRequest(boxes=[[78.0, 14.0, 480.0, 387.0]])
        mask = module("api.photos.click").sync(uploaded.id, client=client, body=marks).masks[0]
        request = models.ShotRequest(
            layers=[models.LayerIn(mask_id=mask.id)],
            canvas=models.CanvasIn(width=512, height=512),
            prompt="on a marble table, soft morning light",
            seed=7,
            sku="WALK-2",
        )
        shot = None
        while not isinstance(shot, models.ShotAnswer):  # a repeat with the key waits on
            shot = module("api.shots.create_shot").sync(
                client=client, body=request, prefer="wait=120", idempotency_key=f"walk {mask.id}"
            )
        image = shot.images[0]
        out.mkdir(parents=True, exist_ok=True)
        picture = module("api.images.get_image").sync_detailed(image.id, client=client)
        (out / "painted.png").write_bytes(picture.content)
        known = module("api.images.describe_image").sync(image.id, client=client)
        assert known.recipe.request.prompt == request.prompt
        found = module("api.shots.list_shots").sync(client=client, sku="WALK-2", limit=1)
        assert found.shots[0].id == shot.id
        print(json.dumps({"verdict": str(image.verdict.level), "out": str(out)}))


def main() -> int:
    """Generate the client and walk."""
    host, key = os.environ["HOST"], os.environ.get("KEY", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with tempfile.TemporaryDirectory() as folder:
        with httpx.Client(headers=headers, trust_env=False, timeout=120) as http:
            generate(http.get(f"{host}/openapi.json").raise_for_status().content, Path(folder))
        sys.path.insert(0, folder)
        walk(host, key, Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
