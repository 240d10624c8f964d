"""The painter's training: words, worn masks, and a ControlNet that starts silent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from packshot.models.engines.word_tokenizer import UNK
from training.mini.latents import perturb_mask
from training.mini.painter import LATENTS, SCHEDULER_CONFIG, Painter, control_from, noised, tokenizer


@pytest.mark.parametrize(
    "prompt",
    [
        "on a marble table, soft morning light",
        "wooden desk in a sunlit garden",
        "on a sandy beach at sunset",
        "white seamless background",
        "dark stone, night city lights",
    ],
)
def test_what_people_write_is_understood(prompt: str) -> None:
    assert tokenizer().unknown(prompt) == []


def test_an_unknown_word_becomes_unk() -> None:
    assert tokenizer().ids_of("zeppelin") == [UNK]


def test_a_perturbed_mask_keeps_most_of_the_product() -> None:
    mask = np.zeros((256, 256), bool)
    mask[64:192, 80:176] = True
    rng = np.random.default_rng(0)
    for _ in range(10):
        perturbed = perturb_mask(mask, rng)
        assert (perturbed & mask).sum() / (perturbed | mask).sum() > 0.7
        assert (perturbed & mask).sum() > 0.97 * mask.sum()  # rarely shrunk


def test_the_last_timestep_is_pure_noise() -> None:
    from diffusers import DDIMScheduler

    kept = DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod
    z = torch.full((1, LATENTS, 4, 4), 100.0)
    x, v = noised(z, torch.tensor([999]), kept)
    assert float(x.abs().max()) < 10
    assert torch.allclose(v, -z, atol=1e-2)


def test_a_fresh_controlnet_is_the_unets_encoder_and_says_nothing() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    painter = Painter()
    control = control_from(painter.unet)
    ids = torch.from_numpy(tokenizer()(["on marble"]))
    with torch.inference_mode():
        down, mid = control(
            torch.randn(1, LATENTS, 16, 16),
            torch.tensor([500]),
            encoder_hidden_states=painter.text(ids)[0],
            controlnet_cond=torch.rand(1, 2, 128, 128),
            return_dict=False,
        )
    assert all(float(residual.abs().max()) == 0 for residual in (*down, mid))
    assert torch.equal(control.mid_block.resnets[0].conv1.weight, painter.unet.mid_block.resnets[0].conv1.weight)
