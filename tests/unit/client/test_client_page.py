"""The code of docs/client.md runs as it is printed, from top to bottom, against a server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api_graph import Api, jpeg, running

PAGE = Path(__file__).parents[3] / "docs/client.md"
POLL_S = 0.02


def test_every_block_of_the_clients_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    (tmp_path / "mug.jpg").write_bytes(jpeg(1600, 1200))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "client_page"}
    with running(tmp_path / "home") as api, finishing(api, tmp_path / "preview.png"):
        monkeypatch.setenv("PACKSHOT_KEY", api.key)
        monkeypatch.setenv("RECEIVER", "https://93.184.216.34/hooks")  # an address needs no name server
        for block in blocks:
            exec(compile(block.replace("http://127.0.0.1:8000", api.url), str(PAGE), "exec"), names)
    assert len(list(tmp_path.glob("im_*.png"))) == 2
    assert names["statuses"] == ["done"] * 3
    approved, uploads = names["approved"], names["uploads"]
    assert isinstance(approved, list)
    assert isinstance(uploads, dict)
    assert (len(approved), len(uploads)) == (1, 1)
    printed = capsys.readouterr().out
    shown = ("sent 100 %", "step 8 of 16", "on slate", "'season': 'spring'", "crisp", "invalid_request [{'loc'")
    for words in (*shown, "running waiting=1", "MUG-01 cancelled", "MUG-01-BLUE: ", "in all "):
        assert words in printed


@contextmanager
def finishing(api: Api, preview: Path) -> Iterator[None]:
    """Run and end every shot that waits, as a director does: half of its steps with a preview, then its images.

    The shot whose progress the page shows ends after the page has written the file `preview`.
    """
    ended = threading.Event()

    def direct() -> None:
        while not ended.wait(POLL_S):
            claim = api.store.queue.claim("director")
            if claim is None:
                continue
            api.store.assets.put_at(f"previews/{claim.shot_id}.png", b"\x89PNG preview")
            steps = claim.spec.images * claim.spec.steps
            api.store.queue.heartbeat(claim, step=steps // 2, steps=steps, preview_version=1)
            while claim.spec.prompt == "on slate" and not preview.exists() and not ended.wait(POLL_S):
                pass
            api.commit(claim)

    worker = threading.Thread(target=direct)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()
