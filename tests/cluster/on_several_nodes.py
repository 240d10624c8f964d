"""A cluster of several nodes (several_nodes.py in a child process), and clients that use it over HTTP."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil
import skimage.data
import yaml

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from cluster.local import ENVIRONMENT
from packshot.imaging.codec import encode_png

ROOT = Path(__file__).parents[2]
Found = TypeVar("Found")


class Nodes:
    """The child process, with its verbs as methods. Raises AssertionError with the child's message."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log, self._turn = process, log, threading.Lock()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def ask(*args: object) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with self._turn:
                self._process.stdin.write(json.dumps([verb, *args]) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            assert line, f"the cluster's process ended: {self._log.read_text()[-2000:]}"
            answer = json.loads(line)
            assert "error" not in answer, answer["error"]
            return answer["ok"]

        return ask


@contextmanager
def started(folder: Path, nodes: list[dict[str, Any]], tree: Path = ROOT, /, **settings: str) -> Iterator[Nodes]:
    """A cluster with these nodes and nothing deployed. `settings` are further PACKSHOT_* and RAY_* variables.

    `tree` is the checkout whose code it runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    more = {
        "PACKSHOT_HOME": str(folder / "home"),
        "PACKSHOT_OPEN_ACCESS": "true",
        "PACKSHOT_DEVICE": "cpu",  # the GPUs are fake
        "PACKSHOT_POLL_S": "1",
        "PACKSHOT_LEASE_S": "6",
        "PACKSHOT_HEARTBEAT_S": "1",
        **settings,
    }
    asked = {"nodes": nodes, "settings": more}
    command = [sys.executable, "-m", "tests.cluster.several_nodes", json.dumps(asked)]
    # Ray reads its variables when it is first imported, so the process starts with them.
    environment = {**os.environ, **ENVIRONMENT, **more, "PYTHONPATH": str(tree)}
    log = folder / "cluster.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=tree, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield Nodes(process, log)
    finally:  # by the tree: Serve would take its time to drain what nobody needs any more
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def write_profile(path: Path, **values: Any) -> str:
    """Write a profile with the mini pack on simulated GPUs, and return its path."""
    values = {"name": path.stem, "sentence": "A test's.", "device": "cuda", "pack": "mini", **values}
    path.write_text(yaml.safe_dump(values))
    return str(path)


def limits(keep_alive: bool) -> httpx.Limits:
    return httpx.Limits(max_keepalive_connections=None if keep_alive else 0)


class People:
    """Threads that send light requests, one after the other: clicks on an encoded photo and looks at a shot.

    `retries`: how often a client asks again after a failure. `keep_alive`: whether a client uses one connection for
    several requests. What happened is in `answers`: (begun, ended, failure or "").
    """

    KINDS = ("click", "look", "photo")

    def __init__(
        self,
        url: str,
        photo_id: str,
        shot_id: str,
        count: int = 4,
        retries: int = 0,
        pause_s: float = 0.0,
        keep_alive: bool = True,
    ) -> None:
        self._url, self._photo_id, self._shot_id = url, photo_id, shot_id
        self._retries, self._pause_s, self._stop = retries, pause_s, threading.Event()
        self._limits = limits(keep_alive)
        self._threads = [threading.Thread(target=self._use, args=(number,), daemon=True) for number in range(count)]
        self.answers: list[tuple[float, float, str]] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[tuple[float, float, str]]:
        return [answer for answer in self.answers if answer[2]]

    def _use(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=120, limits=self._limits) as http:
            while not self._stop.wait(self._pause_s):
                kind = self.KINDS[number % len(self.KINDS)]
                number += 1
                begun = time.monotonic()
                for _ in range(self._retries + 1):
                    failure = self._ask(http, kind)
                    if not failure:
                        break
                self.answers.append((begun, time.monotonic(), failure))

    def _ask(self, http: httpx.Client, kind: str) -> str:
        try:
            if kind == "click":
                answer = http.post(f"/v1/photos/{self._photo_id}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]})
            elif kind == "look":
                answer = http.get(f"/v1/shots/{self._shot_id}")
            else:
                answer = http.get(f"/v1/photos/{self._photo_id}")
        except httpx.TransportError as error:
            return f"{kind}: {error!r}"
        return "" if answer.status_code == 200 else f"{kind}: {answer.status_code} {answer.text[:200]}"


class Session:
    """A client's session on a cluster: a photo, a mask and shots of it."""

    def __init__(self, url: str, keep_alive: bool = True) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=120, limits=limits(keep_alive))
        photo = self._post("/v1/photos", files={"file": ("c.png", encode_png(skimage.data.coffee()), "image/png")})
        click = self._post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]})
        self.photo_id, self.mask_id = photo["id"], click["masks"][0]["id"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def _post(self, path: str, **options: Any) -> Any:
        answer = self.http.post(path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def accept(self, seed: int, steps: int = 4, **changes: Any) -> str:
        """Create a shot and return its id."""
        small = {"layers": [{"mask_id": self.mask_id}], "canvas": {"width": 256, "height": 256}, "images": 1}
        body = {**small, "steps": steps, "prompt": "on a marble table", "seed": seed, **changes}
        return str(self._post("/v1/shots", json=body)["id"])

    def finished(self, ids: list[str], timeout_s: float = 240.0) -> list[dict[str, Any]]:
        """Wait until every shot has ended, and return them."""
        return wait_for(lambda: self._ended(ids), timeout_s, lambda: self._ended(ids, still=True), every_s=1.0)

    def _ended(self, ids: list[str], still: bool = False) -> list[dict[str, Any]] | None:
        shots: list[dict[str, Any]] = []
        for shot in ids:
            try:
                answer = self.http.get(f"/v1/shots/{shot}")
            except httpx.TransportError:
                return None
            if not answer.is_success:
                return None
            shots.append(answer.json())
        return shots if still or all(shot["status"] in ("done", "failed", "cancelled") for shot in shots) else None

    def people(self, shot_id: str, **options: Any) -> People:
        return People(self.url, self.photo_id, shot_id, **options)


def assert_each_done_once(shots: list[dict[str, Any]]) -> None:
    assert [(shot["status"], shot.get("error")) for shot in shots] == [("done", None)] * len(shots)
    assert [len(shot["images"]) for shot in shots] == [1] * len(shots)
    assert len({image["id"] for shot in shots for image in shot["images"]}) == len(shots)


def wait_for(
    condition: Callable[[], Found | None],
    timeout_s: float,
    told: Callable[[], object] = lambda: "",
    every_s: float = 0.25,
) -> Found:
    """Wait until `condition` returns a true value, and return it."""
    give_up_at = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"not within {timeout_s:.0f} s: {told()}"
        time.sleep(every_s)
    return found
