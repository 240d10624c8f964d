"""The Jobs of a load test inside Kubernetes: their parts agree with one another and with the command line."""

from pathlib import Path
from typing import Any

import yaml
from typer.core import TyperGroup
from typer.main import get_command

from loadtest.run.generator_process import MASTER_PORT
from loadtest.scenarios.scenario import load_scenario
from packshot.cli.loadtest import app

FOLDER = Path(__file__).parents[3] / "loadtest/k8s"


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (document["kind"], document["metadata"]["name"]): document
        for file in ("runner.yaml", "workers.yaml", "networkpolicy.yaml")
        for document in yaml.safe_load_all((FOLDER / file).read_text())
    }


def container(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["template"]["spec"]["containers"][0]


def test_the_jobs_agree_on_workers_names_and_ports() -> None:
    found = documents()
    runner, workers = found["Job", "packshot-loadtest"], found["Job", "packshot-loadtest-workers"]
    service = found["Service", "packshot-loadtest"]
    count = workers["spec"]["parallelism"]
    assert workers["spec"]["completions"] == count
    assert f"--workers={count}" in container(runner)["args"]
    assert container(workers)["args"] == [f"--master={service['metadata']['name']}"]
    assert [port["port"] for port in service["spec"]["ports"]] == [MASTER_PORT]
    assert service["spec"]["selector"].items() <= runner["spec"]["template"]["metadata"]["labels"].items()
    assert runner["spec"]["backoffLimit"] == workers["spec"]["backoffLimit"] == 0


def test_the_jobs_pass_options_that_the_command_has() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    commands = group.commands
    known = {option for parameter in commands["run"].params for option in parameter.opts}
    runner = container(documents()["Job", "packshot-loadtest"])
    assert {argument.partition("=")[0] for argument in runner["args"] if argument.startswith("--")} <= known
    assert runner["command"] == ["packshot", "loadtest"]
    workers = container(documents()["Job", "packshot-loadtest-workers"])
    assert workers["command"] == ["packshot", "loadtest", "worker"]


def test_the_mounted_scenario_is_sound_and_harms_nobody() -> None:
    scenario = load_scenario(str(FOLDER / "scenario.yaml"))
    assert scenario.chaos == ()
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert kustomization["configMapGenerator"] == [{"name": "packshot-loadtest", "files": ["scenario.yaml"]}]
    mounts = {
        mount["name"]: mount["mountPath"]
        for mount in container(documents()["Job", "packshot-loadtest"])["volumeMounts"]
    }
    assert mounts["scenario"] == "/scenario"


def test_no_pod_runs_as_root_or_may_become_it() -> None:
    for (kind, _), job in documents().items():
        if kind == "Job":
            assert job["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
            assert container(job)["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
