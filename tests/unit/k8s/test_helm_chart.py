"""The Helm chart, rendered by the subset of Go's templates in go_templates.py, has kustomize's objects."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.kube import rules, schemas
from cluster.kube.__main__ import main
from cluster.kube.build import Manifest, build
from cluster.kube.helm import chart
from packshot.settings import Settings
from tests.unit.k8s.go_templates import render

ROOT = Path(__file__).parents[3]
SETTINGS_NAME = re.compile(r"packshot-settings-[a-z0-9]{10}")


@pytest.fixture(scope="module")
def files(overlays: dict[str, list[Manifest]]) -> dict[str, str]:
    return chart(copy.deepcopy(overlays["production"]), "k8s/overlays/production")


@pytest.fixture
def values(files: dict[str, str]) -> dict[str, Any]:
    """The chart's default values, which a test may change."""
    return yaml.safe_load(files["values.yaml"])


def rendered(files: dict[str, str], values: dict[str, Any]) -> dict[str, Manifest]:
    """Kind and name -> object. The settings' ConfigMap has the name without its hash."""
    found = {}
    for path, text in files.items():
        if path.startswith("templates/"):
            (one,) = yaml.safe_load_all(SETTINGS_NAME.sub("packshot-settings", render(text, values)))
            found[key(one)] = one
    return found


def key(one: Manifest) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def objects(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Kustomize's objects, as `rendered` has the chart's, without the namespace, which Helm does not own."""
    text = SETTINGS_NAME.sub("packshot-settings", yaml.safe_dump_all(manifests))
    return {key(one): one for one in yaml.safe_load_all(text) if one["kind"] != "Namespace"}


def test_with_its_default_values_the_chart_has_the_overlays_objects(
    files: dict[str, str], values: dict[str, Any], overlays: dict[str, list[Manifest]]
) -> None:
    found, wanted = rendered(files, values), objects(overlays["production"])
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert found[name] == one, name


def test_other_values_give_what_the_overlay_of_the_pages_gives(
    files: dict[str, str], values: dict[str, Any], tmp_path: Path
) -> None:
    """The kustomization "mine" of docs/kubernetes.md, with one setting and one bound more."""
    block = re.search(
        r"^```yaml\n# mine/kustomization.yaml\n(.*?)^```", (ROOT / "docs/kubernetes.md").read_text(), re.M | re.S
    )
    assert block is not None
    digest = "sha256:" + "1a" * 32
    up = Path(*[".."] * (len(tmp_path.resolve().parts) - 1), str(ROOT).lstrip("/"))
    mine = yaml.safe_load(block[1].replace("sha256:…", digest).replace("../k8s", f"{up}/k8s"))
    mine["configMapGenerator"] = [
        {"name": "packshot-settings", "behavior": "merge", "literals": ["PACKSHOT_RETENTION_DAYS=30"]}
    ]
    pools = "/spec/rayClusterConfig/workerGroupSpecs/2/maxReplicas"
    mine["patches"].append(
        {"target": {"kind": "RayService"}, "patch": yaml.safe_dump([{"op": "replace", "path": pools, "value": 4}])}
    )
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(mine))

    values["images"] = {
        name: f"registry.mine/{image}@{digest}"
        for name, image in {
            "cpu": "packshot-cpu",
            "cuda": "packshot-cuda",
            "nginx": "nginx-unprivileged",
            "redis": "redis",
        }.items()
    }
    values["host"] = "packshot.mine.example"
    values["settings"]["PACKSHOT_RETENTION_DAYS"] = "30"
    values["pools"]["paint"]["maxNodes"] = 4
    assert rendered(files, values) == objects(build(tmp_path))


def test_a_change_of_settings_changes_their_name_and_so_makes_a_new_cluster(
    files: dict[str, str], values: dict[str, Any]
) -> None:
    def names() -> set[str]:
        return {name for path, text in files.items() for name in SETTINGS_NAME.findall(render(text, values))}

    before = names()
    values["settings"]["PACKSHOT_RETENTION_DAYS"] = "30"
    assert len(before) == len(names()) == 1
    assert before != names()


def test_the_rendered_chart_fits_the_schemas(files: dict[str, str], values: dict[str, Any]) -> None:
    for one in rendered(files, values).values():
        assert list(schemas.faults(one)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"imagse": {}}, "imagse"),
        ({"host": ""}, "should be non-empty|too short"),
        ({"pools": {"cpu": {"maxNodes": "many"}}}, "many"),
        ({"settings": {"PACKSHOT_RETENTION_DAYS": 30}}, "30"),
    ],
)
def test_helms_own_schema_refuses_misspelt_values(
    files: dict[str, str], values: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    schema = json.loads(files["values.schema.json"])
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError, match=told):
        jsonschema.validate(values | change, schema)


def test_the_chart_says_what_it_is(files: dict[str, str], overlays: dict[str, list[Manifest]]) -> None:
    about = yaml.safe_load(files["Chart.yaml"])
    assert about["apiVersion"] == "v2"
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert about["kubeVersion"] == ">=1.32.0-0"
    known = {f"PACKSHOT_{name.upper()}" for name in Settings.model_fields}
    settings = yaml.safe_load(files["values.yaml"])["settings"]
    assert {name for name in settings if name.startswith("PACKSHOT_")} <= known
    assert not rules.of_kind(overlays["production"], "Secret")


@pytest.mark.parametrize(
    "action", ['{{ include "x" . }}', "{{ if .Values.host }}", "{{ .Values.nothing }}", "{{ .Values.host | upper }}"]
)
def test_an_action_outside_the_subset_is_an_error(values: dict[str, Any], action: str) -> None:
    with pytest.raises(ValueError, match=r"subset|among the values"):
        render(action, values)


def test_braces_that_are_grafanas_stay(values: dict[str, Any]) -> None:
    assert render('legend {{ "{{" }}deployment}}', values) == "legend {{deployment}}"


def test_the_command_writes_the_chart_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from packshot.errors import BadInput

    folder = tmp_path / "packshot"
    assert main(["chart", str(folder)]) == 0
    assert (folder / "Chart.yaml").is_file()
    assert len(list((folder / "templates").iterdir())) > 25
    with pytest.raises(BadInput, match="must not exist"):
        main(["chart", str(folder)])
