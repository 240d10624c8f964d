"""The Python session of docs/integrator.md runs as it is printed."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from tests.api_graph import Api, jpeg

PAGE = Path(__file__).parents[3] / "docs/integrator.md"


def test_the_python_session_uploads_cuts_shoots_and_saves(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (session,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:8000" in session
    session = session.replace("http://127.0.0.1:8000", api.url)
    (tmp_path / "mug.jpg").write_bytes(jpeg(1600, 1200))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKSHOT_KEY", api.key)
    worker = threading.Thread(target=_finish, args=(api,))
    worker.start()
    exec(compile(session, str(PAGE), "exec"), {})
    worker.join()
    assert len(list(tmp_path.glob("im_*.png"))) == 2


def _finish(api: Api) -> None:
    """What a director does, for the shot of the session."""
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        waiting = api.http.get("/v1/shots", params={"status": "queued"}).json()["shots"]
        if waiting and api.store.shots.get(api.tenant_id, waiting[0]["id"]).spec.prompt == "on a marble table":
            api.finish(waiting[0]["id"])
            return
        time.sleep(0.05)
    raise AssertionError("the session must send its shot within 30 s, it did not")
