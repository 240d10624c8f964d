"""SAM's attention in pieces against segment_anything's own."""

from __future__ import annotations

import pytest
import torch

from packshot.models.segment import attention as attention_module
from packshot.models.segment.attention import PiecewiseAttention
from packshot.models.segment.sam_modules import Attention


@pytest.mark.parametrize("scores", [1, 700, 5_000, 1 << 20], ids=["a row", "some rows", "some heads", "all at once"])
@pytest.mark.parametrize("relative", [True, False])
def test_equals_the_original(monkeypatch: pytest.MonkeyPatch, scores: int, relative: bool) -> None:
    monkeypatch.setattr(attention_module, "SCORES", scores)
    torch.manual_seed(0)
    attention = Attention(24, num_heads=3, use_rel_pos=relative, input_size=(7, 5)).eval()
    for weight in attention.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    x = torch.randn(2, 7, 5, 24)
    with torch.inference_mode():
        wanted = attention(x)
        attention.__class__ = PiecewiseAttention
        found = attention(x)
    assert not torch.equal(wanted, torch.zeros_like(wanted))
    assert torch.allclose(found, wanted, atol=1e-4, rtol=1e-4)


def test_runs_in_bf16() -> None:
    attention = PiecewiseAttention(24, num_heads=3, use_rel_pos=True, input_size=(4, 4)).to(torch.bfloat16)
    with torch.inference_mode():
        assert attention(torch.randn(1, 4, 4, 24, dtype=torch.bfloat16)).dtype == torch.bfloat16
