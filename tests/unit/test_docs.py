"""Prose agrees with the code: tables, links, commands, settings, and the names that the documents give."""

import ast
import importlib.util
import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from cluster.plan.drawing import draw
from cluster.plan.gpu_shares import StagePacks, check_profile
from cluster.plan.memory import CARDS, memory_rows
from cluster.plan.plan import Demand
from cluster.plan.planner import make_plan
from cluster.profiles import load_profile, profile_names
from cluster.stages import GPU_STAGES
from packshot.cli import app
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten, layer_size
from packshot.meter import METRICS
from packshot.models.footprint.pack_footprint import GpuStage, find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings, rows
from packshot.types import Cutout, Layer, Layout

ROOT = Path(__file__).parents[2]
OURS = ("packshot", "deployments", "graphs", "cluster", "loadtest", "training", "bench")
"""Our import packages: a `python -m` of one of these must name a module that runs."""
SKIPPED = {".venv", "node_modules", "out", "runs", "build"}
WORDS = (
    *("photo", "mask", "cutout", "canvas", "layer", "layout", "edge map", "inpaint mask", "brief", "shot", "image"),
    *("pack", "engine", "adapter", "SKU", "catalogue", "preset", "tenant", "profile", "verdict", "row", "delivery"),
    *("geometry", "condition", "reference", "detector", "finisher", "scene", "render", "studio"),
    *("queue", "claim", "lease", "heartbeat", "epoch", "fence", "attempt", "back-off", "priority", "ageing", "backlog"),
    *("retention", "asset", "idempotency key", "batch", "step batching", "knee", "batch row", "single flight"),
    *("embedding", "gateway", "director", "generator", "replica", "pool", "GPU share", "footprint", "recipe"),
)
"""The words that docs/glossary.md must define."""


@cache
def pages() -> tuple[Path, ...]:
    """Every Markdown file of the repository, relative to its root."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return tuple(sorted(path for path in found if not SKIPPED & set(path.parts) and path.parts[0][0] != "."))


@cache
def text_of(page: Path) -> str:
    return (ROOT / page).read_text("utf-8")


@cache
def prose_of(page: Path) -> str:
    """The page without its fenced code."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """(text, target) of every link and picture."""
    for found in re.finditer(r"\[([^\]\[]*)\]\(([^)\s]+)\)", prose_of(page)):
        yield found[1], found[2]


def anchors_of(page: Path) -> set[str]:
    """The anchors of the page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def resolved(page: Path, target: str) -> Path:
    """The file or folder that a relative link leads to, relative to the root."""
    path = target.partition("#")[0]
    return ((ROOT / page).parent / path).resolve().relative_to(ROOT) if path else page


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    for _, target in links_of(page):
        if re.match(r"[a-z]+:", target):
            continue
        path = resolved(page, target)
        assert (ROOT / path).exists(), f"{page} links to {target}"
        anchor = target.partition("#")[2]
        if anchor:
            assert path.suffix == ".md", f"{page}: an anchor must point into a page, got {target}"
            assert anchor in anchors_of(path), f"{page} links to {target}; {path} has {sorted(anchors_of(path))}"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_link_named_after_code_leads_to_the_file_that_defines_it(page: Path) -> None:
    """`[`Director.run_next`](…/director.py)`: the file must define `run_next`."""
    for text, target in links_of(page):
        name = re.fullmatch(r"`([\w.]+)(?:\(\))?`", text)
        path = resolved(page, target) if not re.match(r"[a-z]+:", target) else Path()
        if name is None or path.suffix != ".py" or name[1].endswith(".py"):
            continue
        last = re.escape(name[1].rpartition(".")[2])
        defined = rf"^\s*(?:async def|def|class) {last}\b|^\s*{last}\b\s*[:=]"
        assert re.search(defined, (ROOT / path).read_text("utf-8"), re.MULTILINE), f"{page}: {path} must define {text}"


