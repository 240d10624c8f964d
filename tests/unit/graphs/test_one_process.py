"""The graph in one process: a tiny pack makes pictures through the real API, without Ray."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import graphs.one_process
from graphs.local_models import Models
from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.contract.deliveries import DeliverIn
from packshot.contract.events import ProgressEvent
from packshot.errors import BadInput, NotFound, PackRefused, PackshotError
from packshot.imaging.codec import encode_png, read_png
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.adapter_files import lora, peft_file
from tests.api_graph import png
from tests.tiny_pack import SIZE_PX, build_tiny_pack


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = build_tiny_pack(tmp_path_factory.mktemp("packs") / "tiny", controls=("depth", "normal"), references=True)
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, pack_path=str(folder), pack="tiny", open_access=True, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready(0)
        yield client


def test_a_photo_becomes_a_painted_picture(client: Client) -> None:
    photo = client.upload(png())
    mask = client.masks(photo.id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "canvas": {"width": SIZE_PX, "height": SIZE_PX}}
    shots = [client.shoot({**request, "seed": seed, "steps": 3, "images": 2}).id for seed in (1, 5)]
    events = list(client.events(shots))
    assert any(isinstance(event.data, ProgressEvent) for event in events)
    for shot in shots:
        ended = client.shot(shot)
        assert (ended.status, len(ended.images)) == ("done", 2), ended
        assert read_png(client.download(ended.images[0].url)).shape == (SIZE_PX, SIZE_PX, 3)


def test_conditions_reach_the_engine(client: Client) -> None:
    """A depth and a normal map change the picture, and its recipe names their networks."""
    (engine,) = client.engines()
    assert engine.capabilities.controls == ("canny", "depth", "normal")
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": {"width": 64, "height": 64}}
    pictures = []
    for kinds in ((), ("depth",), ("depth", "normal")):
        shot = client.shoot({**request, "conditions": [{"kind": kind, "scale": 2.0} for kind in kinds]}).id
        list(client.events([shot]))
        ended = client.shot(shot)
        assert ended.status == "done", ended
        assert {"controlnet_depth", "controlnet_normal"} <= set(ended.images[0].recipe.pack or ())
        pictures.append(client.download(ended.images[0].url))
    assert len(set(pictures)) == 3


def test_a_style_shows_its_pictures_to_the_engine(client: Client) -> None:
    """They change the scene and never the product, and a touch-up follows them too."""
    (engine,) = client.engines()
    assert engine.capabilities.references == 8
    photo = client.upload(png())
    mask = client.masks(photo.id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": {"width": 64, "height": 64}}
    style = {"references": [{"photo_id": photo.id}], "strength": 1.0, "parts": ["scene"]}
    pictures = []
    for more in ({}, {"style": style}, {"style": {**style, "strength": 0.0}}):
        shot = client.shoot({**request, **more}).id
        list(client.events([shot]))
        ended = client.shot(shot)
        assert ended.status == "done", ended
        assert "ip_adapter" in (ended.images[0].recipe.pack or ())
        assert next(one for one in ended.images[0].verdict.findings if one.check == "lock").level == "ok"
        pictures.append(read_png(client.download(ended.images[0].url)).astype(int))
    changed, unchanged = (np.abs(pictures[0] - other) for other in pictures[1:])
    assert (changed > 1).mean() > 0.02, "the scene differs by more than rounding; most of the picture is product"
    assert unchanged.max() <= 1


def test_an_adapter_changes_the_scene_beside_one_that_has_none(client: Client, settings: Settings) -> None:
    """It never changes the product; its recipe has the file's hash, and a touch-up uses it again."""
    (engine,) = client.engines()
    assert engine.capabilities.adapters == 4
    look = client.add_adapter(peft_file(lora(find_pack("tiny", settings), rank=8, size=2.0)), "look")
    assert (look.engine, look.notes) == ("tiny", ())
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": {"width": 64, "height": 64}}
    used = [{}, {"adapters": [{"id": look.id, "scale": 2.0}]}, {"adapters": [{"id": look.id, "scale": 0.0}]}]
    shots = [client.shoot({**request, **more}).id for more in used]
    list(client.events(shots))
    images = [client.shot(shot).images[0] for shot in shots]
    pictures = [read_png(client.download(image.url)).astype(int) for image in images]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.05
    assert np.abs(pictures[0] - pictures[2]).max() <= 1
    assert all(one.level == "ok" for image in images for one in image.verdict.findings if one.check == "lock")
    kept = client.shot(shots[1]).request.adapters
    assert kept is not None
    assert [(one.id, one.sha256) for one in kept] == [(look.id, look.sha256)]


