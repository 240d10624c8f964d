"""Each kind of training, on tiny packs of each family: what it changes, and that others load its files."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline, StableDiffusionXLInpaintPipeline
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from packshot.errors import BadInput, StorageFull
from packshot.models.packs.pack import find_pack
from packshot.models.packs.roles import RoleName
from packshot.settings import Settings
from packshot.training.dataset import read_items, read_pictures
from packshot.training.latents import Latents
from packshot.training.networks import Networks
from packshot.training.objective import Objective
from packshot.training.progress import TrainingOptions, read_checkpoint
from packshot.training.spec import Kind, Schedule, TrainingSpec
from packshot.training.train import train
from packshot.training.trainables import trained_parts

Dataset = Callable[[int], Path]
SIZE_PX = 64
SOAKED = {family: pytest.param(family, marks=pytest.mark.soak) for family in ("mini", "sd15", "sdxl")}
"""Families whose trainings are no part of CI's 20 minutes."""
PARTS = ("vae", "text_encoder", "tokenizer", "unet", "scheduler", "safety_checker", "feature_extractor")
"""Of diffusers' pipeline, whose loader of embeddings needs none of them."""


def spec(kind: Kind, pack: str, pictures: Path, **more: Any) -> TrainingSpec:
    """A training of four steps."""
    given: dict[str, Any] = {
        "repeats": 2,
        "epochs": 1,
        "batch": len(list(pictures.glob("*.txt"))) // 2,
        "rank": 2,
        "precision": "fp32",
    }
    return TrainingSpec(kind=kind, name="acme", pack=pack, pictures=pictures, **(given | more))


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tiny_packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole training of four steps."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PACKSHOT_PACK_PATH", str(tiny_packs))
        result = train(out, TrainingOptions(lr=0.02, log_every=1), spec("lora", "tiny-mini", dataset(4)))
    assert result["steps"] == 4
    return out


