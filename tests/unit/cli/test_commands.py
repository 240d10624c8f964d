"""The `packshot` command as people and scripts use it: exit codes, stdout for machines, stderr for people."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import packshot
from cluster.profiles import load_profile
from packshot.cli.console import exit_code_of
from packshot.cli.serve import open_access
from packshot.errors import BadInput, EngineFailed, NotFound, PackRefused, TooLarge, Unauthorized, Unavailable
from tests.cli_server import call, last_json


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PACKSHOT_OPEN_ACCESS", raising=False)
    return tmp_path / "home"


def test_importing_the_commands_loads_nothing_heavy() -> None:
    heavy = {"torch", "ray", "fastapi", "sqlalchemy", "numpy", "httpx", "diffusers", "cv2"}
    code = f"import sys, packshot.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("arguments", [(), ("shot",), ("shoot",), ("serve", "--port", "70000"), ("config", "--nope")])
def test_bad_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("photo_empty", ""), 2),
        (TooLarge("body_too_large", ""), 2),
        (NotFound("not_found", ""), 2),
        (PackRefused("pack_unknown", ""), 2),
        (PackRefused("pack_corrupt", ""), 1),
        (EngineFailed("engine_nan", ""), 1),
        (Unavailable("not_ready", ""), 1),
        (Unauthorized("unauthorized", ""), 1),
    ],
)
def test_refused_input_exits_with_2_and_failure_with_1(error: Any, code: int) -> None:
    assert exit_code_of(error) == code


# keys


def test_a_new_key_is_the_only_thing_on_stdout(home: Path) -> None:
    result = call("keys", "create", "Brand & Co")
    assert result.exit_code == 0
    assert result.stdout.startswith("pk_")
    assert len(result.stdout.split()) == 1
    assert "shown only this once" in result.stderr


def test_a_tenant_is_held_released_and_deleted_by_its_id(home: Path) -> None:
    call("keys", "create", "brand")
    call("keys", "create", "other", "--admin")
    first, second = last_json(call("tenants", "list", "--json"))["tenants"]
    assert (first["name"], second["name"], first["legal_hold"]) == ("brand", "other", None)
    assert [key["admin"] for key in last_json(call("keys", "list", "--json"))["keys"]] == [False, True]
    assert call("tenants", "hold", first["id"], " ").exit_code == 2
    assert call("tenants", "hold", first["id"], "case 4711").exit_code == 0
    refused = call("tenants", "delete", first["id"], "--yes", "--json")
    assert (refused.exit_code, last_json(refused)["error"]["code"]) == (1, "legal_hold")
    assert call("tenants", "release", first["id"]).exit_code == 0
    assert call("tenants", "delete", first["id"]).exit_code != 0  # nobody answered the question
    lines = call("audit", "export", first["id"])
    told = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [(line["action"], line["by"]) for line in told] == [
        (action, "command line") for action in ("key.made", "tenant.held", "tenant.released")
    ]
    out = home / "trail.jsonl"
    whole = last_json(call("audit", "export", first["id"], "--out", str(out), "--json"))
    assert (whole["lines"], out.read_text()) == (3, lines.stdout)
    checked = last_json(call("audit", "check", first["id"], "--json"))
    assert (checked["sha256"], checked["broken_at"]) == (whole["sha256"], None)
    assert call("audit", "export", first["id"], "--after", "2999-01-01", "--object", "x").stdout == ""
    for wrong in (("--after", "yesterday"), ("--json",), ("--out", "/nowhere/trail.jsonl")):
        assert call("audit", "export", first["id"], *wrong).exit_code == 2
    assert call("audit", "check", "tn_unknown").exit_code == 2
    receipt = last_json(call("tenants", "delete", first["id"], "--yes", "--json"))
    assert last_json(call("tenants", "receipts", "--json"))["receipts"] == [receipt]
    assert receipt["counts"] == {"keys": 1, "audit_events": 3}
    assert receipt["by"].endswith("packshot tenants delete")
    assert [tenant["name"] for tenant in last_json(call("tenants", "list", "--json"))["tenants"]] == ["other"]
    assert call("tenants", "delete", "tn_unknown", "--yes").exit_code == 2


def test_a_tenants_weight_is_set_within_its_range(home: Path) -> None:
    call("keys", "create", "brand")
    (tenant,) = last_json(call("tenants", "list", "--json"))["tenants"]
    assert tenant["weight"] == 1
    assert call("tenants", "weight", tenant["id"], "2.5").exit_code == 0
    assert call("tenants", "weight", tenant["id"], "0").exit_code == 2
    assert call("tenants", "weight", "tn_unknown", "2").exit_code == 2
    assert last_json(call("tenants", "list", "--json"))["tenants"][0]["weight"] == 2.5


def test_budgets_of_a_tenant_and_a_key_are_set_shown_and_removed(home: Path) -> None:
    key = last_json(call("keys", "create", "brand", "--json"))["id"]
    (tenant,) = last_json(call("tenants", "list", "--json"))["tenants"]
    for kind, owner in (("tenants", tenant["id"]), ("keys", key)):
        limits = ("--images-per-day", "400", "--device-s-per-month", "36000.5", "--live-shots", "64")
        told = last_json(call(kind, "budget", owner, *limits, "--json"))["budgets"]
        assert [(row["limit"], row["spent"]) for row in told] == [(400, 0), (36000.5, 0), (64, 0)]
        assert call(kind, "budget", owner, "--images-per-day", "0").exit_code == 2
        assert call(kind, "budget", owner, "--images-per-day", "1", "--none").exit_code == 2
        assert last_json(call(kind, "budget", owner, "--json"))["budgets"] == told
        assert last_json(call(kind, "budget", owner, "--none", "--json"))["budgets"] == []
        assert call(kind, "budget", f"{owner}x").exit_code == 2


def test_a_tenants_pictures_need_an_approval_when_the_operator_says_so(home: Path) -> None:
    call("keys", "create", "Acme")
    (tenant,) = last_json(call("tenants", "list", "--json"))["tenants"]
    assert tenant["require_approval"] is False
    for options, expected in (([], True), (["--off"], False)):
        assert call("tenants", "require-approval", tenant["id"], *options).exit_code == 0
        assert last_json(call("tenants", "list", "--json"))["tenants"][0]["require_approval"] is expected
    assert call("tenants", "require-approval", "tn_unknown").exit_code == 2


def test_keys_are_listed_without_secrets_and_revoked_by_id(home: Path) -> None:
    secret = last_json(call("keys", "create", "brand", "--json"))["key"]
    listed = call("keys", "list", "--json")
    (row,) = last_json(listed)["keys"]
    assert (row["tenant"], row["revoked_at"]) == ("brand", None)
    assert secret not in listed.output
    assert call("keys", "revoke", row["id"]).exit_code == 0
    assert last_json(call("keys", "list", "--json"))["keys"][0]["revoked_at"] is not None


def test_revoking_an_unknown_key_exits_with_2_and_says_why(home: Path) -> None:
    result = call("keys", "revoke", "ky_unknown", "--json")
    assert result.exit_code == 2
    assert "not_found" in result.stderr
    assert last_json(result)["error"]["code"] == "not_found"


# packs, config, serve


def test_packs_are_listed_with_their_state(home: Path) -> None:
    result = call("packs", "list", "--json")
    names = [pack["name"] for pack in last_json(result)["packs"]]
    assert result.exit_code == 0
    assert {"sd15", "sd2", "sdxl"} <= set(names)
    assert "sd15" in result.stderr


def test_a_pack_is_shown_and_an_unknown_one_exits_with_2(home: Path) -> None:
    assert last_json(call("packs", "show", "sd15", "--json"))["name"] == "sd15"
    result = call("packs", "show", "nothing")
    assert (result.exit_code, "pack_unknown" in result.stderr) == (2, True)


def test_verifying_a_pack_whose_files_are_missing_exits_with_1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    result = call("packs", "verify", "sd15", "--json")
    told = last_json(result)
    assert (result.exit_code, told["ok"]) == (1, False)
    assert {row["status"] for row in told["files"]} == {"missing"}


def test_config_prints_yaml_that_serve_takes(home: Path) -> None:
    result = call("config", "--profile", "laptop")
    assert yaml.safe_load(result.stdout)["applications"][0]["import_path"] == "graphs.product_shot:app"
    assert call("config", "--profile", "nowhere").exit_code == 2


@pytest.mark.parametrize(
    ("host", "wish", "opened"),
    [("127.0.0.1", None, True), ("::1", "true", True), ("localhost", "false", False), ("0.0.0.0", None, False)],
)
def test_only_a_loopback_host_is_served_without_keys(
    monkeypatch: pytest.MonkeyPatch, host: str, wish: str | None, opened: bool
) -> None:
    monkeypatch.delenv("PACKSHOT_OPEN_ACCESS", raising=False)
    if wish:
        monkeypatch.setenv("PACKSHOT_OPEN_ACCESS", wish)
    assert open_access(host) is opened


def test_open_access_on_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_OPEN_ACCESS", "1")
    assert call("serve", "--host", "0.0.0.0").exit_code == 2


# the command itself


def test_the_version_is_printed_alone() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"packshot {packshot.__version__}\n")


def test_the_shell_completes_commands_and_options() -> None:
    program = Path(sys.executable).with_name("packshot")
    for words, wanted in (("packshot sh", "shoot"), ("packshot shoot --lay", "--layout")):
        asked = {"_PACKSHOT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        run = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
        assert wanted in run.stdout.split(), run


def test_config_names_every_deployment_with_its_defaults(home: Path) -> None:
    from deployments.generator import GeneratorDeployment

    told = yaml.safe_load(call("config").stdout)["applications"][0]["deployments"]
    assert [one["name"] for one in told] == list(load_profile("laptop").deployments)
    generator = next(one for one in told if one["name"] == "generator")
    default: Any = GeneratorDeployment
    assert generator["user_config"] == default.user_config
    assert generator["max_ongoing_requests"] == default.max_ongoing_requests
    assert generator["autoscaling_config"]["max_replicas"] == 1
    assert generator["ray_actor_options"] == {"num_cpus": 0.2}


def test_config_keeps_what_the_profile_states(home: Path) -> None:
    told = yaml.safe_load(call("config", "--profile", "one-gpu").stdout)["applications"][0]["deployments"]
    generator = next(one for one in told if one["name"] == "generator")
    assert (generator["ray_actor_options"]["num_gpus"], generator["user_config"]) == (0.55, {"max_rows": 56})


def test_a_pack_is_shown_with_its_sizes_and_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    result = call("packs", "show", "sd15", "--json")
    files = last_json(result)["files"]
    assert all(row["missing"] for row in files)
    assert f"{len(files)} of {len(files)} files are missing, at least 3.21 GB" in result.stderr
    assert "packshot packs fetch sd15" in result.stderr
    mini = call("packs", "show", "mini", "--json")
    assert not any(row["missing"] for row in last_json(mini)["files"])
    assert "nothing is missing" in mini.stderr


def test_fetching_without_a_network_is_refused_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = call("packs", "fetch", "sd15", "--json")
    assert (result.exit_code, last_json(result)["error"]["code"]) == (1, "pack_missing")
    assert "model hub must be reachable" in result.stderr
    assert "copy" in result.stderr


def test_fetching_tells_sizes_and_speed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    from packshot.models.packs.pack import Pack

    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    fetched = home / "weights"
    home.mkdir()
    fetched.write_bytes(bytes(2_000_000))
    monkeypatch.setattr("packshot.cli.packs.require_answer", lambda *_, **__: httpx.Response(200))
    monkeypatch.setattr(Pack, "fetch", lambda pack, report: [fetched])
    result = call("packs", "fetch", "sd15", "--json")
    assert (result.exit_code, last_json(result)["bytes"]) == (0, 2_000_000)
    assert "files to fetch" in result.stderr
    assert "1 files fetched, 2 MB in" in result.stderr
    assert "/s)" in result.stderr
