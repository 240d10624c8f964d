"""Prose agrees with the code: the settings table, the stage table, the page on plans."""

from pathlib import Path

import pytest

from cluster.plan.drawing import draw
from cluster.plan.gpu_shares import check_profile
from cluster.plan.planner import Demand, make_plan
from cluster.profiles import GPU_STAGES, load_profile, profile_names
from packshot.models.footprint.pack_footprint import find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings, rows

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


def needs_table():
    lines = [
        "| profile | stage | batch | weights | activations | needs | share | of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in profile_names():
        profile = load_profile(name)
        for stage, need in check_profile(profile, Settings()).items():
            gpu, share = profile.pools[profile.pool_of(stage)].device, profile.stages[stage].gpu_share
            lines.append(
                f"| `{name}` | {stage} | {need.batch} | {need.weights_gib:.2f} | {need.activations_gib:.2f} | "
                f"{need.total_gib:.2f} GiB | {share:.2f} = {share * gpu.memory_gib:.1f} GiB | {gpu.name}, {gpu.memory_gib:g} GiB |"
            )
    return "\n".join(lines)


def test_the_page_on_plans_tells_what_each_replica_needs():
    assert needs_table() in (ROOT / "docs/plan.md").read_text(), f"docs/plan.md must hold this table:\n{needs_table()}"


def test_the_picture_of_the_page_on_plans_is_todays():
    profile, pack = load_profile("production"), find_pack("sd15", Settings())
    plan = make_plan(profile, pack.manifest, find_footprint(pack), Demand(50_000))
    remedy = "packshot plan --profile production --images-per-hour 50000 --picture docs/pictures/plan-production.svg"
    assert (ROOT / "docs/pictures/plan-production.svg").read_text() == draw(plan), remedy


def test_every_relative_link_of_the_readme_leads_somewhere():
    import re

    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