def test_the_same_request_gives_the_same_picture(client: Client) -> None:
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": {"width": 64, "height": 64}}
    pictures = []
    for _ in range(2):
        shot = client.shoot(request).id
        list(client.events([shot]))
        pictures.append(client.download(client.shot(shot).images[0].url))
    assert pictures[0] == pictures[1]


def test_a_relit_picture_knows_its_product_and_others_do_not(client: Client) -> None:
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": {"width": 64, "height": 64}}
    checks = []
    for asked in ({"relight": {"mode": "match", "amount": 0.3}}, {}):
        shot = client.shoot({**request, **asked}).id
        list(client.events([shot]))
        ended = client.shot(shot)
        assert ended.status == "done", ended
        checks.append({finding.check for finding in ended.images[0].verdict.findings})
    assert {"material", "relit_lock"} <= checks[0]
    assert not {"material", "relit_lock"} & checks[1]


def test_white_background_cutout_mask_and_channel_file(client: Client) -> None:
    product = np.zeros((90, 120), np.uint8)
    product[20:60, 30:80] = 255
    mask = client.put_mask(client.upload(png()).id, encode_png(product))
    shot = client.shoot(
        {"layers": [{"mask_id": mask.id}], "background": "white", "canvas": {"width": 128, "height": 128}}
    ).id
    list(client.events([shot]))
    (image,) = client.shot(shot).images
    assert client.download(image.url, preset="shopify").startswith(b"\xff\xd8\xff")
    assert read_png(client.download(mask.url)).shape == (90, 120)
    assert read_png(client.download(mask.cutout_url)).shape[-1] == 4


def test_errors_are_the_servers_own(client: Client) -> None:
    with pytest.raises(NotFound):
        client.shot("sh_none")


def test_a_pack_that_cannot_render_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "later", edit={"renderable": False, "reason": "it needs more"})
    later = settings.model_copy(update={"pack": "later", "pack_path": str(folder)})
    with pytest.raises(PackRefused, match="cannot render"), serving_in_process(later):
        pass


def test_sdxl_paints_with_two_text_encoders_and_both_nets(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "xl", "sdxl", controls=("depth",), edit={"samplers": ["euler", "unipc"]})
    settings = Settings(
        home=tmp_path / "home", pack_path=str(folder), pack="xl", open_access=True, device="cpu", dtype="fp32"
    )
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready(0)
        (engine,) = client.engines()
        assert (engine.family, engine.capabilities.controls) == ("sdxl", ("canny", "depth"))
        mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
        canvas = {"width": SIZE_PX, "height": SIZE_PX}
        request = {"layers": [{"mask_id": mask.id}], "prompt": "a marble table", "steps": 3, "canvas": canvas}
        further: list[dict[str, object]] = [
            {"seed": 1},
            {"seed": 2, "negative_prompt": "blurry", "conditions": [{"kind": "depth", "scale": 0.5}]},
            {"seed": 3, "guidance_scale": 1.0, "canvas": {"width": 96, "height": 64}},
            {"seed": 1, "sampler": "unipc"},
        ]
        shots = [client.shoot(request | more).id for more in further]
        list(client.events(shots))
        pictures = []
        for shot in shots:
            ended = client.shot(shot)
            assert (ended.status, ended.error) == ("done", None)
            (image,) = ended.images
            assert {"text_encoder_2", "controlnet_inpaint"} <= set(image.recipe.pack or ())
            pictures.append(read_png(client.download(image.url)))
        assert [picture.shape for picture in pictures] == [(64, 64, 3), (64, 64, 3), (64, 96, 3), (64, 64, 3)]
        assert not np.array_equal(pictures[0], pictures[1])
        assert not np.array_equal(pictures[0], pictures[3]), "another sampler"
        assert client.shot(shots[3]).request.sampler == "unipc"
        assert engine.capabilities.samplers == ("euler", "unipc")
        with pytest.raises(BadInput, match="sampler"):
            client.shoot(request | {"sampler": "lcm"})


