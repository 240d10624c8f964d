"""The third edition: path-traced scenes, a decoder of twice the size, a ControlNet that matters."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler
from numpy.typing import NDArray

from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from packshot.training.fit import bf16_where_fast
from packshot.training.progress import TrainingOptions, read_checkpoint
from training.mini import edition, latents, painter, traced, vae
from training.mini.data import read_shards, write_shards
from training.mini.painter import control_from
from training.mini.warm import warm
from training.path_traced import draw, shards
from training.path_traced.scene_plan import ShardPlan
from training.scenes.words import FIELDS, describe

PACK = Path(vae.__file__).parents[2] / "packshot/packs/mini"
SIDE = 80


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one shard of one view in four takes, whose product is as bright as the number of its take."""
    folder = tmp_path_factory.mktemp("shards")
    whole = draw.shard("train", 0, SIDE, 1)
    plan = dataclasses.replace(whole, views=(whole.views[0],))
    made: dict[str, NDArray[np.generic]] = {
        name: np.zeros((plan.pictures, *(((SIDE // divisor,) * 2) if divisor else ()), *tail), kind)
        for name, (kind, divisor, tail) in shards.COLUMNS.items()
    }
    made["image"][:] = 90
    made["alpha"][:, 30:60, 30:50] = 255
    for take in range(plan.pictures):
        made["image"][take, 30:60, 30:50] = 100 + 20 * take
    np.savez_compressed(folder / f"{plan.stem}.npz", **made)  # type: ignore[arg-type]
    (folder / f"{plan.stem}.json").write_text(plan.to_json())
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shard of 32 drawn scenes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "scenes"
    write_shards(folder, 32, 64, 5)
    return folder


@pytest.fixture(scope="module")
def data(scenes: Path, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> latents.Latents:
    """The latents of drawn and path-traced scenes."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "1.npz").symlink_to(next(scenes.glob("*.npz")))
    traced.write_shards(folder, rendered, 64)
    torch.manual_seed(0)
    made = latents.Latents(folder, AutoencoderTiny(**vae.CONFIG).eval(), seed=0)
    made.refresh()
    return made


def test_path_traced_pictures_become_scenes_once(rendered: Path, tmp_path: Path) -> None:
    assert traced.write_shards(tmp_path, rendered, 64) == 1
    assert traced.write_shards(tmp_path, rendered, 64) == 0
    found = read_shards(tmp_path)
    plan = ShardPlan.from_json(next(rendered.glob("*.json")).read_text())
    assert plan.pictures <= len(found["image"]) <= (1 + traced.CROPS) * plan.pictures
    assert found["image"].shape[1:] == (64, 64, 3)
    assert {tuple(row) for row in found["attributes"].tolist()} == {take.attributes for take in plan.views[0].takes}
    for image, mask in zip(found["image"], found["mask"], strict=True):
        assert set(np.unique(image[mask == 255])) <= set(range(98, 163))
        assert len(np.unique(image[mask == 255])) == 1  # one lamp over the whole product


def test_some_products_are_lit_by_another_take(rendered: Path) -> None:
    rng = np.random.default_rng(0)
    shard = list(shards.pictures(next(rendered.glob("*.npz"))))
    own = {take.attributes: 100 + 20 * number for number, take in enumerate(shard[0].view.takes)}
    rows = [row for _ in range(8) for row in traced._rows(shard, SIDE, rng)]
    other = [row for row in rows if row["image"][row["mask"] == 255].mean() != own[tuple(row["attributes"].tolist())]]
    assert 0.2 < len(other) / len(rows) < 0.8
    assert all((row["image"][row["mask"] == 0] == 90).all() for row in rows)


def test_a_backdrop_that_is_not_seen_is_not_said() -> None:
    rng = np.random.default_rng(0)
    values = dict.fromkeys(FIELDS, 0) | {"backdrop": -1}
    said = " ".join(describe(values, rng, whole=True) for _ in range(60))
    assert "wood" in said
    assert not {"curtain", "wall", "backdrop", "behind"} & set(said.replace(",", " ").split())


@pytest.mark.parametrize("processes", [1, 3, 14])
def test_an_editions_processes_draw_every_kind_of_scene_and_none_twice(processes: int) -> None:
    commands = edition.renderers(processes)
    kinds = {(command[0], command[command.index("--size") + 1]) for command in commands}
    assert kinds == {("scenes", "256"), ("scenes", "512"), ("alike", "256")}
    seeds = [int(command[command.index("--seed") + 1]) for command in commands]
    assert len(set(seeds)) == len(commands) == max(3, processes)


def test_an_edition_fails_with_the_training_that_failed() -> None:
    with pytest.raises(RuntimeError, match="a training failed"):
        edition._end(subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]))


def test_the_decoder_gives_twice_the_encoded_size() -> None:
    net = AutoencoderTiny(**vae.CONFIG)
    z = net.encode(torch.zeros(1, 3, 32, 48)).latents
    assert z.shape == (1, 8, 4, 6)
    assert net.decode(z).sample.shape == (1, 3, 64, 96)


def test_the_pack_starts_a_training(tmp_path: Path, scenes: Path) -> None:
    assert warm(PACK, tmp_path) == ["vae", "painter", "control", "judge", "geometry", "detector"]
    assert warm(PACK, tmp_path) == []
    pack = Pack(read_manifest(PACK / "manifest.yaml"), PACK, Settings())
    shipped = pack.load("unet").state_dict()
    started = read_checkpoint(tmp_path / "painter")["ema"]
    assert all(torch.equal(value, started[f"unet.{name}"]) for name, value in shipped.items())
    painter.train(tmp_path / "painter", tmp_path / "vae", scenes, TrainingOptions(samples=4, batch=4))
    assert read_checkpoint(tmp_path / "painter")["counters"]["step"] == 1


def test_the_controlnet_may_see_what_the_painter_does_not(data: latents.Latents) -> None:
    words = painter.tokenizer()
    *_, repaint, masked, _, image = data.draw_controlled(16, words, scene_edges=0, hidden=1)
    assert bool((repaint == 1).all())
    assert torch.equal(masked, data.grey.expand(16, -1, -1, -1))
    own = image[:, 0].mean()
    assert image.shape == (16, len(painter.CONTROL_CHANNELS), 64, 64)
    assert 0 < float(image[:, 1].mean()) < 0.8  # the product
    *_, image = data.draw_controlled(16, words, scene_edges=1, hidden=0)
    assert image[:, 0].mean() > own


def test_depth_takes_the_place_of_the_edges_and_lies_on_the_product(data: latents.Latents) -> None:
    *_, image = data.draw_controlled(64, painter.tokenizer(), depth=True)
    depth, product = image[:, 0], image[:, 1]
    inside = depth[(product > 0) & (depth > 0)]
    assert 0.5 < float(inside.min()) < float(inside.max()) == 1, "the product's relief, near = white"
    assert float(((depth > 0) & (product == 0)).float().mean()) < 0.02, "a perturbed mask may lose its rim"


@pytest.mark.soak
def test_the_loss_of_the_depth_net_falls(tmp_path: Path, scenes: Path) -> None:
    """On the scenes that it trains on, with the product hidden from the painter: half a minute of one core."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warm(PACK, tmp_path)
    plan = TrainingOptions(samples=640, batch=16, lr=2e-3)
    trained = painter.train_depth(tmp_path / "depth", tmp_path / "painter", tmp_path / "vae", scenes, plan)
    net = painter.Painter()
    net.load_state_dict(read_checkpoint(tmp_path / "painter")["ema"])
    vae_net = vae.load(tmp_path / "vae")
    kept = DDIMScheduler(**painter.SCHEDULER_CONFIG).alphas_cumprod

    def loss(control: Any) -> float:
        drawn = latents.Latents(scenes, vae_net, seed=1)
        drawn.refresh()
        torch.manual_seed(1)
        with torch.inference_mode():
            z, repaint, masked, ids, image = drawn.draw_controlled(32, painter.tokenizer(), hidden=1, depth=True)
            t = painter.timesteps(32, len(kept), z.device)
            x, target = painter.noised(z, t, kept)
            text = net.text(ids)[0]
            down, mid = control(x, t, encoder_hidden_states=text, controlnet_cond=image, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
            inputs = torch.cat([x, repaint, masked], 1)
            out = net.unet(inputs, t, encoder_hidden_states=text, **residuals).sample
        return float(((out - target) ** 2).mean())

    silent, after = loss(control_from(net.unet)), loss(trained)
    assert after < 0.97 * silent, (silent, after)


def test_path_traced_pictures_are_drawn_oftener_than_their_number(data: latents.Latents) -> None:
    share = data.traced[data._rows(2000)].mean()
    assert data.traced.mean() < share <= latents.MOST_TRACED + 0.05


def test_a_controlnet_of_the_edges_alone_ignores_its_new_channel(tmp_path: Path) -> None:
    from training.mini.warm import _control

    fresh = control_from(painter.Painter().unet).state_dict()
    name = "controlnet_cond_embedding.conv_in.weight"
    thrice = fresh | {name: torch.randn(fresh[name].shape[0], 3, 3, 3)}
    got = _control(fresh, thrice)[name]
    assert torch.allclose(got[:, 0], thrice[name].sum(1))
    assert not got[:, 1:].any()


def test_bf16_is_used_where_the_processor_has_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has=has: has)
        with bf16_where_fast(torch.device("cpu")):
            assert torch.is_autocast_enabled("cpu") is has
