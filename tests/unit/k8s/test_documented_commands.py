"""The commands of the pages for Kubernetes, as far as they can be held against anything without a cluster."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kube import rules
from cluster.kube.__main__ import main
from cluster.kube.build import Manifest, kubectl
from cluster.kube.pods import pods
from cluster.profiles import Profile, load_profile

ROOT = Path(__file__).parents[3]
PAGES = ("docs/kubernetes.md", "docs/kind.md", "docs/clouds.md", "docs/runbook.md")
NAMESPACES = {"packshot", "kuberay-system"}
HASH_OF_CONFIG_MAP = re.compile(r"(?<=configmap/packshot-settings)-[a-z0-9]{10}")
MADE_BY_KUBERAY = {"packshot-serve-svc", "packshot-head-svc"}


def commands(page: str) -> Iterator[str]:
    """Each command of the page's bash blocks: continued lines joined, pipes and substitutions taken apart."""
    for block in re.findall(r"^```bash\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            inner = re.findall(r"\$\(([^()]*)\)", line)
            for part in (line, *inner):
                for piece in re.split(r"(?<!\\)\|(?=\s)", part):
                    piece = re.sub(r"^[A-Z]+=\S*\$\(.*", "", piece.strip()).rstrip("&")
                    yield piece.split(" > ")[0].strip()


ALL = [command for page in PAGES for command in commands(page) if command and not command.startswith("#")]


def words(command: str) -> list[str]:
    return shlex.split(re.sub(r"\$\([^()]*\)", "made", command))


@pytest.mark.parametrize("command", sorted({one for one in ALL if one.startswith("kubectl ")}))
def test_kubectl_knows_the_command_and_its_flags(command: str) -> None:
    """With --help kubectl still refuses a flag that it does not know."""
    arguments = words(command)[1:]
    if "--" in arguments:
        arguments = arguments[: arguments.index("--")]
    done = subprocess.run([kubectl(), *arguments, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    verb = next(word for word in arguments if not word.startswith("-") and word not in NAMESPACES)
    assert f"kubectl {verb}" in done.stdout


def test_a_wrong_flag_would_be_found() -> None:
    done = subprocess.run([kubectl(), "wait", "--fro=x", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("command", sorted({one for one in ALL if " create secret " in one}))
def test_a_secret_is_made_as_the_manifests_ask_for_it(
    command: str, overlays: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    for name in ("store.env", *re.findall(r"--from-file=(\S+)", command)):
        (tmp_path / name).write_text("PACKSHOT_DATABASE_URL=postgresql://x\n")
    arguments = [word for word in words(command)[1:] if word != "--dry-run=client"]
    arguments = arguments[: arguments.index("-o")] if "-o" in arguments else arguments
    done = subprocess.run(
        [kubectl(), *arguments, "--dry-run=client", "-o", "name"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip().removeprefix("secret/")
    keys = {word.removeprefix("--from-literal=").split("=")[0] for word in arguments if "--from-literal" in word}
    wanted = asked_for([overlays["loadtest"], *signing()])
    assert name in wanted
    assert keys <= wanted[name] | {"auth_token"}  # the key that KubeRay reads


def signing() -> Iterator[Any]:
    """What the component `signing` adds, which no overlay has."""
    for row in yaml.safe_load((ROOT / "k8s/components/signing/kustomization.yaml").read_text())["patches"]:
        yield yaml.safe_load(row["patch"])


def asked_for(node: Any) -> dict[str, set[str]]:
    """Secret's name -> keys, wherever the manifests name one."""
    found: dict[str, set[str]] = {}
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        for name, keys in asked_for(child).items():
            found.setdefault(name, set()).update(keys)
    if isinstance(node, dict):
        for key in ("secretKeyRef", "secretRef", "credentials"):
            if isinstance(node.get(key), dict):
                found.setdefault(node[key]["name"], set()).add(node[key].get("key"))
        if "secretName" in node:
            found.setdefault(node["secretName"], set())
    return found


def test_every_secret_that_manifests_ask_for_is_made_on_the_page(overlays: dict[str, list[Manifest]]) -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    for name in asked_for([overlays["loadtest"], *signing()]):
        assert f"create secret generic {name} " in page, name


def test_what_commands_name_is_there(overlays: dict[str, list[Manifest]]) -> None:
    """Files of the repository, and objects that an overlay or KubeRay makes."""
    objects = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in overlays["loadtest"]}
    for command in ALL:
        for path in re.findall(r"(?<![\w/])(?:k8s|cluster)/[\w./-]+", command):
            assert (ROOT / path).exists(), command
        for kind, name in re.findall(r"\b(deployment|job|rayservice|service)/(packshot[\w-]*)", command):
            assert f"{kind}/{name}" in objects or name in MADE_BY_KUBERAY, command
    assert any("rayservice/packshot" in command for command in ALL)


def test_containers_that_commands_enter_exist(overlays: dict[str, list[Manifest]]) -> None:
    names = {pod.is_head: set[str]() for pod in pods(overlays["production"])}
    for pod in pods(overlays["production"]):
        if pod.kind == "RayService":
            names[pod.is_head] |= {container["name"] for container in pod.containers}
    for command in ALL:
        for name in re.findall(r" -c (\S+)", command):
            assert name in names['"$HEAD"' in command], command


def test_targets_that_docker_builds_exist() -> None:
    targets = set(re.findall(r"^FROM .+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    asked = {target for command in ALL for target in re.findall(r"--target (\S+)", command)}
    assert asked
    assert asked <= targets


@pytest.mark.parametrize("command", sorted({one for one in ALL if " -- packshot " in one}))
def test_packshot_knows_the_command(command: str) -> None:
    from typer.testing import CliRunner

    from packshot.cli import app

    arguments = words(command.split(" -- packshot ")[1])
    answer = CliRunner().invoke(app, [*arguments, "--help"])
    assert answer.exit_code == 0
    assert " ".join(arguments[:2]) in answer.output


def test_the_check_of_an_own_overlay_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [pod.yaml]\nnamespace: packshot\n")
    (folder / "pod.yaml").write_text("{apiVersion: v1, kind: Secret, metadata: {name: x}}")
    assert main(["check", str(folder)]) == 1
    assert "Secret/x must be created in the cluster" in capsys.readouterr().err
    assert main(["patch", "cluster/profiles/node.yaml"]) == 0
    assert "$patch: replace" in capsys.readouterr().out
    assert main(["chekc"]) == 2


def test_what_kubectl_says_on_the_page_for_kind_is_what_the_overlay_has(overlays: dict[str, list[Manifest]]) -> None:
    page = HASH_OF_CONFIG_MAP.sub("", (ROOT / "docs/kind.md").read_text())
    said = re.findall(r"^([\w.]+/[\w-]+) (?:created|unchanged)$", page, re.MULTILINE)
    wanted = set()
    for one in overlays["dev"]:
        group, _, _ = one["apiVersion"].rpartition("/")
        kind = one["kind"].lower() + (f".{group}" if group else "")
        wanted.add(HASH_OF_CONFIG_MAP.sub("", f"{kind}/{one['metadata']['name']}"))
    assert wanted <= set(said)
    assert set(said) - wanted == {"namespace/kuberay-system", "secret/ray-auth-token"}


def test_kuberays_operator_reaches_the_head_however_it_was_installed(overlays: dict[str, list[Manifest]]) -> None:
    """The labels of its pod in KubeRay 1.7.0: of the Helm chart, and of ray-operator/config/manager."""
    policies = rules.of_kind(overlays["dev"], "NetworkPolicy")
    (policy,) = [one for one in policies if one["metadata"]["name"] == "packshot-head"]
    (peer,) = policy["spec"]["ingress"][0]["from"]
    for name in ("kuberay-operator", "kuberay"):
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "kuberay-operator"}
        assert rules.selects(peer["podSelector"], labels)
    assert "kubectl create namespace kuberay-system" in (ROOT / "docs/kind.md").read_text()
    assert rules.selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": "kuberay-system"})


def test_the_pools_for_gke_are_pools_of_a_profile() -> None:
    """The page's snippet in the production profile: it is valid, and its nodes are selected by GKE's labels."""
    page = (ROOT / "docs/clouds.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    profile = load_profile("production")
    told = profile.model_dump() | {"pools": {**profile.model_dump()["pools"], **yaml.safe_load(block)}}
    pools = Profile.model_validate(told).pools
    assert pools["paint"].required_labels == {"cloud.google.com/gke-accelerator": ("nvidia-a100-80gb",)}
    assert pools["segment"].required_labels == {"cloud.google.com/gke-accelerator": ("nvidia-l4",)}


def test_relative_links_lead_somewhere() -> None:
    for page in [ROOT / path for path in PAGES] + sorted((ROOT / "k8s").rglob("README.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
