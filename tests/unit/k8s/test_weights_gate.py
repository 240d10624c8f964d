"""The gate before each Ray pod: the manifests' own command waits for weights that arrive late, and passes by itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.kube import pods, rules
from cluster.kube.build import Manifest
from cluster.profiles import load_profile
from tests.tiny_pack import build_tiny_pack
from tests.waiting import WAIT_S


def gates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Owner of a pod -> its gate."""
    return {
        pod.owner: gate
        for pod in pods.pods(manifests)
        for gate in pod.spec.get("initContainers", [])
        if gate["command"][:3] == pods.WAIT_COMMAND
    }


def test_every_worker_of_production_waits_for_the_profiles_pack(overlays: dict[str, list[Manifest]]) -> None:
    found, profile = gates(overlays["production"]), load_profile("production")
    assert {owner.rpartition("/")[2] for owner in found} == set(profile.pools)
    assert {gate["command"][3] for gate in found.values()} == {profile.pack}
    (job,) = [one for one in rules.of_kind(overlays["production"], "Job") if "model-fetch" in one["metadata"]["name"]]
    fetched = {row["name"]: row["value"] for row in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert fetched["PACKS"] == profile.pack


@pytest.fixture
def arriving(tmp_path: Path) -> tuple[Path, Path]:
    """(the folder of packs that the gate looks at, still without weights; the whole pack elsewhere)."""
    return tmp_path / "home" / "packs", build_tiny_pack(tmp_path / "elsewhere" / "tiny")


def started(manifests: list[Manifest], packs: Path, *more: str) -> subprocess.Popen[str]:
    """The production gate's command for the pack `tiny`, with the environment that its pod has."""
    (*command, _), *_ = [gate["command"] for gate in gates(manifests).values()]
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:], "tiny", *more]
    environment = {**os.environ, "PACKSHOT_HOME": str(packs.parent), "PACKSHOT_OFFLINE": "true"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def arrive(whole: Path, packs: Path, *without: str) -> None:
    """Put a pack into the folder of packs at once, without some of its files."""
    shutil.copytree(whole, packs / "arriving", ignore=shutil.ignore_patterns(*without))
    (packs / "arriving").rename(packs / "tiny")


def test_weights_that_arrive_late_open_the_gate_without_a_hand(
    overlays: dict[str, list[Manifest]], arriving: tuple[Path, Path]
) -> None:
    """First nothing is there, then a pack that lacks a file, then one whose file is wrong, then the whole pack."""
    packs, whole = arriving
    gate = started(overlays["production"], packs)
    assert gate.stderr is not None
    try:
        assert "no folder of packs holds a manifest" in gate.stderr.readline()
        late = whole / "vae.safetensors"
        arrive(whole, packs, late.name)
        assert "missing files (1): vae/vae.safetensors" in gate.stderr.readline()
        broken = bytearray(late.read_bytes())
        broken[-1] ^= 1
        (packs / "tiny" / late.name).write_bytes(broken)
        assert "files without the manifest's hash (1): vae/vae.safetensors" in gate.stderr.readline()
        assert gate.poll() is None
        shutil.copy2(late, packs / "tiny" / "arriving")
        (packs / "tiny" / "arriving").rename(packs / "tiny" / late.name)
        assert "tiny: whole and verified" in gate.stderr.read()
        assert gate.wait(timeout=WAIT_S) == 0
    finally:
        gate.kill()
        gate.wait()
        gate.stderr.close()


def test_with_a_timeout_the_gate_says_what_is_missing(
    overlays: dict[str, list[Manifest]], arriving: tuple[Path, Path]
) -> None:
    packs, whole = arriving
    arrive(whole, packs, "vae.safetensors")
    gate = started(overlays["production"], packs, "--timeout", "0.1")
    _, told = gate.communicate(timeout=WAIT_S)
    assert gate.returncode == 1
    assert "pack 'tiny' must be whole within 0.1 s, got missing files (1): vae/vae.safetensors" in told
    assert "[pack_missing]" in told


def test_a_licence_that_nobody_accepted_is_refused_at_once(
    overlays: dict[str, list[Manifest]], arriving: tuple[Path, Path]
) -> None:
    packs, whole = arriving
    arrive(whole, packs)
    manifest = packs / "tiny" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("commercial: true", "commercial: false"))
    assert "commercial: false" in manifest.read_text()
    gate = started(overlays["production"], packs)
    _, told = gate.communicate(timeout=WAIT_S)
    assert (gate.returncode, "[pack_licence]" in told) == (1, True)