def test_it_imports_the_library_alone() -> None:
    """The library imports no Ray (test_house.py), so this does not either."""
    own = Path(graphs.one_process.__file__)
    sources = [file.read_text("utf-8") for file in own.parent.glob("local_*.py")] + [own.read_text("utf-8")]
    rooms = {name for source in sources for name in re.findall(r"^\s*(?:from|import) ([\w.]+)", source, re.MULTILINE)}
    assert {name for name in rooms if name.startswith("graphs")} == {"graphs.local_models", "graphs.local_stages"}
    ours = {name.split(".")[0] for name in rooms} - set(sys.stdlib_module_names)
    assert ours == {"graphs", "packshot", "torch", "uvicorn"}


def test_a_touchup_paints_a_part_of_a_picture_and_goes_back(client: Client) -> None:
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    canvas = {"width": SIZE_PX, "height": SIZE_PX}
    shot = client.shoot({"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2, "canvas": canvas}).id
    list(client.events([shot]))
    parent = client.shot(shot).images[0]
    before = read_png(client.download(parent.url))
    stroke = {"mode": "add", "radius_px": 3.0, "points": [(4.0, 4.0), (12.0, 4.0)]}
    accepted = client.touch_up(parent.id, {"strokes": [stroke], "prompt": "leaf", "canvas": {"left": 16}})
    list(client.events([accepted.id]))
    ended = client.shot(accepted.id)
    assert (ended.kind, ended.status, ended.error) == ("touchup", "done", None)
    new = ended.images[0]
    after = read_png(client.download(new.url))
    assert after.shape == (SIZE_PX, SIZE_PX + 16, 3)
    kept = np.ones(before.shape[:2], bool)
    kept[:9, :17] = False
    assert np.array_equal(after[:, 16:][kept], before[kept])
    assert (after[:, 16:][~kept] != before[~kept]).any()
    found = {finding.check: finding for finding in new.verdict.findings}
    assert (found["lock"].level, found["touchup"].level) == ("ok", "ok")
    assert client.versions(parent.id).newest == new.id
    assert client.restore(parent.id).superseded_by is None
    assert client.versions(new.id).newest == parent.id


@pytest.mark.parametrize("target", ["product", "scene", "all"])
def test_a_photo_is_repainted_in_its_target_alone(client: Client, target: str) -> None:
    photo = client.upload(png(shade=40))
    product = np.zeros((photo.height, photo.width), np.uint8)
    product[20:70, 30:90] = 255
    mask = client.put_mask(photo.id, encode_png(product))
    request = {"mask_id": mask.id, "target": target, "prompt": "a red mug", "steps": 4, "strength": 0.5}
    accepted = client.enhance(photo.id, request)
    list(client.events([accepted.id]))
    ended = client.shot(accepted.id)
    assert (ended.kind, ended.status, ended.error) == ("enhancement", "done", None)
    (image,) = ended.images
    before, after = read_png(client.download(photo.url)), read_png(client.download(image.url))
    assert after.shape == before.shape
    changed = (before != after).any(axis=-1)
    border = np.ones((9, 9), np.uint8)  # a soft border belongs to both sides
    inside, outside = changed[cv2.erode(product, border) > 0], changed[cv2.dilate(product, border) == 0]
    assert bool(inside.any()) is (target != "scene"), "the product"
    assert bool(outside.any()) is (target != "product"), "the scene"
    found = {finding.check: finding for finding in image.verdict.findings}
    assert found["enhancement"].level == "ok"
    assert found["lock"].level == ("ok" if target == "scene" else "warning")
    assert image.recipe.enhancement is not None
    assert image.recipe.enhancement.target == target


def test_an_adapter_paints_the_product_itself_and_the_verdict_says_so(client: Client, settings: Settings) -> None:
    file = peft_file(lora(find_pack("tiny", settings), rank=4, size=2.0), {"packshot.tag": "zxmug"})
    known = client.add_adapter(file, "the mug")
    view = client.upload(png(shade=60))
    request = {"product": {"mode": "generated", "views": [view.id]}, "adapters": [{"id": known.id}], "seed": 4}
    request |= {"prompt": "zxmug from above", "steps": 2, "canvas": {"width": SIZE_PX, "height": SIZE_PX}}
    shot = client.shoot(request).id
    list(client.events([shot]))
    ended = client.shot(shot)
    assert (ended.status, ended.error) == ("done", None)
    (image,) = ended.images
    assert (image.verdict.product, ended.request.layers) == ("generated", ())
    assert image.recipe.pack is not None
    found = {finding.check: finding.level for finding in image.verdict.findings}
    assert found["lock"] == "warning"
    assert not {"fill", "frame", "product", "object"} & set(found), "nobody knows where the product stands"
    with pytest.raises(PackshotError, match="not_approved"):
        client.deliver(image.id, [DeliverIn(preset="ebay")])
    client.review(image.id, "approved")
    with pytest.raises(BadInput, match=r"product_generated.*takes only a product as it was photographed"):
        client.deliver(image.id, [DeliverIn(preset="amazon-main")])
    painted = client.touch_up(image.id, {"strokes": [{"mode": "add", "radius_px": 3.0, "points": [(4.0, 4.0)]}]})
    list(client.events([painted.id]))
    (newer,) = client.shot(painted.id).images
    assert newer.verdict.product == "generated", "a touch-up makes no photo of it"


def test_several_engines_paint_with_their_own_packs_and_idle_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("first", "second")):
        build_tiny_pack(tmp_path / "packs" / name, seed=seed)
    loaded: list[list[str]] = []
    load = Models.engine

    def noted(models: Models, name: str, busy: Collection[str] = ()) -> object:
        engine = load(models, name, busy)
        loaded.append(list(models.loaded))
        return engine

    monkeypatch.setattr(Models, "engine", noted)
    settings = Settings(home=tmp_path / "home", pack_path=str(tmp_path / "packs"), engines="first, second")
    settings = settings.model_copy(update={"open_access": True, "device": "cpu", "dtype": "fp32"})
    with serving_in_process(settings) as url, Client(url) as client:
        assert [one.name for one in client.engines()] == ["first", "second"]
        mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
        request = {"layers": [{"mask_id": mask.id}], "prompt": "table", "steps": 2}
        request |= {"canvas": {"width": SIZE_PX, "height": SIZE_PX}}

        def unet_of(**changes: object) -> tuple[str, str]:
            shot = client.shoot({**request, **changes}).id
            list(client.events([shot]))
            ended = client.shot(shot)
            assert ended.status == "done", ended
            return ended.request.engine, (ended.images[0].recipe.pack or {})["unet"]

        default, second = unet_of(), unet_of(engine="second")
        assert (default[0], second[0]) == ("first", "second")
        assert default[1] != second[1]
        assert loaded[-1] == ["first", "second"], "there is memory for both"
        with pytest.raises(BadInput, match=r"first, second.*got 'third'"):
            client.shoot({**request, "engine": "third"})


def test_an_idle_engine_is_dropped_when_another_would_not_fit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = find_pack("tiny", settings)
    models = Models(pack, {"a": pack, "b": pack, "c": pack}, settings, geometry=pack, detector=pack, freeze=False)
    models.engine("a")
    monkeypatch.setattr("graphs.local_models.free_bytes", lambda device: 0.0)
    models.engine("b", busy=("a",))
    assert list(models.loaded) == ["a", "b"], "the busy one stays"
    models.engine("c", busy=("b",))
    assert list(models.loaded) == ["b", "c"]
    monkeypatch.undo()
    models.engine("a")
    assert list(models.loaded) == ["b", "c", "a"]
