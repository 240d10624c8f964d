"""Prose agrees with the code: the settings table, the stage table."""

from pathlib import Path

import pytest

from cluster.profiles import GPU_STAGES, load_profile
from packshot.settings import rows

ROOT = Path(__file__).parents[2]


def settings_table():
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    lines += [f"| `{name}` | `{default or '(empty)'}` | {sentence} |" for name, default, sentence in rows()]
    return "\n".join(lines)


def test_the_operators_page_lists_every_setting_with_its_default():
    page = (ROOT / "docs/operator.md").read_text()
    assert settings_table() in page, f"docs/operator.md must hold this table:\n{settings_table()}"


@pytest.mark.parametrize("stage", GPU_STAGES)
def test_the_readme_tells_the_gpu_share_of_the_profile(stage):
    share = load_profile("one-gpu").stages[stage].gpu_share
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if f"deployments/{stage}.py" in line)
    assert line.rstrip(" |").endswith(f"{share:.2f}")


def test_every_relative_link_of_the_readme_leads_somewhere():
    import re

    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
