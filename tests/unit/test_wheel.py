"""The wheel, built without a network: its files, and what it runs with only the base dependencies."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib.metadata import Distribution, PathDistribution, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from packshot.cli.console import _EXTRAS

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {"packshot", "deployments", "graphs", "cluster", "loadtest"}
HEAVY = ("ray", "torch")

IN_THE_BASE = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.path.insert(0, {site!r})
import packshot
assert packshot.__file__.startswith({site!r}), packshot.__file__
sys.argv = ["packshot", *{arguments!r}]
{statement}
"""
"""A program in which only the wheel and the modules that its base dependencies bring can be imported."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what `pip install --no-deps` would put into site-packages."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in ("pyproject.toml", "README.md", "LICENSE", "studio", "k8s", "bench", "training", *sorted(TOP_LEVEL)):
        if (ROOT / room).is_dir():
            shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / room, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--wheel-dir", str(built), str(source)]
    subprocess.run(command, check=True, timeout=200)
    (wheel,) = built.glob("packshot-*.whl")
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(site: Path) -> Distribution:
    (folder,) = site.glob("*.dist-info")
    return PathDistribution(folder)


def files(site: Path) -> set[str]:
    """As its record names them: a test that imported from it has left compiled files there since."""
    (record,) = site.glob("*.dist-info/RECORD")
    return {line.partition(",")[0] for line in record.read_text().splitlines()}


def test_only_the_products_rooms_are_top_level(site: Path) -> None:
    assert {name.partition("/")[0] for name in files(site) if ".dist-info/" not in name} == TOP_LEVEL


def test_every_source_file_of_those_rooms_is_in_it_and_nothing_compiled(site: Path) -> None:
    sources = {path.relative_to(ROOT).as_posix() for room in TOP_LEVEL for path in (ROOT / room).rglob("*.py")}
    packed = files(site)
    assert {name for name in packed if name.endswith(".py")} == sources
    assert not [name for name in packed if name.endswith(".pyc")]


def test_data_that_the_code_reads_is_in_it(site: Path) -> None:
    packed = files(site)
    data = {f"packshot/studio/{path.name}" for path in (ROOT / "studio").iterdir()}
    for folder in ("packshot/packs", "packshot/api/reference", "cluster/profiles", "loadtest/scenarios"):
        data |= {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*.*")
            if path.is_file() and path.suffix != ".pyc"
        }
    data |= {f"cluster/{path.relative_to(ROOT)}" for path in (ROOT / "k8s").rglob("*") if path.is_file()}
    data |= {
        "loadtest/report/report.html.jinja",
        "packshot/py.typed",
        "packshot/delivery/presets.yaml",
        "packshot/store/migrations/script.py.mako",
    }
    assert data <= packed, sorted(data - packed)


def test_its_version_is_the_packages_own(metadata: Distribution) -> None:
    written = re.search(r'^__version__ = "(.+)"$', (ROOT / "packshot/__init__.py").read_text(), re.MULTILINE)
    assert written is not None
    assert metadata.version == written[1]
    assert f"## {written[1]} " in (ROOT / "CHANGELOG.md").read_text()


def required(metadata: Distribution, extra: str = "") -> set[str]:
    """Distributions that an install with `extra` brings, as far as they are installed here."""
    seen: set[tuple[str, str]] = set()
    waiting = [(one, extra) for one in map(Requirement, metadata.requires or ()) if _applies(one, extra)]
    while waiting:
        requirement, _ = waiting.pop()
        for wanted in ("", *requirement.extras):
            if (requirement.name, wanted) in seen:
                continue
            seen.add((requirement.name, wanted))
            inner = metadata if requirement.name == "packshot" else distribution(requirement.name)
            waiting += [(one, wanted) for one in map(Requirement, inner.requires or ()) if _applies(one, wanted)]
    return {name.lower().replace("_", "-") for name, _ in seen}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


@pytest.mark.parametrize("extra", ["", "client"])
def test_the_client_needs_neither_ray_nor_torch(metadata: Distribution, extra: str) -> None:
    assert not required(metadata, extra) & set(HEAVY)


def test_the_server_needs_both(metadata: Distribution) -> None:
    assert set(HEAVY) <= required(metadata, "serve")


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def in_the_base(site: Path, metadata: Distribution) -> Run:
    """Run the command, or a statement, from the wheel with the base dependencies alone."""
    base = required(metadata)
    missing = {
        module
        for module, names in packages_distributions().items()
        if not {name.lower().replace("_", "-") for name in names} & base and module not in TOP_LEVEL
    }

    def run(
        *arguments: str, statement: str = "from packshot.cli import app; app()"
    ) -> subprocess.CompletedProcess[str]:
        code = IN_THE_BASE.format(missing=missing, site=str(site), arguments=arguments, statement=statement)
        command = [sys.executable, "-I", "-c", code]
        return subprocess.run(command, cwd=site, capture_output=True, text=True, check=False, timeout=200)

    return run


def test_the_command_answers_from_the_wheel(in_the_base: Run) -> None:
    done = in_the_base("--help")
    assert done.returncode == 0, done.stderr
    assert "shoot" in done.stdout


def test_the_client_loads_from_the_wheel(in_the_base: Run) -> None:
    statement = "from packshot.client import Client; Client('http://127.0.0.1:9').close(); print('loaded')"
    done = in_the_base(statement=statement)
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("serve",), "serve"),
        (("config",), "serve"),
        (("plan",), "serve"),
        (("packs", "list"), "serve"),
        (("keys", "list"), "serve"),
        (("shoot", "LICENSE", "--background", "white"), "serve"),
        (("loadtest", "smoke"), "loadtest"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else value,
)
def test_a_command_names_the_extra_that_it_needs(in_the_base: Run, arguments: tuple[str, ...], extra: str) -> None:
    arguments = tuple(str(ROOT / "LICENSE") if one == "LICENSE" else one for one in arguments)
    done = in_the_base(*arguments)
    assert done.returncode == 2, done.stderr
    assert f"pip install 'packshot[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_is_where_the_gateway_of_a_wheel_looks(site: Path) -> None:
    """In a checkout the same name leads through the link; there the graph's tests ask for the page."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from deployments.gateway import STUDIO_DIR; print(STUDIO_DIR)"
    )
    command = [sys.executable, "-I", "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.strip() == str(site / "packshot" / "studio")
    assert (site / "packshot" / "studio" / "index.html").is_file()


def test_a_wheel_without_a_checkout_writes_manifests_and_chart(site: Path, tmp_path: Path) -> None:
    """With the server's extra and kubectl; what only checks need is not imported."""
    checks = ("jsonschema", "kubernetes_validate", "promql_parser", "grafana_foundation_sdk")
    code = f"""
import sys; sys.modules |= dict.fromkeys({checks!r}); sys.path.insert(0, {str(site)!r})
from cluster.kube.__main__ import main
sys.exit(main(["copy", "k8s"]) or main(["chart", "packshot"]))"""
    command = [sys.executable, "-I", "-W", "ignore", "-c", code]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=200)
    assert (tmp_path / "k8s/overlays/production/kustomization.yaml").is_file()
    assert (tmp_path / "packshot/templates/rayservice-packshot.yaml").is_file()


def test_extras_that_a_message_names_bring_the_module(metadata: Distribution) -> None:
    found = packages_distributions()
    for module, extra in _EXTRAS.items():
        if module in found:
            assert {name.lower() for name in found[module]} & required(metadata, extra), module


def test_extras_are_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {Requirement(one).name.lower().replace("_", "-") for one in asked} - {"packshot"}
    assert names <= pinned, sorted(names - pinned)
