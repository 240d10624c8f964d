"""Tiny packs of the flow-matching recipes make pictures through the real API, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphs.local_stages
from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.errors import BadInput
from packshot.imaging.codec import read_png
from packshot.settings import Settings
from tests.api_graph import png
from tests.tiny_flow_pack import DISTILLED, build_tiny_flow_pack
from tests.tiny_pack import SIZE_PX

CONTROLS = {"flow_edit": (), "flow_control": ("canny", "depth")}


@pytest.mark.parametrize("recipe", CONTROLS)
def test_a_flow_pack_paints_and_refuses_what_it_cannot(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_flow_pack(tmp_path / "flow", recipe, edit=DISTILLED)
    settings = Settings(
        home=tmp_path / "home", pack_path=str(folder), pack="flow", open_access=True, device="cpu", dtype="fp32"
    )
    if recipe == "flow_edit":  # nothing reads edges, so nothing finds them

        def never(*_: object) -> None:
            raise AssertionError("an engine without edge control needs no edge map")

        monkeypatch.setattr(graphs.local_stages, "canny", never)
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready(0)
        (engine,) = client.engines()
        has = engine.capabilities
        assert (engine.recipe, has.controls) == (recipe, CONTROLS[recipe])
        assert (has.guidance, has.negative_prompt, has.samplers) == (False, False, ())
        mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
        canvas = {"width": SIZE_PX, "height": SIZE_PX}
        request: dict[str, Any] = {"layers": [{"mask_id": mask.id}], "prompt": "on marble", "canvas": canvas}
        further: list[dict[str, Any]] = [{"seed": 1}, {"seed": 2, "steps": 2, "images": 2}]
        if "depth" in has.controls:
            further.append({"seed": 1, "conditions": [{"kind": "depth", "scale": 1.5}]})
        if recipe == "flow_edit":
            shown = client.upload(png()).id
            further.append({"seed": 1, "style": {"references": [{"photo_id": shown}], "parts": ["scene"]}})
        assert has.references == (8 if recipe == "flow_edit" else 0)
        shots = [client.shoot(request | more).id for more in further]
        list(client.events(shots))
        pictures = []
        for shot in shots:
            ended = client.shot(shot)
            assert (ended.status, ended.error) == ("done", None)
            image = ended.images[0]
            assert {"transformer", "text_encoder"} <= set(image.recipe.pack or ())
            findings = {finding.check: finding.level for finding in image.verdict.findings}
            assert findings["lock"] == "ok"
            pictures.append(read_png(client.download(image.url)))
        assert all(picture.shape == (SIZE_PX, SIZE_PX, 3) for picture in pictures)
        assert not any(np.array_equal(pictures[0], other) for other in pictures[1:])
        for asked in ({"guidance_scale": 4.0}, {"negative_prompt": "blurry"}, {"conditions": [{"kind": "normal"}]}):
            with pytest.raises(BadInput) as refused:
                client.shoot(request | asked)
            assert refused.value.code == "engine_cannot"