@pytest.mark.usefixtures("with_tiny_packs")
class TestEachKind:
    @pytest.mark.parametrize("family", [SOAKED["mini"], "sd15", SOAKED["sdxl"]])
    def test_a_lora_is_trained_and_loads_in_diffusers_in_both_layouts(
        self, family: str, dataset: Dataset, tmp_path: Path
    ) -> None:
        wanted = spec("lora", f"tiny-{family}", dataset(4), text_encoder=family != "mini")
        result = train(tmp_path, TrainingOptions(lr=0.05), wanted)
        assert (result["steps"], result["of_steps"], result["ended"]) == (4, 4, "whole")
        state = load_file(tmp_path / "acme.safetensors")
        assert any(tensor.any() for name, tensor in state.items() if name.endswith("lora_B.weight"))
        with safe_open(tmp_path / "acme.safetensors", "pt") as file:
            about = file.metadata()
        assert (about["packshot.base"], about["packshot.rank"]) == (f"tiny-{family}", "2")
        assert json.loads(about["packshot.lineage"])["steps"] == 4
        pipe = pipeline(f"tiny-{family}")
        peft, kohya = (loaded(pipe, tmp_path / f"acme{end}.safetensors") for end in ("", ".kohya"))
        assert peft.keys() == kohya.keys()
        assert all(torch.equal(tensor, kohya[name]) for name, tensor in peft.items())
        assert len(peft) == len(state)

    @pytest.mark.parametrize("family", [SOAKED["mini"], SOAKED["sd15"], "sdxl"])
    def test_an_inversion_teaches_a_word_and_changes_no_network(
        self, family: str, dataset: Dataset, tmp_path: Path
    ) -> None:
        wanted = spec("inversion", f"tiny-{family}", dataset(4), tag="acme7", vectors=2, init_words="marble")
        train(tmp_path, TrainingOptions(lr=0.05), wanted)
        learned = load_file(tmp_path / "learned_embeds.safetensors")["acme7"]
        start = start_of(f"tiny-{family}", "marble")
        assert learned.shape == (2, len(start))
        assert not torch.allclose(learned[0], start)
        if family == "mini":
            return
        tokenizer, encoder = texts_of(f"tiny-{family}")
        StableDiffusionPipeline(**dict.fromkeys(PARTS), requires_safety_checker=False).load_textual_inversion(
            str(tmp_path / "learned_embeds.safetensors"), token="acme7", tokenizer=tokenizer, text_encoder=encoder
        )
        index = tokenizer.convert_tokens_to_ids("acme7")
        assert torch.equal(encoder.get_input_embeddings().weight[index : index + 2], learned)

    @pytest.mark.soak
    def test_dreambooth_keeps_prior_pictures_that_the_pack_painted(self, dataset: Dataset, tmp_path: Path) -> None:
        wanted = spec("dreambooth", "tiny-sd15", dataset(4), tag="acme7", class_words="marble", prior=3)
        result = train(tmp_path, TrainingOptions(lr=0.01, log_every=1), wanted)
        assert result["ended"] == "whole"
        assert len(list((tmp_path / "prior").glob("*.png"))) == 3
        for row in losses(tmp_path):
            assert row["loss"] == pytest.approx(row["own"] + row["prior"], abs=2e-5)

    @pytest.mark.soak
    @pytest.mark.parametrize(("kind", "family"), [("finetune", "mini"), ("controlnet", "mini"), ("controlnet", "sdxl")])
    def test_a_whole_network_becomes_a_pack_of_its_own(
        self, kind: Kind, family: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = find_pack(f"tiny-{family}", Settings())
        wanted = spec(kind, base.name, dataset(12), repeats=1, held_out=("marble table",))
        train(tmp_path, TrainingOptions(lr=0.01), wanted)
        monkeypatch.setenv("PACKSHOT_PACK_PATH", str(tmp_path / "pack"))
        made = find_pack("acme", Settings())
        made.check()
        assert all(check.status == "ok" for check in made.verify())
        role: RoleName = "unet" if kind == "finetune" else "controlnet"
        network = made.load(role)
        assert type(network).__name__ == ("UNet2DConditionModel" if kind == "finetune" else "ControlNetModel")
        if family == "mini":
            before = base.load(role).state_dict()
            assert any(not torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
        assert {made.role(other).files == base.role(other).files for other in made.manifest.roles if other != role} == {
            True
        }
        assert (tmp_path / "sheet.png").exists()

    def test_a_stopped_training_resumes_as_if_it_had_never_stopped(
        self, dataset: Dataset, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted, options = spec("lora", "tiny-mini", dataset(4)), TrainingOptions(lr=0.02, log_every=1)
        draw, cut = Schedule.pictures_of, tmp_path / "cut"

        def stop_in_the_second(self: Schedule, step: int) -> list[int]:
            if step == 1 and not (cut / "checkpoint.pt").exists():
                (cut / "stop").touch()
            return draw(self, step)

        monkeypatch.setattr(Schedule, "pictures_of", stop_in_the_second)
        first = train(cut, options, wanted)
        assert (first["steps"], first["ended"].partition(";")[0]) == (2, "it was stopped")
        assert (cut / "acme.safetensors").exists()  # a part of a training is of use
        with (cut / "metrics.jsonl").open("a") as file:  # a worker that was killed leaves rows after its checkpoint
            file.write(json.dumps({"step": 3, "loss": 9.0}) + "\n" + '{"step": 4, "lo')
        assert train(cut, options, wanted)["steps"] == 4
        assert [row["loss"] for row in losses(cut)] == [row["loss"] for row in losses(whole)]
        one, other = (load_file(run / "acme.safetensors") for run in (whole, cut))
        assert all(torch.equal(one[name], other[name]) for name in one)
        with pytest.raises(BadInput, match="rank 2, now 4"):
            train(cut, options, spec("lora", "tiny-mini", dataset(4), rank=4))

    def test_workers_share_a_batch(self, dataset: Dataset) -> None:
        wanted = spec("lora", "tiny-mini", dataset(4))
        networks = Networks(find_pack("tiny-mini", Settings()), torch.device("cpu"), torch.float32)
        pictures = read_pictures(read_items(wanted.pictures, "lora"), SIZE_PX)
        trained = trained_parts(networks, wanted, pictures)
        data = Latents(networks, pictures, ["marble table"] * 4)
        objective = Objective(networks, trained, wanted, data, None, seed=3)
        whole = float(objective.loss(5, [0, 1, 2, 3])["loss"].detach())
        halves = [float(objective.loss(5, [0, 1, 2, 3], rank, 2)["loss"].detach()) for rank in (0, 1)]
        assert sum(halves) / 2 == pytest.approx(whole, rel=1e-5)
        assert halves[0] != pytest.approx(halves[1], rel=1e-3)

    @pytest.mark.soak
    def test_a_training_that_diverges_ends_early_with_a_reason(self, dataset: Dataset, tmp_path: Path) -> None:
        wanted = spec("lora", "tiny-mini", dataset(4), epochs=6)
        result = train(tmp_path, TrainingOptions(lr=1e4), wanted)
        assert result["steps"] < result["of_steps"]
        assert "use a lower --lr" in result["ended"]

    def test_a_full_disk_leaves_the_last_whole_file(self, dataset: Dataset, whole: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(whole, tmp_path / "full"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))  # the kernel then answers as it does for a full disk
        try:
            with pytest.raises(StorageFull, match="run the same command again"):
                train(folder, TrainingOptions(), spec("lora", "tiny-mini", dataset(4), epochs=2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (folder / "acme.safetensors").read_bytes() == (whole / "acme.safetensors").read_bytes()
        assert not list(folder.rglob("*.part"))
        assert read_checkpoint(folder)["counters"]["step"] == 4


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def start_of(pack_name: str, word: str) -> torch.Tensor:
    """The embedding of a word that is one token."""
    pack = find_pack(pack_name, Settings())
    index = int(pack.tokenizer()([word])[0][1])
    weight: torch.Tensor = pack.load("text_encoder").get_input_embeddings().weight[index]
    return weight


def texts_of(pack_name: str) -> tuple[Any, Any]:
    """The tokenizer of transformers and the text encoder of a pack."""
    pack = find_pack(pack_name, Settings())
    paths = {path.name: str(path) for path in pack.paths("tokenizer").values()}
    encoder = pack.load("text_encoder")
    return CLIPTokenizer(vocab=paths["vocab.json"], merges=paths["merges.txt"]), encoder


def pipeline(pack_name: str) -> Any:
    """diffusers' pipeline of a tiny pack."""
    pack = find_pack(pack_name, Settings())
    roles: tuple[RoleName, ...] = ("unet", "vae", "text_encoder", "scheduler")
    parts = {role: pack.load(role) for role in roles} | {"tokenizer": None, "feature_extractor": None}
    if pack.manifest.family == "sdxl":
        more = {"text_encoder_2": pack.load("text_encoder_2"), "tokenizer_2": None, "image_encoder": None}
        return StableDiffusionXLInpaintPipeline(**parts, **more)
    return StableDiffusionInpaintPipeline(**parts, safety_checker=None, requires_safety_checker=False)


def loaded(pipe: Any, file: Path) -> dict[str, torch.Tensor]:
    """A LoRA's tensors in the pipeline's networks, after diffusers loaded the file; they are taken out again."""
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="acme")
    found: dict[str, torch.Tensor] = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        network = getattr(pipe, part, None)
        for name, tensor in network.state_dict().items() if network is not None else ():
            if "lora_" in name:
                found[f"{part}.{name}"] = tensor.clone()
    scales = {module.scaling["acme"] for module in pipe.unet.modules() if "acme" in getattr(module, "scaling", {})}
    assert scales == {1.0}
    pipe.unload_lora_weights()
    return found
