"""The Dockerfile: hadolint finds nothing, and what the manifests need of the image is there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cluster.kube.bake import bake
from cluster.kube.rayservice import USER_ID
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def stages() -> dict[str, str]:
    """Target -> its text."""
    parts = re.split(r"^FROM (.+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {source.split(" AS ")[1]: text for source, text in zip(parts[::2], parts[1::2], strict=True)}


def parents() -> dict[str, str]:
    return dict(reversed(line.split(" AS ")) for line in re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE))


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", ["cpu", "cuda", "cuda-baked", "loadtest"])
def test_a_target_runs_as_the_user_of_the_manifests(target: str) -> None:
    while target != "runtime":
        assert "USER" not in stages()[target]
        target = parents()[target]
    assert f"USER {USER_ID}:{USER_ID}" in stages()["runtime"]
    assert f"useradd --uid {USER_ID}" in stages()["runtime"]


def test_kuberays_probes_find_bash_and_wget() -> None:
    assert re.search(r"install .*\bbash wget\b", stages()["runtime"])


def test_the_base_is_an_argument_and_every_stage_builds_on_it() -> None:
    assert DOCKERFILE.count("ARG BASE=") == 1
    assert set(parents().values()) <= {"${BASE}", *stages()}


def test_what_is_copied_is_what_the_product_needs() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    rooms = {name.rstrip("*") for name in packages} - {"training", "bench"}
    assert rooms | {"studio"} <= allowed  # packshot/studio links to it
    assert not allowed & {"tests", "training", "bench", ".git", "shared"}


def test_extras_that_the_image_installs_are_declared_and_pinned() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for extra in re.findall(r"--extra (\S+)", DOCKERFILE):
        for requirement in extras[extra]:
            assert re.split(r"[\[<>=]", requirement)[0] in pinned


def test_the_load_test_jobs_run_the_image_that_carries_their_extra() -> None:
    assert "--extra loadtest" in stages()["dependencies-loadtest"]
    assert "COPY --from=dependencies-loadtest" in stages()["loadtest"]


@pytest.mark.parametrize("target", ["cpu", "cuda", "loadtest"])
def test_an_images_dependencies_and_code_are_layers_of_their_own(target: str) -> None:
    """Dependencies first, and of a stage that no code enters; then the code, which is the same for every image."""
    assert re.findall(r"^COPY --from=(\S+) (\S+) ", stages()[target], re.MULTILINE) == [
        (f"dependencies-{target}", "/opt/packshot/venv"),
        ("code", "/opt/packshot/app"),
    ]
    stage = f"dependencies-{target}"
    while stage in stages():
        assert re.findall(r"^COPY (.+)$", stages()[stage], re.MULTILINE) in ([], ["constraints.txt pyproject.toml ./"])
        stage = parents()[stage]
    assert "--no-deps --target /opt/packshot/app ." in stages()["code"]


def test_a_baked_pack_is_found_by_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mini pack, baked; then found without the package's own copy."""
    settings = Settings(home=tmp_path / "home")
    baked = bake(find_pack("mini", settings), tmp_path / "packs")
    found = find_pack("mini", Settings(home=tmp_path / "home", pack_path=str(tmp_path / "packs")))
    assert found.folder == baked
    assert {check.status for check in found.verify()} == {"ok"}
