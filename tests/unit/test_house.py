"""The house's rules: imports point down, the library imports no ray, and importing it loads neither torch nor ray."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "packshot": set[str](),
    "deployments": {"packshot"},
    "graphs": {"packshot", "deployments"},
    "cluster": {"packshot", "deployments", "graphs"},
    "loadtest": set[str](),
    "training": {"packshot", "cluster"},
    "bench": {"packshot", "deployments", "graphs", "cluster", "loadtest", "training"},
}
"""Of our own packages, beside itself. Nothing but tests may import all: nothing else imports bench, and bench alone
imports training, whose scenes it judges."""
TOOLS = {
    "loadtest": {
        "PIL",
        "gevent",
        "geventhttpclient",
        "hdrh",
        "httpx",
        "jinja2",
        "locust",
        "matplotlib",
        "numpy",
        "prometheus_client",
        "psutil",
        "pydantic",
        "rich",
        "yaml",
    },
    "packshot/contract": {"pydantic"},
    "packshot/client": {"httpx", "httpx_sse", "pydantic"},
}
"""Folders that import the standard library, these packages and what `INNER` names."""
INNER = {
    "loadtest": {"loadtest"},
    "packshot/contract": {"packshot.contract", "packshot.errors"},
    "packshot/client": {"packshot.client", "packshot.contract", "packshot.errors", "packshot.__version__"},
}


@cache
def imports(file: Path) -> frozenset[str]:
    """The modules that a file names in import statements, wherever these stand; dotted, absolute."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "packshot":
            yield from (f"packshot.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{file}: a relative import; name the whole module")


def packages(file: Path) -> set[str]:
    return {module.split(".")[0] for module in imports(file)}


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"{folder} holds no Python"
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down(room: str) -> None:
    forbidden = {*MAY_IMPORT, "tests"} - MAY_IMPORT[room] - {room}
    for file in files(room):
        if file.is_relative_to(ROOT / "packshot/cli"):
            continue  # the door: may reach up inside a command's body
        assert not packages(file) & forbidden, file


def test_the_commands_import_neither_bench_nor_training() -> None:
    for file in files("packshot/cli"):
        assert not packages(file) & {"bench", "training", "tests"}, file


def test_the_library_never_imports_ray() -> None:
    for file in files("packshot"):
        assert "ray" not in packages(file), file


@pytest.mark.parametrize("folder", TOOLS)
def test_a_light_folder_imports_its_tools_alone(folder: str) -> None:
    for file in files(folder):
        ours = {module for module in imports(file) if module.split(".")[0] in MAY_IMPORT}
        assert {module for module in ours if not _is_in(module, INNER[folder])} == set(), file
        others = packages(file) - set(MAY_IMPORT) - sys.stdlib_module_names
        assert others <= TOOLS[folder], file


def _is_in(module: str, allowed: set[str]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in allowed)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("packshot", {"torch", "ray", "diffusers"}),
        ("packshot.cli", {"torch", "ray", "diffusers"}),
        ("packshot.api.app", {"torch", "ray", "diffusers", "scipy"}),
        ("packshot.store.store", {"torch", "ray", "diffusers", "scipy"}),
        ("packshot.shots", {"torch", "ray", "diffusers", "scipy", "c2pa"}),
        ("packshot.contract", {"torch", "ray", "diffusers", "numpy"}),
        ("packshot.client", {"torch", "ray", "diffusers", "numpy"}),
    ],
)
def test_importing_the_library_loads_nothing_heavy(module: str, heavy: set[str]) -> None:
    code = f"import pkgutil, sys, {module} as m\n"
    if module in ("packshot.contract", "packshot.client"):
        code += "for one in pkgutil.iter_modules(m.__path__, m.__name__ + '.'): __import__(one.name)\n"
    code += f"print(*sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_help_answers_within_half_a_second_of_processor_time() -> None:
    # Processor time, not the wall's: the rule is about what is loaded, and this machine may be busy.
    packshot = Path(sys.executable).with_name("packshot")
    best = min(_cpu_s([str(packshot), "--help"]) for _ in range(3))
    assert best <= 0.5


def _cpu_s(command: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return min(cpu_s, time.monotonic() - started_at)
