"""Adapters through the real graph: shots of different adapters and of none paint at the same time."""

from collections.abc import Callable
from typing import Any

import httpx

from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.adapter_files import lora, peft_file

Finished = Callable[[list[str]], list[dict[str, Any]]]


def test_shots_of_different_adapters_and_of_none_are_painted(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], finished: Finished
) -> None:
    pack = find_pack("mini", Settings())
    ids = []
    for rank in (4, 16):
        file = peft_file(lora(pack, rank=rank, seed=rank, layers=("attn2.to_q", "attn2.to_v", "attn1.to_v")))
        files = {"file": ("a.safetensors", file, "application/octet-stream")}
        answer = http.post("/v1/adapters", files=files, data={"name": f"look {rank}"})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    wishes = [[], [{"id": ids[0]}], [{"id": ids[1], "scale": 1.5}], [{"id": ids[0]}, {"id": ids[1], "scale": -1}]]
    answers = [http.post("/v1/shots", json=shot_of(adapters=adapters)) for adapters in wishes]
    shots = finished([answer.json()["id"] for answer in answers])
    assert [shot["status"] for shot in shots] == ["done"] * 4, shots
    assert len({http.get(shot["images"][0]["url"]).content for shot in shots}) == 4
    assert http.delete(f"/v1/adapters/{ids[0]}").status_code == 204
