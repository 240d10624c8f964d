"""Path-traced pictures without Blender: objects, plans, shards and sheets. A soak test renders two pictures."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from training.path_traced import (
    assets,
    catalogue,
    credits,
    develop,
    draw,
    draw_sets,
    framing,
    manifest,
    prints,
    shards,
    sheet,
)
from training.path_traced.__main__ import main
from training.path_traced.scene_plan import CameraPlan, ShardPlan
from training.scenes.words import FIELDS, SURFACES, all_words

PROPERTIES = """
id=Test#Models
license=Creative Commons Attribution 3.0 license  Copyright 2003 Somebody

id#1=Test#tallCup
name#1=Coffee cup
category#1=Kitchen
model#1=/models/tallCup/tallCup.obj
width#1=8.123
depth#1=8
height#1=12.5
creator#1=Ann Maker
modelRotation#1=1 0 0 0 0 -1 0 1 0

id#2=Test#man
name#2=Man
category#2=Characters
model#2=/models/man/man.obj
width#2=50
depth#2=40
height#2=60
creator#2=Ann Maker

id#3=Test#hugeTree
name#3=Tree
category#3=Exterior
model#3=/models/hugeTree/hugeTree.obj
width#3=400
depth#3=400
height#3=900
creator#3=B

id#4=Test#oakChair
name#4=Caf\\u00e9 chair
category#4=Living room
model#4=/models/oakChair/oakChair.obj
width#4=50
depth#4=60
height#4=90
creator#4=B
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "Test.sh3f"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("PluginFurnitureCatalog.properties", PROPERTIES)
    return path


@pytest.fixture
def plan() -> ShardPlan:
    """One view of two takes, 16 px."""
    whole = draw.shard("train", 0, 16, 1)
    view = dataclasses.replace(whole.views[0], takes=whole.views[0].takes[:2])
    return dataclasses.replace(whole, views=(view,))


