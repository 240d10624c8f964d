"""Scenarios: those that ship, and what a wrong one is told before any load is sent."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from typer.testing import CliRunner, Result

from cluster.stages import DEPLOYMENTS
from loadtest.errors import Refused
from loadtest.run.target import check_host
from loadtest.scenarios.drawing import draw
from loadtest.scenarios.scenario import Stage, load_scenario, parse, scenario_names
from packshot.cli import app

PROBES: dict[str, Any] = {
    "name": "probes",
    "sentence": "Probes alone.",
    "timeline": [{"name": "steady", "seconds": 2, "load": 1}],
    "traffic": [{"persona": "probe", "rate_per_s": 5}],
    "slo": {"goodput": 0.9, "errors": 0.1, "classes": {"probe": {"p50_ms": 100, "p95_ms": 200, "p99_ms": 300}}},
}
DESIGNERS = {"persona": "designer", "rate_per_s": 1}


def changed(**fields: Any) -> str:
    return yaml.safe_dump({**PROBES, **fields})


def slo_with(**bounds: Any) -> dict[str, Any]:
    return {"slo": {**PROBES["slo"], **bounds}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def file(**fields: Any) -> str:
        path = tmp_path / "probes.yaml"
        path.write_text(changed(**fields))
        return str(path)

    return file


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["loadtest", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_scenarios_of_the_plan_ship() -> None:
    assert {"smoke", "orders", "agency-monday", "flash-sale", "catalogue-night", "soak", "poison", "faults"} == set(
        scenario_names()
    )


def test_a_fault_may_hit_every_deployment() -> None:
    assert get_args(Stage) == DEPLOYMENTS


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenarios_header_draws_its_timeline(name: str) -> None:
    from importlib import resources

    text = resources.files("loadtest").joinpath("scenarios", f"{name}.yaml").read_text("utf-8")
    header = [line.removeprefix("#").removeprefix(" ").rstrip() for line in text.splitlines() if line.startswith("#")]
    drawn = draw(load_scenario(name))
    assert header == [line.rstrip() for line in drawn], "\n".join(f"# {line}".rstrip() for line in drawn)


def test_catalogues_come_in_their_phase_and_designers_in_all() -> None:
    scenario = load_scenario("catalogue-night")
    phases: dict[str, set[str]] = {}
    for arrival in scenario.arrivals():
        phases.setdefault(arrival.persona, set()).add(scenario.phase_at(arrival.at_s))
    assert phases["catalogue"] == {"dumps"}
    assert phases["designer"] == {row.name for row in scenario.timeline}
    tenants = {arrival.tenant for arrival in scenario.arrivals() if arrival.persona == "catalogue"}
    assert tenants == {0, 1, 2}  # else their shares could not be compared


def test_the_flash_sale_is_five_times_as_much() -> None:
    loads = {row.name: row.load or 0.0 for row in load_scenario("flash-sale").timeline}
    assert loads["sale"] == 5 * loads["before"]


def test_a_share_of_nobody_is_no_other_scenario() -> None:
    """Runs of before these shares existed can so be compared with those of today."""
    nobody = {"personas": {"designer": {"relit": 0, "touch_ups": 0, "clips": 0}}}
    plain, same, more = (
        parse(changed(**fields), "probes", Path())
        for fields in ({}, nobody, {"personas": {"designer": {"relit": 0.5}}})
    )
    assert plain.digest() == same.digest() == "19c78ee3337d"
    assert more.digest() != plain.digest()


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"traffic": [{"persona": "probe", "rate_per_s": -1}]}, "traffic.0.rate_per_s: .* greater than 0, got -1"),
        ({"traffic": [{"persona": "probe", "rate_per_s": float("nan")}]}, "finite"),
        ({"traffic": [{"persona": "robot", "rate_per_s": 1}]}, "traffic.0.persona"),
        ({"traffic": [{"persona": "probe"}]}, "exactly one of rate_per_s, trace"),
        ({"traffic": [{"persona": "probe", "trace": "none.txt"}]}, "none.txt"),
        ({"slo": {"goodput": 1, "errors": 0}}, "slo.classes: Field required"),
        ({"traffic": [{"persona": "integrator", "rate_per_s": 1}]}, "missing api_shot, click, upload"),
        (
            {
                "slo": {
                    **PROBES["slo"],
                    "classes": {**PROBES["slo"]["classes"], "shot": PROBES["slo"]["classes"]["probe"]},
                }
            },
            "does not have: shot",
        ),
        ({"slo": {**PROBES["slo"], "classes": {"probe": {"p50_ms": 9, "p95_ms": 5, "p99_ms": 7}}}}, "p50 ≤ p95 ≤ p99"),
        (slo_with(beside={"idle": "steady", "busy": "steady", "classes": ["probe"], "times": 2}), "two phases"),
        (
            slo_with(beside={"idle": "steady", "busy": "no", "classes": ["probe"], "times": 2}),
            "of the timeline, got no",
        ),
        (slo_with(shares={"within": 0.1, "weights": [1, 1]}), "one weight a tenant, got 2 for 1 tenants"),
        ({"traffic": [{"persona": "probe", "rate_per_s": 1, "phases": ["night"]}]}, "of the timeline, got night"),
        ({"traffic": [{"persona": "probe", "trace": "none.txt", "phases": ["steady"]}]}, "a trace names its own times"),
        ({"timeline": [{"name": "a", "seconds": 0, "load": 1}]}, "timeline.0.seconds"),
        ({"timeline": [{"name": "a", "seconds": 5, "load": 1, "ramp": [1, 2]}]}, "exactly one of load, ramp, diurnal"),
        ({"timeline": [{"name": "a", "seconds": 5, "load": 1, "warm_up": True}]}, "must not be a warm-up"),
        ({"chaos": [{"at_s": 1, "kill": "generator"}]}, "chaos and slo.recovery_s must be given together"),
        ({"chaos": [{"at_s": 1, "kill": "everything"}]}, "chaos.0.kill"),
        ({"personas": {"catalogue": {"skus": [5, 2]}}}, "a range must be"),
        ({"personas": {"designer": {"touch_ups": 1.5}}}, "personas.designer.touch_ups: .* less than or equal to 1"),
        (
            {"traffic": [DESIGNERS], "personas": {"designer": {"touch_ups": 0.1, "clips": 1}}},
            "missing click, clip, cutout, shot, touchup, upload",
        ),
        ({"traffic": [DESIGNERS], "personas": {"designer": {"clips": 0}}}, "missing click, cutout, shot, upload"),
        (slo_with(classes=dict.fromkeys(("probe", "clip"), PROBES["slo"]["classes"]["probe"])), "not have: clip"),
    ],
)
def test_a_wrong_scenario_is_refused_with_exit_code_2(
    write: Callable[..., str], fields: dict[str, Any], rule: str
) -> None:
    path = write(**fields)
    with pytest.raises(Refused, match=rule):
        load_scenario(path)
    result = call(path, "--host", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert result.stderr.startswith("packshot: scenario ")
    assert "at least 1 item" not in result.stderr


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "\t"])
def test_what_is_no_scenario_at_all_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        parse(text, "x", tmp_path)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--host", "http://10.0.0.7:8000"], "--i-own-this-host"),
        (["--host", "http://example.org"], "--i-own-this-host"),
        (["--host", "ftp://127.0.0.1"], "must be a URL"),
        (["--host", "127.0.0.1:8000"], "must be a URL"),
        (["--host", "http://127.0.0.1:99999"], "must be a URL"),
        (["--host", "http://[::1"], "must be a URL"),
        (["--out", "/dev/null/report"], "--out must be a writable folder"),
        (["--host", "http://127.0.0.1:1"], "must be reachable"),
        (["--load", "-1"], "--load"),
    ],
)
def test_a_host_that_may_not_or_cannot_be_loaded_is_refused_with_exit_code_2(
    write: Callable[..., str], options: list[str], rule: str
) -> None:
    result = call(write(), *options)
    assert result.exit_code == 2
    assert rule in result.stderr


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:8000", "http://localhost:8000/", "https://[::1]:8443", "http://127.9.9.9"]
)
def test_loopback_hosts_need_no_word(host: str) -> None:
    assert check_host(host, owned=False) == host.rstrip("/")


def test_a_host_of_ones_own_may_be_loaded() -> None:
    assert check_host("https://packshot.example.org", owned=True) == "https://packshot.example.org"


def test_a_certificate_that_is_not_trusted_is_refused(write: Callable[..., str], tmp_path: Path) -> None:
    import socket
    import ssl
    import threading

    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=shake_hands)
        thread.start()
        result = call(write(), "--host", f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 2
    assert "certificate" in result.stderr


def self_signed(folder: Path) -> tuple[Path, Path]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"


def test_faults_are_for_a_cluster_of_ones_own() -> None:
    result = call("faults", "--host", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "faults are injected only into a cluster that this command starts" in result.stderr


def test_the_scenarios_are_listed_with_their_timelines() -> None:
    result = call("scenarios")
    assert result.exit_code == 0
    for name in scenario_names():
        assert f"{name}: " in result.stdout
