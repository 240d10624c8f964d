"""A vendor's picture editing service on loopback, in the published forms, that misbehaves as a test says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from packshot.imaging.codec import encode_png
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.types import U8
from tests.receiver import Received, Receiver, receiving
from tests.waiting import WAIT_S

KEY = "sk-of-the-test"
PRICE_S = 60.0
SIZE = 64

Behaviour = Callable[["Vendor", BaseHTTPRequestHandler], None]


@dataclass
class Vendor:
    """The service. `behaviours` are of the next calls, in order; without one a call paints. `billed` are its bills.

    `idempotent` says that a call with the Idempotency-Key of an earlier one gets its answer and is not billed.
    """

    receiver: Receiver
    behaviours: list[Behaviour] = field(default_factory=list)
    billed: list[str] = field(default_factory=list)
    idempotent: bool = False

    @property
    def calls(self) -> list[Received]:
        return self.receiver.got

    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/v1/images/edits"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Behave as the test says, or paint."""
        behaviour = self.behaviours.pop(0) if self.behaviours else paint
        behaviour(self, handler)

    def bill(self) -> None:
        """Bill the latest call, unless it repeats one."""
        name = self.calls[-1].headers.get("idempotency-key", f"call {len(self.calls)}")
        if not (self.idempotent and name in self.billed):
            self.billed.append(name)


def parts_of(call: Received) -> dict[str, bytes]:
    """The fields and files of a call's form."""
    head = f"content-type: {call.headers['content-type']}\r\n\r\n".encode()
    form = message_from_bytes(head + call.body)
    found: dict[str, bytes] = {}
    for part in form.walk():
        name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            found[name] = data
    return found


def pixels_of(png: bytes) -> U8:
    """The pixels of a PNG, uint8 HxWxC in OpenCV's order."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json", **more: str
) -> None:
    """Answer with a body."""
    handler.send_response(status)
    handler.send_header("content-type", kind)
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def picture(size: tuple[int, int] = (SIZE, SIZE), file: bytes | None = None) -> bytes:
    """A whole answer with a picture of this (width, height), or with another `file`."""
    width, height = size
    painted = np.zeros((height, width, 3), np.uint8)
    painted[..., 2], painted[..., 1] = 200, np.linspace(60, 160, height, dtype=np.uint8)[:, None]
    data = encode_png(painted) if file is None else file
    return json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]}).encode()


def paint(vendor: Vendor, handler: BaseHTTPRequestHandler) -> None:
    """Bill the call, and answer with a blue scene of the size that was asked for."""
    width, height = (int(side) for side in parts_of(vendor.calls[-1])["size"].split(b"x"))
    vendor.bill()
    send(handler, 200, picture((width, height)))


def says(status: int, message: str = "no", code: str | None = None, **headers: str) -> Behaviour:
    """Answer with an error in the published form."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return lambda vendor, handler: send(handler, status, body, **headers)


def answers(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> Behaviour:
    """Bill the call, and answer with these bytes."""

    def behave(vendor: Vendor, handler: BaseHTTPRequestHandler) -> None:
        vendor.bill()
        send(handler, status, body, kind, **headers)

    return behave


def floods(vendor: Vendor, handler: BaseHTTPRequestHandler) -> None:
    """Send 100 MB, without saying so before."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" " * 1_000_000)
    except OSError:
        return


def stalls(vendor: Vendor, handler: BaseHTTPRequestHandler) -> None:
    """Bill the call, and say nothing until the caller leaves."""
    vendor.bill()
    handler.connection.settimeout(WAIT_S)
    handler.connection.recv(1)


def hangs_up(vendor: Vendor, handler: BaseHTTPRequestHandler) -> None:
    """Bill the call, and cut the answer."""
    vendor.bill()
    handler.send_response(200)
    handler.send_header("content-length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')


@contextmanager
def vending() -> Iterator[Vendor]:
    """Run a vendor's service."""
    with receiving() as receiver:
        vendor = Vendor(receiver)
        receiver.answer = vendor.answer
        yield vendor


def endpoint_at(vendor: Vendor, **changes: Any) -> dict[str, Any]:
    """The manifest's block for the vendor."""
    return {
        "shape": "openai_images",
        "url": vendor.url(),
        "model": "test-image-1",
        "prompt": "Photograph: {prompt}.",
        "in_flight": 2,
        "timeout_s": WAIT_S,
        "price_device_s": PRICE_S,
    } | changes


def remote_pack(folder: Path, vendor: Vendor, **changes: Any) -> Pack:
    """A remote pack in `folder`, whose endpoint is the vendor."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": folder.name,
        "title": "A vendor",
        "family": "remote",
        "recipe": "remote",
        "licence": "LicenseRef-terms",
        "commercial": True,
        "native_px": [SIZE, SIZE],
        "buckets": [[SIZE, SIZE], [96, 64]],
        "prediction_type": "none",
        "defaults": {"steps": 1, "guidance_scale": 1.0, "control_scale": 0.0},
        "limits": {"max_steps": 1, "max_guidance_scale": 1.0, "max_control_scale": 0.0},
        "endpoint": endpoint_at(vendor, **changes),
        "roles": {},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), "utf-8")
    return find_pack(folder.name, Settings(pack_path=str(folder)))
