"""The hostile persona: malformed files, bodies that never end, broken connections. Part of the Locust child.

The server must refuse its requests within the bounds of their own class, and the latency of the other classes must not
suffer. Attacks whose request is never complete (a slow body, a broken connection, a
length over the limit) are only counted.
"""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit

import gevent

from loadtest.generator.http_client import Answer, HttpError, multipart
from loadtest.generator.person import Person, WrongAnswer

SLOW_FOR_S = 8.0
SLOW_EVERY_S = 0.25
TOO_MANY_BYTES = 200 * 1024 * 1024  # a photo's upload may have 96 MiB

Attack = Callable[[Person], tuple[str, str, bytes, str]]
"""Builds a request that the server must refuse: method, path, body and content type."""


def _photo(data: bytes, media_type: str) -> tuple[str, str, bytes, str]:
    body, content_type = multipart(data, media_type)
    return "POST", "/v1/photos", body, content_type


def truncated_photo(person: Person) -> tuple[str, str, bytes, str]:
    data = person.rng.choice(person.world.photos).data
    return _photo(data[: person.rng.randrange(200, len(data) // 2)], "image/jpeg")


def mutated_photo(person: Person) -> tuple[str, str, bytes, str]:
    """A PNG whose pixel data is random bytes that do not inflate."""
    return _photo(_png(640, 480, person.rng.randbytes(2_000)), "image/png")


def bomb(person: Person) -> tuple[str, str, bytes, str]:
    return _photo(_png(40_000, 40_000, zlib.compress(bytes(1_000_000))), "image/png")


def wrong_type(person: Person) -> tuple[str, str, bytes, str]:
    return _photo(b"%PDF-1.7\n" + person.rng.randbytes(500), "image/jpeg")


def broken_gif(person: Person) -> tuple[str, str, bytes, str]:
    return _photo(b"GIF89a" + person.rng.randbytes(500), "image/gif")


def many_pages(person: Person) -> tuple[str, str, bytes, str]:
    """A TIFF of 10,000 pages, each without an entry."""
    links = (struct.pack("<HI", 0, 8 + 6 * (page + 1) if page < 9_999 else 0) for page in range(10_000))
    return _photo(b"II*\0" + struct.pack("<I", 8) + b"".join(links), "image/tiff")


def _adapter(data: bytes) -> tuple[str, str, bytes, str]:
    body, content_type = multipart(data, "application/octet-stream")
    boundary = content_type.partition("boundary=")[2]
    name = f'--{boundary}\r\ncontent-disposition: form-data; name="name"\r\n\r\npoison\r\n'
    return "POST", "/v1/adapters", name.encode() + body, content_type


def pickled_adapter(person: Person) -> tuple[str, str, bytes, str]:
    """A pickle that would run code if it were loaded."""
    return _adapter(b"\x80\x04cos\nsystem\n(S'true'\ntR." + person.rng.randbytes(500))


def nan_adapter(person: Person) -> tuple[str, str, bytes, str]:
    """A LoRA whose weights are not numbers."""
    tensor = {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}
    header = json.dumps({"unet.mid_block.attentions.0.proj_in.lora_A.weight": tensor}).encode()
    return _adapter(struct.pack("<Q", len(header)) + header + b"\xff" * 128)


def endless_adapter(person: Person) -> tuple[str, str, bytes, str]:
    """A safetensors file that says that its header is longer than any memory."""
    return _adapter(struct.pack("<Q", 1 << 62) + person.rng.randbytes(2_000))


def _training(person: Person, fields: dict[str, object]) -> tuple[str, str, bytes, str]:
    body = {"name": "poison", "photo_ids": [person.tenant.photo_id], **fields}
    return "POST", "/v1/trainings", json.dumps(body).encode(), "application/json"


def lonely_training(person: Person) -> tuple[str, str, bytes, str]:
    """A training on one picture, which would learn that picture by heart."""
    return _training(person, {"tag": f"look{person.rng.randrange(1_000_000)}"})


def known_word_training(person: Person) -> tuple[str, str, bytes, str]:
    """A training that would change what a word of the engine means."""
    return _training(person, {"tag": person.rng.choice(("marble", "table", "mug"))})


def endless_training(person: Person) -> tuple[str, str, bytes, str]:
    """A training of 10,000 pictures, whose ids are made up."""
    ids = [f"ph_{person.rng.randrange(1 << 60):x}" for _ in range(10_000)]
    return _training(person, {"photo_ids": ids})


def deep_json(person: Person) -> tuple[str, str, bytes, str]:
    return "POST", "/v1/shots", b"[" * 5_000, "application/json"


def long_json(person: Person) -> tuple[str, str, bytes, str]:
    return "POST", "/v1/shots", json.dumps({"prompt": "x" * 400_000}).encode(), "application/json"


def unknown_field(person: Person) -> tuple[str, str, bytes, str]:
    body = {"layers": [{"mask_id": person.tenant.mask_id}], "colour": "red"}
    return "POST", "/v1/shots", json.dumps(body).encode(), "application/json"


def bidi_prompt(person: Person) -> tuple[str, str, bytes, str]:
    body = {"layers": [{"mask_id": person.tenant.mask_id}], "prompt": "on a \u202emarble table"}
    return "POST", "/v1/shots", json.dumps(body).encode(), "application/json"


def nan_point(person: Person) -> tuple[str, str, bytes, str]:
    return (
        "POST",
        f"/v1/photos/{person.tenant.photo_id}/masks",
        b'{"points": [{"x": NaN, "y": 1, "label": 1}]}',
        "application/json",
    )


ATTACKS: tuple[Attack, ...] = (
    truncated_photo,
    mutated_photo,
    bomb,
    wrong_type,
    broken_gif,
    many_pages,
    pickled_adapter,
    nan_adapter,
    endless_adapter,
    lonely_training,
    known_word_training,
    endless_training,
    deep_json,
    long_json,
    unknown_field,
    bidi_prompt,
    nan_point,
)


def _png(width: int, height: int, packed: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def hostile(person: Person) -> None:
    """Run one attack, drawn from the arrival's seed. A third of the attacks never complete their request."""
    if person.rng.random() < 1 / 3:
        person.rng.choice((slow_body, broken_upload, oversized_upload))(person)
        return
    method, path, body, content_type = person.rng.choice(ATTACKS)(person)
    try:
        with person.op("refusal", person.arrival.at_s) as op:
            left_s = person.world.plan.scenario.patience_s
            headers = {**person.headers, "content-type": content_type}
            op.record["attack"] = path
            answer = person.world.http.request(method, path, body, headers, left_s)
            op.answered_s = answer.at_s
            _require_refusal(answer)
    except (WrongAnswer, HttpError):
        return


def _require_refusal(answer: Answer) -> None:
    if not 400 <= answer.status < 500:
        raise WrongAnswer(f"{answer.status} instead of 4xx")
    try:
        coded = isinstance(answer.json()["code"], str)
    except (ValueError, KeyError, TypeError):
        coded = False
    if not coded:
        raise WrongAnswer(f"{answer.status} without a code")


def slow_body(person: Person) -> None:
    """Send an upload one byte at a time for SLOW_FOR_S, and never complete it."""
    connection = _half_upload(person, 1_000_000)
    if connection is None:
        return
    end_s = person.world.now() + SLOW_FOR_S
    try:
        while person.world.now() < end_s:
            connection.sendall(b"x")
            gevent.sleep(SLOW_EVERY_S)
    except OSError:
        pass  # the server closed the connection, as it should
    finally:
        connection.close()
    person.world.note({"k": "attack", "name": "slow_body", "at": person.arrival.at_s})


def broken_upload(person: Person) -> None:
    """Begin an upload and reset the connection before it is complete."""
    connection = _half_upload(person, 500_000)
    if connection is None:
        return
    try:
        connection.sendall(person.rng.randbytes(20_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    finally:
        connection.close()
    person.world.note({"k": "attack", "name": "broken_upload", "at": person.arrival.at_s})


def oversized_upload(person: Person) -> None:
    """Declare an upload of TOO_MANY_BYTES, send none of it, and wait until the server refuses it or hangs up."""
    connection = _half_upload(person, TOO_MANY_BYTES)
    if connection is None:
        return
    try:
        connection.settimeout(SLOW_FOR_S)
        status = connection.recv(64).split(b" ")[1:2]
    except OSError:
        status = []
    finally:
        connection.close()
    person.world.note(
        {"k": "attack", "name": "oversized_upload", "at": person.arrival.at_s, "refused": status == [b"413"]}
    )


def _half_upload(person: Person, declared_bytes: int) -> socket.socket | None:
    """Send the headers of an upload of `declared_bytes`. None when the connection fails or the host needs TLS."""
    host = urlsplit(person.world.plan.host)
    if host.scheme != "http":
        return None
    headers = {**person.headers, "host": host.netloc, "content-type": "multipart/form-data; boundary=b"}
    head = "".join(
        f"{name}: {value}\r\n" for name, value in (headers | {"content-length": str(declared_bytes)}).items()
    )
    try:
        connection = socket.create_connection((host.hostname, host.port or 80), timeout=5)
        connection.sendall(f"POST /v1/photos HTTP/1.1\r\n{head}\r\n--b\r\n".encode())
    except OSError:
        return None
    return connection