def test_the_drawing_of_the_architecture_is_the_graphs() -> None:
    written = ast.get_docstring(ast.parse((ROOT / "graphs/product_shot.py").read_text("utf-8")))
    assert written is not None
    drawing = textwrap.dedent(written.split("\n\n")[1])
    assert f"```\n{drawing}\n```\n" in text_of(Path("docs/architecture.md")), (
        f"docs/architecture.md must hold:\n{drawing}"
    )


def test_the_architecture_names_every_part_of_the_store() -> None:
    source = (ROOT / "packshot/store/store.py").read_text("utf-8")
    parts = set(re.findall(r"^        self\.([a-z]\w*) = ", source, re.MULTILINE)) - {"database", "settings"}
    named = set(re.findall(r"`store\.(\w+)`", text_of(Path("docs/architecture.md"))))
    assert len(parts) > 20
    assert parts - named == set()


def test_every_page_is_reachable_from_the_index() -> None:
    seen, ahead = set(), [Path("docs/index.md")]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        for _, target in links_of(page):
            if re.match(r"[a-z]+:", target):
                continue
            path = resolved(page, target)
            path = path / "README.md" if (ROOT / path / "README.md").is_file() else path
            if path.suffix == ".md":
                ahead.append(path)
    assert sorted(set(pages()) - seen) == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_lines_hold_at_most_120_characters(page: Path) -> None:
    """Outside tables, code and what tools write; a link counts without its target."""
    prose = re.sub(r"<!-- (\w+)\b[^>]*-->.*?<!-- /\1 -->", "", prose_of(page), flags=re.DOTALL)
    for line in prose.splitlines():
        if line.startswith("|"):
            continue
        shown = re.sub(r"\]\([^)]*\)", "]", line)
        assert len(shown) <= 120, f"{page} ({len(shown)}): {line}"


def commands_of(page: Path) -> Iterator[str]:
    """Every line of fenced code and every code span, continued lines joined."""
    text = text_of(page)
    for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose_of(page)):
        yield " ".join(span.split())


def calls_of(executable: str) -> list[tuple[Path, str]]:
    """(page, arguments) of each command that runs `executable`; comments, pipes and redirections taken off."""
    found = []
    for page in pages():
        for command in commands_of(page):
            match = re.search(rf"(?:^|\s|\(|-- |/){re.escape(executable)} (?!-h\b)(.*)", command)
            if match:
                found.append((page, re.split(r"\s#|\s\||\s>|\s&&|\s&$|;|\)[\"\s]|\)$", match[1])[0].strip()))
    return found


@pytest.mark.parametrize(("page", "arguments"), calls_of("python -m"), ids=lambda value: str(value))
def test_every_module_that_a_page_runs_can_be_run(page: Path, arguments: str) -> None:
    """A package has `__main__.py`, a module a `__name__` guard; options stand in its source."""
    name, *rest = shlex.split(arguments)
    if name.split(".")[0] not in OURS:
        assert importlib.util.find_spec(name.split(".")[0]) is not None, f"{page}: no module {name}"
        return
    path = ROOT / name.replace(".", "/")
    if path.is_dir():
        assert (path / "__main__.py").is_file(), f"{page}: python -m {name} does nothing: it has no __main__.py"
        source = "\n".join(file.read_text("utf-8") for file in path.rglob("*.py"))
    else:
        source = path.with_suffix(".py").read_text("utf-8")
        assert re.search(r"^if __name__ ==", source, re.MULTILINE), f"{page}: python -m {name} does nothing"
    for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
        field = option.removeprefix("--").replace("-", "_")
        assert f'"{option}"' in source or re.search(rf"\b{field}\b", source), f"{page}: {name} has no option {option}"


def test_a_module_without_an_entry_would_be_found() -> None:
    page = Path("README.md")
    with pytest.raises(AssertionError, match="does nothing"):
        test_every_module_that_a_page_runs_can_be_run(page, "packshot.models.footprint.counting mini")


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("page", "arguments"), calls_of("make"), ids=lambda value: str(value))
def test_every_make_recipe_that_a_page_names_exists(page: Path, arguments: str) -> None:
    targets = [word for word in shlex.split(arguments) if "=" not in word]
    assert set(targets) <= make_targets(), f"{page}: make {arguments}"