def arrays(plan: ShardPlan) -> dict[str, NDArray[np.generic]]:
    """Arrays as a renderer gives them: a bright square product of two parts on a grey ramp."""
    side, count = plan.size_px, plan.pictures
    made = {
        name: np.zeros((count, *(((side // divisor,) * 2) if divisor else ()), *tail), kind)
        for name, (kind, divisor, tail) in shards.COLUMNS.items()
    }
    made["image"][:] = np.linspace(40, 120, side).astype(np.uint8)[None, :, None, None]
    made["image"][:, 4:12, 4:12] = 220
    made["alpha"][:, 4:12, 4:12] = 255
    made["index"][:, 4:12, 4:12] = 1
    made["part"][:, 4:8, 4:12] = 1
    made["part"][:, 8:12, 4:12] = 2
    made["depth"][:] = 3
    return made


def write(folder: Path, plan: ShardPlan) -> Path:
    path = folder / f"{plan.stem}.npz"
    np.savez_compressed(path, **arrays(plan))  # type: ignore[arg-type]
    path.with_suffix(".json").write_text(plan.to_json())
    return path


def test_a_catalogue_gives_products_and_furniture_but_no_people(archive: Path) -> None:
    cup, chair = catalogue.parse(archive, catalogue.Curation.read())
    assert (cup.object_id, cup.role, cup.family, cup.width_cm) == ("Test/tallCup", "product", "cup", 8.12)
    assert cup.rotation == (1, 0, 0, 0, 0, -1, 0, 1, 0)
    assert cup.licence == "Creative Commons Attribution 3.0 license"
    assert cup.member == "models/tallCup/tallCup.obj"
    assert (chair.name, chair.role, chair.longest_cm) == ("Café chair", "furniture", 90)


def test_the_table_of_objects_survives_writing_and_reading(archive: Path, tmp_path: Path) -> None:
    things = catalogue.parse(archive, catalogue.Curation.read())
    catalogue.write_table(things, tmp_path / "objects.csv")
    assert catalogue.read_table(tmp_path / "objects.csv") == things


def test_a_fifth_of_the_objects_and_two_hdris_are_held_out_for_good() -> None:
    things = [thing for thing in catalogue.read_table() if thing.role]
    held = [thing.object_id for thing in things if thing.held_out]
    assert len(things) > 300
    assert 0.15 < len(held) / len(things) < 0.25
    assert catalogue.share("BlendSwap-CC-0/caffe_final") == pytest.approx(0.9013, abs=1e-4)
    assert catalogue.held_out_hdris() == ("courtyard", "city")


def test_training_shards_show_no_held_out_object_and_no_held_out_hdri() -> None:
    held = catalogue.held_out_hdris()
    for split in draw.SPLITS:
        for number in range(8):
            for view in draw.shard(split, number).views:
                for product in (view.main, *view.neighbours):
                    out = catalogue.share(product.object_id) < catalogue.HELD_OUT_SHARE
                    assert out == (split == "heldout"), product.object_id
                if split == "train":
                    assert not {take.light.hdri for take in view.takes} & set(held)


def test_every_object_of_the_table_has_a_creator_and_a_licence_in_the_credits() -> None:
    things = catalogue.read_table()
    text = credits.table(things)
    assert "Characters" not in text
    assert all(f"| {thing.creator} |" in text for thing in things)
    assert sum(int(line.split("|")[4]) for line in text.splitlines()[2:] if line.startswith("|")) == len(things)


def test_a_plan_follows_from_split_and_number_and_survives_json() -> None:
    one = draw.shard("train", 5)
    assert draw.shard("train", 5) == one
    assert draw.shard("train", 6).digest() != one.digest()
    assert ShardPlan.from_json(one.to_json()) == one
    assert one.pictures == 16


def test_paired_views_share_set_light_and_camera_and_differ_in_the_product() -> None:
    first, second = draw.shard("train", 2).views[:2]
    assert first.pair == second.pair
    assert first.camera == second.camera
    assert [(take.set, take.light) for take in first.takes] == [(take.set, take.light) for take in second.takes]
    assert first.main != second.main
    assert first.takes[0].set == first.takes[1].set != first.takes[2].set


def test_captions_hold_only_words_of_the_closed_vocabulary() -> None:
    known = set(all_words())
    takes = [take for number in range(10) for view in draw.shard("train", number).views for take in view.takes]
    for take in takes:
        assert take.attributes[FIELDS.index("surface")] == SURFACES.index(take.set.surface)
        for caption in take.captions:
            assert set(caption.replace(",", "").split()) <= known, caption


def test_a_backdrop_out_of_sight_is_not_said() -> None:
    values = dict.fromkeys(FIELDS, 0) | {"surface": 2, "backdrop": 1}
    said = draw_sets.without_backdrop("in front of red brick wall, mug on marble, soft warm light", values)
    assert said == "mug on marble, soft warm light"


def test_a_framed_product_spans_the_wanted_share() -> None:
    view = draw.shard("train", 3).views[0]
    camera = framing.frame((view.main,), 20.0, 30.0, 0.6, (0.0, 0.0), 0.0, 0.0)
    spans = np.ptp(framing.project(camera, framing.corners(view.main)), axis=0)
    assert spans.max() == pytest.approx(0.6, abs=0.01)


def test_every_planned_product_lies_mostly_inside_the_frame() -> None:
    for number in range(12):
        for view in draw.shard("train", number).views:
            box = framing.project(view.camera, framing.corners(view.main))
            assert 0.2 < np.ptp(box, axis=0).max() < 0.9
            assert box.min() > -0.2
            assert box.max() < 1.2


def test_a_label_is_printed_in_its_colours() -> None:
    label = next(view.main.label for n in range(20) for view in draw.shard("train", n).views if view.main.label)
    printed = np.asarray(prints.picture(label, [], 1.5)) / 255
    assert printed.shape[1] / printed.shape[0] == pytest.approx(1.5, abs=0.02)
    assert np.abs(printed - np.array(label.ink)).sum(2).min() < 0.1
    assert np.abs(printed[0, 0] - np.array(label.paper)).max() < 0.01


def test_the_manifest_names_the_plans_that_the_code_draws() -> None:
    listed = manifest.Manifest.read()
    assert listed.version == draw.VERSION
    assert listed.pictures == 16 * len(listed.digests)
    few = dict(list(listed.digests.items())[:12])
    assert [plan.digest() for plan in dataclasses.replace(listed, digests=few).plans()] == list(few.values())
    with pytest.raises(ValueError, match="train-00000: plan must have digest 0"):
        next(dataclasses.replace(listed, digests={"train-00000": "0"}).plans())


def test_shadow_is_what_is_left_of_the_plates_light_and_spares_product_and_sky() -> None:
    plate = np.full((8, 8, 3), 0.8, np.float32)
    lit, alpha, beyond = plate.copy(), np.zeros((8, 8), np.float32), np.zeros((8, 8), bool)
    lit[4:] *= 0.25
    alpha[4:, :3] = 1
    beyond[:, 7] = True
    left = develop.shadow(lit, plate, alpha, beyond)
    assert left[6, 5] == pytest.approx(64, abs=2)
    assert left[1, 4] == 255
    assert left[6, 0] == 255
    assert left[6, 7] == 255


def test_the_tone_curve_rises_and_keeps_the_middle() -> None:
    ramp = np.repeat(np.linspace(0, 8, 200, dtype=np.float32)[None, :, None], 3, axis=2)
    shown = develop.tone(ramp, 1.0)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert shown[0] == 0
    assert develop.tone(np.full((1, 1, 3), 0.2140, np.float32), 1.0)[0, 0, 0] == pytest.approx(128, abs=1)


def test_normals_turn_into_the_cameras_frame() -> None:
    up = np.zeros((1, 2, 3), np.float32)
    up[0, 0] = (0, 0, 1)
    looking_down = np.eye(3, dtype=np.float32)  # a camera at rest in Blender looks along -z, so up faces it
    assert develop.camera_normals(up, looking_down).tolist() == [[[0, 0, 127], [0, 0, 0]]]


def test_labels_must_agree(plan: ShardPlan) -> None:
    shards.check(plan, arrays(plan))
    good = arrays(plan)
    for name, value, message in (
        ("index", np.ones_like(good["index"]), "index 1 must be where alpha"),
        ("part", np.ones_like(good["part"]), "parts must lie on the main product"),
        ("image", np.full_like(good["image"], 9), "every picture is blank"),
        ("depth", good["depth"][:1], r"depth must be float16 \(2, 16, 16\), got float16 \(1"),
        ("gain", good["gain"].astype(np.float64), "gain must be float32"),
    ):
        with pytest.raises(shards.ShardError, match=message):
            shards.check(plan, {**good, name: value})


def test_rendering_skips_shards_that_exist(plan: ShardPlan, tmp_path: Path) -> None:
    path = write(tmp_path, plan)
    before = path.stat().st_mtime_ns
    assert not shards.render(plan, tmp_path, assets.Cache(tmp_path / "nothing"))
    assert path.stat().st_mtime_ns == before


def fake_blender(root: Path, made: dict[str, NDArray[np.generic]], *, code: int = 0) -> assets.Cache:
    """A cache whose interpreter writes given arrays, or fails, in Blender's place."""
    cache = assets.Cache(root)
    cache.python.parent.mkdir(parents=True)
    np.savez(root / "made.npz", **made)  # type: ignore[arg-type]
    find = """sed 's/.*"out": "\\([^"]*\\)".*/\\1/' "$3\""""
    cache.python.write_text(f'#!/bin/sh\ncp {root}/made.npz "$({find})"\nexit {code}\n')
    cache.python.chmod(0o755)
    return cache


def test_a_rendered_shard_appears_whole_and_a_bad_one_not_at_all(plan: ShardPlan, tmp_path: Path) -> None:
    assert shards.render(plan, tmp_path / "good", fake_blender(tmp_path / "a", arrays(plan)))
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == ["train-00000.json", "train-00000.npz"]
    with pytest.raises(shards.ShardError, match="index 1"):
        shards.render(
            plan, tmp_path / "bad", fake_blender(tmp_path / "b", arrays(plan) | {"index": arrays(plan)["part"]})
        )
    with pytest.raises(RuntimeError, match="Blender ended with 3 on train-00000"):
        shards.render(plan, tmp_path / "bad", fake_blender(tmp_path / "c", arrays(plan), code=3))
    assert list((tmp_path / "bad").iterdir()) == []


def test_a_shard_that_fails_does_not_stop_the_others(plan: ShardPlan, tmp_path: Path) -> None:
    other = dataclasses.replace(plan, number=1)
    write(tmp_path, other)
    cache = fake_blender(tmp_path / "a", arrays(plan), code=3)
    cache.catalogues.mkdir(parents=True)
    cache.hdris.mkdir(parents=True)
    cache.textures.mkdir()
    (cache.textures / "grass.png").touch()
    assert shards.render_all(iter([plan, other]), tmp_path, cache, threads=1, niceness=0) == ["train-00000"]


def test_pictures_come_back_with_their_view_and_take(plan: ShardPlan, tmp_path: Path) -> None:
    path = write(tmp_path, plan)
    first, second = shards.pictures(path)
    assert first.view == plan.views[0]
    assert (first.take, second.take) == plan.views[0].takes
    assert first.arrays["image"].shape == (16, 16, 3)
    assert shards.usable(first)


def test_the_commands_make_sheets_and_count(
    plan: ShardPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, plan)
    main(["sheet", "--shards", str(tmp_path), "--out", str(tmp_path / "a.png"), "--columns", "2"])
    main(["sheet", "--shards", str(tmp_path), "--out", str(tmp_path / "b.png"), "--labels"])
    main(["check", "--shards", str(tmp_path)])
    assert np.asarray(cv2.imread(str(tmp_path / "a.png"))).shape == (46, 32, 3)
    assert np.asarray(cv2.imread(str(tmp_path / "b.png"))).shape == (32, 7 * 16, 3)
    assert "2 pictures with consistent labels, 2 fit for training" in capsys.readouterr().out
    assert sheet.contact_sheet([tmp_path / f"{plan.stem}.npz"], tmp_path / "c.png", limit=1) == 1


def test_missing_assets_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run `python -m training.path_traced setup` first"):
        assets.Cache(tmp_path).check()


@pytest.mark.soak
def test_two_pictures_render_with_labels_that_agree(plan: ShardPlan, tmp_path: Path) -> None:
    cache = assets.Cache.default()
    try:
        cache.check()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    small = dataclasses.replace(plan, size_px=64, samples=2)
    assert shards.render(small, tmp_path, cache)
    one, two = shards.pictures(tmp_path / f"{small.stem}.npz")
    assert shards.usable(one)
    assert np.array_equal(one.arrays["alpha"], two.arrays["alpha"])
    assert json.loads((tmp_path / f"{small.stem}.json").read_text())["split"] == "train"
    assert isinstance(one.view.camera, CameraPlan)
