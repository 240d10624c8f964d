"""A shot's `style`: read once at its acceptance, refused where it cannot be served, and pinned while it is needed."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from packshot.client import Client, ReferenceIn, ShotStyleIn, StyleRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.imaging.codec import encode_png
from packshot.shots import Painted, Prepared
from packshot.shots.finish import finish
from packshot.shots.flow import brief_of
from packshot.shots.layout import draw_layout, find_layout
from packshot.types import U8, Render
from tests.api_graph import Api, code_of, png
from tests.specs import STAMP

NUMBERS = itertools.count(1)
SEA, SAND = (20, 90, 140), (225, 200, 160)


def mood(number: int, *, px: int = 96, lit_from_left: bool = False) -> bytes:
    """A picture of two colours, the sea above the sand; each number gives other bytes."""
    pixels = np.full((px, px, 3), SEA, np.uint8)
    pixels[px // 3 :] = SAND
    pixels[0, 0] = (number % 256, number // 256, 0)
    if lit_from_left:
        pixels = np.asarray(pixels * np.linspace(1.0, 0.6, px)[None, :, None], np.uint8)
    return encode_png(pixels)


def upload(api: Api, data: bytes) -> str:
    answer = api.http.post("/v1/photos", files={"file": ("mood.png", data, "image/png")})
    assert answer.status_code == 201, answer.text
    photo_id: str = answer.json()["id"]
    return photo_id


def new_mood(api: Api, *, lit_from_left: bool = False) -> str:
    return upload(api, mood(next(NUMBERS), lit_from_left=lit_from_left))


def asked(api: Api, **fields: Any) -> tuple[int, str]:
    return code_of(api.http.post("/v1/shots", json=api.request(**fields)))


def spec_in(api: Api, shot_id: str) -> ShotSpec:
    """What a worker gets of a shot. It does not end well, so that it is not live."""
    claim = api.claim(shot_id)
    api.store.queue.fail(claim, "engine_failed", "only looked at", retryable=False)
    return claim.spec


def colour_of(name: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(name[1:])
    return red, green, blue


def near(name: str, rgb: tuple[int, int, int]) -> bool:
    return max(abs(one - other) for one, other in zip(colour_of(name), rgb, strict=True)) <= 6


def test_a_shot_keeps_the_palette_of_its_references_and_a_later_deletion_changes_nothing(api: Api) -> None:
    photo_id = new_mood(api)
    shot_id = api.shot(style={"references": [{"photo_id": photo_id, "weight": 2}], "strength": 0.5})
    style = api.http.get(f"/v1/shots/{shot_id}").json()["request"]["style"]
    assert style["references"] == [{"photo_id": photo_id, "weight": 2.0}]
    assert near(style["palette"][0], SAND)
    assert near(style["palette"][1], SEA)
    assert (style["light"], style["strength"], style["parts"]) == (None, 0.5, ["palette"])
    assert code_of(api.http.delete(f"/v1/photos/{photo_id}")) == (409, "in_use")
    claim = api.claim(shot_id)
    assert ShotSpec.from_json(claim.spec.to_json()) == claim.spec
    api.commit(claim)
    assert api.http.delete(f"/v1/photos/{photo_id}").status_code == 204
    assert api.http.get(f"/v1/shots/{shot_id}").json()["request"]["style"] == style
    redo = api.http.post(
        f"/v1/images/{api.http.get(f'/v1/shots/{shot_id}').json()['images'][0]['id']}/redo", json={"reason": "light"}
    )
    assert code_of(redo) == (404, "not_found")
    assert f"a redo needs all that its shot was made of, got no photo '{photo_id}' exists" in redo.json()["detail"]
    assert redo.json()["detail"].endswith("; make a new shot without it (POST /v1/shots).")


def test_a_finished_picture_can_be_a_reference_beside_a_photo(api: Api) -> None:
    image = api.finish(api.shot(prompt="reference"))["images"][0]
    references = [{"image_id": image["id"]}, {"photo_id": new_mood(api), "weight": 0.001}]
    found = api.http.post("/v1/palettes", json={"references": references}).json()
    assert not any(near(one["colour"], SEA) for one in found["palette"])  # its weight is too small
    assert sum(one["share"] for one in found["palette"]) == pytest.approx(1, abs=0.01)
    shot_id = api.shot(style={"references": references})
    told = api.http.get(f"/v1/shots/{shot_id}").json()["request"]["style"]
    assert told["palette"] == [one["colour"] for one in found["palette"]]
    assert told["references"][0] == {"image_id": image["id"], "weight": 1.0}


def test_the_light_of_a_reference_turns_a_cast_shadow_and_is_told_to_the_engine(api: Api) -> None:
    references = [{"photo_id": new_mood(api, lit_from_left=True)}]
    found = api.http.post("/v1/palettes", json={"references": references}).json()["light"]
    assert found == {"direction_deg": 295.0}
    spec = spec_in(api, api.shot(style={"references": references}, shadow="cast", prompt="on sand"))
    assert spec.style is not None
    assert spec.style.parts == ("palette", "light")
    assert spec.shadow.direction_deg == 115
    assert brief_of(spec, 7).prompt == "on sand, light from the left"
    own = {"mode": "cast", "direction_deg": 20}
    assert spec_in(api, api.shot(style={"references": references}, shadow=own)).shadow.direction_deg == 20
    given = {"references": references, "light": {"direction_deg": 90}, "parts": ["light"]}
    spec = spec_in(api, api.shot(style=given, shadow="cast"))
    assert spec.shadow.direction_deg == 270
    assert spec.style is not None
    assert spec.style.colours == ()


def test_the_part_scene_is_for_engines_that_take_references(api: Api) -> None:
    three = [{"photo_id": new_mood(api)} for _ in range(3)]
    assert asked(api, style={"references": three[:1], "parts": ["scene"]}) == (422, "engine_cannot")
    assert asked(api, style={"references": three, "parts": ["scene"]}, engine="second") == (422, "engine_cannot")
    spec = spec_in(api, api.shot(style={"references": three[:2]}, engine="second"))
    assert spec.style is not None
    assert spec.style.parts == ("palette", "scene")
    assert [one.picture_id for one in spec.style.scene_references] == [one["photo_id"] for one in three[:2]]
    spec = spec_in(api, api.shot(style={"references": three}, engine="second"))
    assert spec.style is not None
    assert spec.style.scene_references == ()
    engines = {one["name"]: one["capabilities"]["references"] for one in api.http.get("/v1/engines").json()["engines"]}
    assert engines == {"mini": 0, "second": 2}


def test_the_finished_scene_is_moved_and_the_product_is_not(api: Api) -> None:
    made: list[U8] = []
    scene = Render(
        cv2.GaussianBlur(np.random.default_rng(0).integers(60, 200, (256, 256, 3), np.uint8), (31, 31), 0), 7
    )
    for style in (None, {"palette": ["#14508c", "#e1c8a0"], "strength": 1}):
        spec = spec_in(api, api.shot(canvas={"width": 256, "height": 256}, style=style))
        flat, enlarged_by = draw_layout(api.store.assets, find_layout(api.store, api.tenant_id, spec))
        done = finish(Prepared(flat, enlarged_by), Painted(scene, STAMP, {}), spec)
        found = {one.check: one for one in done.verdict.findings}
        assert found["lock"].level == "ok"
        assert ("style" in found) is (style is not None)
        made.append(np.asarray(cv2.imdecode(np.frombuffer(done.png, np.uint8), cv2.IMREAD_COLOR), np.uint8))
    assert np.array_equal(made[0][flat.alpha == 255], made[1][flat.alpha == 255])
    assert not np.array_equal(made[0][flat.alpha == 0], made[1][flat.alpha == 0])


CUTOUT: U8 = np.zeros((96, 96, 4), np.uint8)
CUTOUT[30:60, 30:60] = 255


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"strength": 0.5},
        {"palette": ["red"]},
        {"palette": ["#12345"]},
        {"palette": ["#123456"] * 9},
        {"palette": ["#123456"], "strength": 1.01},
        {"palette": ["#123456"], "parts": ["mood"]},
        {"palette": ["#123456"], "parts": ["palette", "palette"]},
        {"palette": ["#123456"], "parts": []},
        {"references": [{"photo_id": f"ph_{one}"} for one in range(9)]},
        {"references": [{"photo_id": "ph_1", "weight": 0}]},
        {"references": [{"photo_id": "ph_1", "weight": -1}]},
        {"references": [{"photo_id": "ph_1", "weight": 11}]},
        {"references": [{"photo_id": "ph_1"}, {"photo_id": "ph_1"}]},
        {"references": [{"photo_id": "ph_1", "image_id": "im_1"}]},
        {"references": [{"photo_id": "im_1"}]},
        {"references": [{}]},
        {"references": [{"photo_id": "ph_1"}], "style_id": "st_1"},
    ],
    ids=str,
)
def test_a_style_out_of_bounds_is_refused(api: Api, style: object) -> None:
    assert asked(api, style=style) == (422, "invalid_request")


def test_what_cannot_be_a_reference_is_refused(api: Api) -> None:
    for data, code in ((png(16, 16), "reference_too_small"), (encode_png(CUTOUT), "reference_cutout")):
        references = [{"photo_id": new_mood(api)}, {"photo_id": upload(api, data)}]
        for url, body in (
            ("/v1/shots", api.request(style={"references": references})),
            ("/v1/palettes", {"references": references}),
            ("/v1/styles", {"name": code, "references": references}),
        ):
            answer = api.http.post(url, json=body)
            assert code_of(answer) == (422, code)
            assert answer.json()["errors"][0]["loc"] == ["style", "references", 1]
    transparent = api.finish(api.shot(background="transparent"))["images"][0]["id"]
    assert asked(api, style={"references": [{"image_id": transparent}]}) == (422, "reference_cutout")


def test_pictures_of_others_do_not_exist(api: Api) -> None:
    mine = new_mood(api)
    image_id = api.finish(api.shot(prompt="theirs"))["images"][0]["id"]
    for reference in ({"photo_id": mine}, {"image_id": image_id}, {"photo_id": "ph_none"}):
        answer = api.stranger.post("/v1/palettes", json={"references": [reference]})
        assert code_of(answer) == (404, "not_found")
    assert asked(api, style={"style_id": "st_none"}) == (404, "not_found")


def test_a_plain_background_and_a_part_that_nothing_gives_are_refused(api: Api) -> None:
    palette = {"palette": ["#123456"]}
    assert asked(api, style=palette, background="white") == (422, "style_refused")
    assert asked(api, style={**palette, "parts": ["light"]}) == (422, "style_refused")
    assert asked(api, style={**palette, "parts": ["scene"]}) == (422, "style_refused")
    assert asked(api, style={"light": {"direction_deg": 9}, "parts": ["palette"]}) == (422, "style_refused")


def test_a_stored_style_gives_what_the_shot_leaves_out(api: Api) -> None:
    kit = {
        "name": f"Shore {next(NUMBERS)}",
        "prompt": "on a beach",
        "negative_prompt": "text",
        "shadow": "cast",
        "references": [{"photo_id": new_mood(api)}],
        "palette": ["#AABBCC"],
        "light": {"direction_deg": -90},
        "forbidden_words": ["cheap", "blood red"],
    }
    made = api.http.post("/v1/styles", json=kit).json()
    assert (made["palette"], made["light"]) == (["#aabbcc"], {"direction_deg": 270.0})
    assert api.http.get(made["thumbnail_url"]).status_code == 200  # of its first reference
    photo_id = made["references"][0]["photo_id"]
    assert code_of(api.http.delete(f"/v1/photos/{photo_id}")) == (409, "in_use")
    style = {"style_id": made["id"]}
    spec = spec_in(api, api.shot(style=style))
    assert (spec.prompt, spec.negative_prompt, spec.shadow.kind) == ("on a beach", "text", "cast")
    assert spec.shadow.direction_deg == 90
    assert spec.style is not None
    assert (spec.style.palette, spec.style.light_deg) == (("#aabbcc",), 270)
    spec = spec_in(api, api.shot(style={**style, "palette": ["#000000"]}, prompt="on ice", shadow="none"))
    assert (spec.prompt, spec.shadow.kind) == ("on ice", "none")
    assert spec.style is not None
    assert spec.style.palette == ("#000000",)
    for prompt in ("a CHEAP table", "walls of Blood Red"):
        assert asked(api, style=style, prompt=prompt) == (422, "word_forbidden")
    spec_in(api, api.shot(style=style, prompt="cheaper, red"))
    api.http.patch(made["url"], json={"references": [], "forbidden_words": []})
    assert api.http.get(made["url"]).json()["references"] == []
    assert api.http.delete(f"/v1/photos/{photo_id}").status_code == 204
    words_only = api.http.post("/v1/styles", json={"name": f"Words {next(NUMBERS)}", "prompt": "on slate"}).json()
    spec = spec_in(api, api.shot(style={"style_id": words_only["id"]}))
    assert (spec.prompt, spec.style) == ("on slate", None)


def test_a_catalogue_reads_its_style_once_and_holds_its_pictures(api: Api) -> None:
    photo_id = new_mood(api)
    manifest = {
        "name": "shore",
        "defaults": {"style": {"references": [{"photo_id": photo_id}]}, "light": {"direction_deg": 90}},
        "axes": [{"name": "scene", "values": {"beach": "on a beach"}}],
        "items": [{"sku": "A", "photo": "a.jpg"}],
    }
    manifest["defaults"]["shadow"] = {"mode": "cast"}  # type: ignore[index]
    assert api.http.post("/v1/catalogues?dry_run=1", json=manifest).json()["problems"] == []
    assert api.http.delete(f"/v1/photos/{photo_id}").status_code == 204  # a dry run holds nothing
    manifest["defaults"]["style"]["references"][0]["photo_id"] = photo_id = new_mood(api)  # type: ignore[index]
    made = api.http.post("/v1/catalogues", json=manifest)
    assert made.status_code == 201, made.text
    frame = api.store.catalogues.get(api.tenant_id, made.json()["id"]).frame
    assert '"parts":["palette","light"]' in frame
    assert '"light":{"direction_deg":90.0}' in frame
    assert code_of(api.http.delete(f"/v1/photos/{photo_id}")) == (409, "in_use")
    api.http.post(f"{made.json()['url']}/cancel")
    assert api.http.delete(f"/v1/photos/{photo_id}").status_code == 204


def test_a_repeat_with_its_key_finds_the_shot_and_a_redo_keeps_the_style(api: Api) -> None:
    body = api.request(style={"references": [{"photo_id": new_mood(api)}]}, prompt="on sand")
    headers = {"idempotency-key": f"style-{next(NUMBERS)}"}
    first, again = (api.http.post("/v1/shots", json=body, headers=headers).json()["id"] for _ in range(2))
    assert first == again
    image = api.finish(first)["images"][0]
    redo = api.http.post(f"/v1/images/{image['id']}/redo", json={"reason": "light"})
    assert redo.status_code == 202, redo.text
    assert redo.json()["request"]["style"] == api.http.get(f"/v1/shots/{first}").json()["request"]["style"]


def test_the_client_finds_palettes_and_sends_styles(api: Api) -> None:
    with Client(api.url, api.key) as client:
        reference = ReferenceIn(photo_id=new_mood(api))
        found = client.find_palette([reference])
        style = client.create_style(StyleRequest(name=f"Client {next(NUMBERS)}", references=[reference]))
        assert style.references[0].photo_id == reference.photo_id
        sent = client.shoot(api.request(style=ShotStyleIn(style_id=style.id).model_dump(exclude_unset=True)))
        assert sent.request.style is not None
        assert list(sent.request.style.palette) == [one.colour for one in found.palette]
