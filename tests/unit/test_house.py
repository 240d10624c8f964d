"""The house's rules: imports point down, the library imports no ray, and importing it loads neither torch nor ray."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {
    "packshot": set(),
    "deployments": {"packshot"},
    "graphs": {"packshot", "deployments"},
    "cluster": {"packshot", "deployments", "graphs"},
}
ROOMS = {*BELOW, "bench", "training", "loadtest", "tests"}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_down(room):
    allowed = BELOW[room] | {room}
    for file in (ROOT / room).rglob("*.py"):
        if file.is_relative_to(ROOT / "packshot/cli"):
            continue  # the door: may reach up inside a command's body
        assert not (set(imports(file)) & ROOMS) - allowed, file


def test_the_library_never_imports_ray():
    for file in (ROOT / "packshot").rglob("*.py"):
        assert "ray" not in set(imports(file)), file


@pytest.mark.parametrize("module", ["packshot", "packshot.cli", "packshot.api.app", "packshot.store.store"])
def test_importing_the_library_loads_neither_torch_nor_ray(module):
    code = f"import sys, {module}; print(*sorted({{'torch', 'ray', 'diffusers'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_help_answers_within_half_a_second_of_processor_time():
    # Processor time, not the wall's: the rule is about what is loaded, and this machine may be busy.
    packshot = Path(sys.executable).with_name("packshot")
    best = min(_cpu_s([str(packshot), "--help"]) for _ in range(3))
    assert best <= 0.5


def _cpu_s(command):
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return min(cpu_s, time.monotonic() - started_at)