COMMANDS = re.compile(r"(shoot|serve|config|plan|packs|keys|loadtest)(\s|$)")
PACKSHOT_CALLS = [(page, arguments) for page, arguments in calls_of("packshot") if COMMANDS.match(arguments)]
"""Without prose: "packshot …", namespaces, bucket names."""


@pytest.mark.parametrize(("page", "arguments"), PACKSHOT_CALLS, ids=lambda value: str(value))
def test_packshot_knows_every_command_and_option_that_a_page_names(page: Path, arguments: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(re.sub(r"[…\[\]]", " ", arguments))
    while commands := getattr(command, "commands", None):  # `loadtest SCENARIO` is short for `loadtest run SCENARIO`
        named = bool(words) and words[0] in commands
        assert named or "run" in commands or not words, f"{page}: packshot has no command {arguments!r}"
        if not named and "run" not in commands:
            return
        command, words = commands[words[0] if named else "run"], words[named:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        assert option in known, f"{page}: packshot {arguments} has no {option}; it knows {sorted(known)}"


def test_the_pages_name_commands_at_all() -> None:
    assert len(PACKSHOT_CALLS) > 20
    assert len(calls_of("python -m")) > 20
    assert len(calls_of("make")) > 10


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_read(name: str) -> None:
    """Somewhere in the code besides its own declaration."""
    read = re.compile(rf"(?:settings|Settings\(\))\.{name}\b")
    for room in OURS:
        if any(read.search(file.read_text("utf-8")) for file in (ROOT / room).rglob("*.py")):
            return
    assert re.search(rf"self\.{name}\b", (ROOT / "packshot/settings.py").read_text("utf-8")), f"nothing reads {name}"


def test_every_setting_that_a_page_names_exists() -> None:
    known = {name for name, _, _ in rows()} | {
        "PACKSHOT_LOADTEST_KEYS",  # packshot loadtest
        "PACKSHOT_KEY",  # packshot shoot --host
        "PACKSHOT_RENDER_CACHE",  # python -m training.path_traced
        *(
            f"PACKSHOT_REQUIRE_{what}" for what in ("CHROMIUM", "POSTGRES", "PROMTOOL", "EXIFTOOL", "HISTORY")
        ),  # the tests
    }
    for page in pages():
        for name in re.findall(r"PACKSHOT_[A-Z_]*[A-Z]", text_of(page)):
            assert name in known, f"{page} names {name}"


def test_every_page_that_the_code_names_exists() -> None:
    for room in (*OURS, "tests", "studio", "k8s"):
        for file in (ROOT / room).rglob("*"):
            if file.suffix in (".py", ".js", ".yaml") and not SKIPPED & set(file.parts):
                for page in re.findall(r"docs/[\w./-]+\.md", file.read_text("utf-8")):
                    assert (ROOT / page).is_file(), f"{file.relative_to(ROOT)} names {page}"


def glossary() -> list[str]:
    """The words that the glossary defines: each list item begins with its word in bold."""
    return re.findall(r"^- \*\*([^*]+)\*\*", text_of(Path("docs/glossary.md")), re.MULTILINE)


def test_the_glossary_defines_each_word_once() -> None:
    words = [word.lower() for word in glossary()]
    assert sorted(words) == sorted(set(words))
    assert sorted({word.lower() for word in WORDS} - set(words)) == []


@pytest.mark.parametrize("page", [page for page in pages() if page.parts[:2] == ("docs", "decisions")], ids=str)
def test_a_decision_says_what_it_chose_against_what_why_and_until_when(page: Path) -> None:
    text = text_of(page)
    assert len(text.splitlines()) <= 40
    assert re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", page.name)
    for heading in ("Chosen", "Against", "Why", "Revisit when"):
        assert f"## {heading}\n" in text, f"{page} must say: {heading}"


def settings_table() -> str:
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    lines += [f"| `{name}` | `{default or '(empty)'}` | {sentence} |" for name, default, sentence in rows()]
    return "\n".join(lines)


def test_the_operators_page_lists_every_setting_with_its_default() -> None:
    page = text_of(Path("docs/operator.md"))
    assert settings_table() in page, f"docs/operator.md must hold this table:\n{settings_table()}"


def test_the_operators_page_lists_every_metric() -> None:
    page = text_of(Path("docs/operator.md"))
    for name, metric in METRICS.items():
        assert f"| `{name}`" in page
        assert f"| {metric.kind} | {metric.help} |" in page, f"docs/operator.md must say of {name}: {metric.help}"


@pytest.mark.parametrize("stage", GPU_STAGES)
def test_the_readme_states_the_gpu_share_of_the_profile(stage: GpuStage) -> None:
    share = load_profile("one-gpu").stage(stage).gpu_share
    line = next(line for line in text_of(Path("README.md")).splitlines() if f"deployments/{stage}.py" in line)
    assert line.rstrip(" |").endswith("none" if share is None else f"{share:.2f}")


def needs_table() -> str:
    lines = [
        "| profile | stage | batch | weights | activations | needs | share | of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in profile_names():
        profile = load_profile(name)
        for stage, need in check_profile(profile, Settings()).items():
            gpu, share = profile.pools[profile.pool_of(stage)].device, profile.stages[stage].gpu_share or 0.0
            lines.append(
                f"| `{name}` | {stage} | {need.batch} | {need.weights_gib:.2f} | {need.activations_gib:.2f} | "
                f"{need.total_gib:.2f} GiB | {share:.2f} = {share * gpu.memory_gib:.1f} GiB | {gpu.name}, "
                f"{gpu.memory_gib:g} GiB |"
            )
    return "\n".join(lines)


def test_the_page_on_plans_lists_what_each_replica_needs() -> None:
    assert needs_table() in text_of(Path("docs/plan.md")), f"docs/plan.md must hold this table:\n{needs_table()}"


def memory_table() -> str:
    cards = " | ".join(f"{gpu.name}, {gpu.memory_gib:g} GiB" for gpu in CARDS)
    lines = [f"| pack | on the GPU | one picture needs | {cards} |", "|---|---|---|" + "---|" * len(CARDS)]
    packs = [find_pack(name, Settings()) for name in ("sdxl", "klein", "zimage")]
    for name, *cells in memory_rows([(pack.manifest, find_footprint(pack)) for pack in packs]):
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_page_on_packs_says_which_gpus_they_fit() -> None:
    assert memory_table() in text_of(Path("docs/packs.md")), f"docs/packs.md must hold this table:\n{memory_table()}"


def test_the_picture_of_the_page_on_plans_is_todays() -> None:
    profile, pack = load_profile("production"), find_pack("sd15", Settings())
    plan = make_plan(profile, StagePacks.of_one(pack.manifest, find_footprint(pack)), Demand(50_000))
    remedy = "packshot plan --profile production --images-per-hour 50000 --picture docs/pictures/plan-production.svg"
    assert (ROOT / "docs/pictures/plan-production.svg").read_text() == draw(plan), remedy


def placed(scale: float, **turn: float | bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """((width, height), (left, top)) in pixels of the page's cutout, 900 x 601 px, at (0.5, 0.62) on 1200 x 800 px."""
    cutout = Cutout(np.full((601, 900, 4), 255, np.uint8))
    layer = Layer(cutout, 0.5, 0.62, scale, float(turn.get("rotation_deg", 0)), bool(turn.get("flip", False)))
    layout = Layout(Canvas(1200, 800), (layer,))
    opaque = flatten(layout).alpha > 0
    return layer_size(layer, layout.canvas), (int(opaque.any(axis=0).argmax()), int(opaque.any(axis=1).argmax()))


def test_the_worked_example_of_the_integrators_page_is_right() -> None:
    page = text_of(Path("docs/integrator.md"))
    for scale, turn in ((0.5, {}), (0.75, {}), (0.5, {"rotation_deg": 90.0})):
        (width, height), (left, top) = placed(scale, **turn)
        row = f"| {scale:g} | {turn.get('rotation_deg', 0):g} | {width} x {height} px | ({left}, {top}) |"
        assert row in page, f"docs/integrator.md must hold the row {row}"
