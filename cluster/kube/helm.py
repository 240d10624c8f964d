"""Makes a Helm chart of a built overlay: the same objects, in which some values are replaced by `{{ .Values… }}`.

The profile and the components stay the only source, so the chart is made and not kept. A test renders it with its
default values and compares it with the overlay. Only plain values are replaced, and the settings, which are a map. So
the chart needs of Go's templates `.Values.path`, string literals, and the functions of SETTINGS and SETTINGS_HASH.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

import packshot
from cluster.kube.build import KUBERNETES, Manifest
from cluster.kube.rayservice import NAME, Dumper
from packshot.errors import BadInput

Keys = tuple[str | int, ...]
IMAGES = {f"{NAME}-cpu": "cpu", f"{NAME}-cuda": "cuda", "nginx-unprivileged": "nginx", "redis": "redis"}
"""Last part of an image's name -> the key of its value."""
SETTINGS = "{{ .Values.settings | toYaml | nindent 2 }}"
SETTINGS_HASH = "{{ .Values.settings | toYaml | sha256sum | trunc 10 }}"
"""A change of settings changes the name of their ConfigMap and so makes a new cluster, as kustomize's suffix does."""
LEFT_OUT = ("Namespace",)
"""Kinds that the chart leaves to `kubectl apply -f k8s/base/namespace.yaml`: Helm must not own its own namespace."""
HEADER = "# Rendered from {source} by `python -m cluster.kube chart`; do not edit.\n"
HASH_SUFFIX = re.compile(r"-[a-z0-9]{10}$")
"""What kustomize adds to the name of a generated ConfigMap."""


def chart(manifests: list[Manifest], source: str) -> dict[str, str]:
    """The chart of an overlay's manifests: the text of each file by its path in the chart's folder.

    `source` names the overlay in the files' first line.
    """
    values: dict[str, Any] = {}
    files = {}
    for one in manifests:
        if one["kind"] in LEFT_OUT:
            continue
        text = _template(one, values)
        name = HASH_SUFFIX.sub("", one["metadata"]["name"]) if one["kind"] == "ConfigMap" else one["metadata"]["name"]
        files[f"templates/{one['kind'].lower()}-{name}.yaml"] = HEADER.format(source=source) + text
    files["values.yaml"] = HEADER.format(source=source) + VALUES_HEADER + _dump(values)
    files["values.schema.json"] = json.dumps(_schema_of(values), indent=2) + "\n"
    files["Chart.yaml"] = HEADER.format(source=source) + _dump(
        {
            "apiVersion": "v2",
            "name": NAME,
            "description": "Packshot on Ray Serve, for clusters with KubeRay's operator.",
            "type": "application",
            "version": packshot.__version__,
            "appVersion": packshot.__version__,
            "kubeVersion": f">={KUBERNETES[0]}.0-0",
        }
    )
    return files


VALUES_HEADER = """# images: whole references with digests. Digests of zeros are placeholders that no registry has.
# settings: PACKSHOT_* (docs/operator.md); a change makes a new cluster. Secrets are not values (docs/kubernetes.md).
# pools: the most nodes of each pool. Everything else comes from the profile; another profile needs a chart of its own.
"""


def write_chart(manifests: list[Manifest], source: str, folder: Path) -> list[Path]:
    """Write the chart into a new folder, and return its files. Raises BadInput when the folder exists."""
    if folder.exists():
        raise BadInput("bad_usage", f"the chart's folder must not exist, got {folder}; remove it or name another one")
    written = []
    for path, text in chart(manifests, source).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        written.append(file)
    return written


def _template(manifest: Manifest, values: dict[str, Any]) -> str:
    """One object as a template. The values that it names are added to `values`."""
    taken: dict[str, str] = {}  # token -> the action that replaces it

    def put(keys: tuple[str, ...], value: Any) -> str:
        """Note a value under its keys, and return the token that stands for it."""
        place = values
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
        action = "{{ .Values." + ".".join(keys) + " }}"
        token = f"TOKEN{len(taken)}END"
        taken[token] = f'"{action}"' if isinstance(value, str) else action
        return token

    settings = manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith(f"{NAME}-settings")
    if settings:
        values["settings"] = dict(manifest["data"])
    template = _replaced(manifest, (), manifest["kind"], put)
    if settings:
        template["data"] = "TOKENSETTINGS"
        taken["TOKENSETTINGS"] = SETTINGS
    text = _dump(template).replace("{{", '{{ "{{" }}')
    for token, action in taken.items():
        text = text.replace(token, action)
    return text.replace("TOKENHASH", SETTINGS_HASH)


def _replaced(node: Any, path: Keys, kind: str, put: Callable[[tuple[str, ...], Any], str]) -> Any:
    """A copy of the node, in which tokens stand for values."""
    if isinstance(node, dict):
        pool = node.get("groupName")
        copy = {key: _replaced(child, (*path, key), kind, put) for key, child in node.items()}
        if pool is not None:
            copy["maxReplicas"] = put(("pools", pool, "maxNodes"), node["maxReplicas"])
        return copy
    if isinstance(node, list):
        return [_replaced(child, (*path, index), kind, put) for index, child in enumerate(node)]
    if path and path[-1] == "image":
        key = IMAGES[str(node).partition("@")[0].rpartition("/")[2].partition(":")[0]]
        return put(("images", key), node)
    if kind == "HTTPRoute" and path[:2] == ("spec", "hostnames"):
        return put(("host",), node)
    if kind == "HTTPRoute" and path[:2] == ("spec", "parentRefs"):
        return put(("gateway", str(path[-1])), node)
    if isinstance(node, str) and node.startswith(f"{NAME}-settings-") and path[-1] == "name":
        return f"{NAME}-settings-TOKENHASH"
    return node


def _schema_of(values: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema that refuses misspelt keys. Settings are open: the application knows its own."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_typed(values)}


def _typed(value: Any, key: str = "") -> dict[str, Any]:
    if key == "settings":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if isinstance(value, dict):
        # Helm adds the values `global` and those of subcharts at the top.
        inner = {name: _typed(child, name) for name, child in value.items()}
        extra: dict[str, Any] = {"global": {"type": "object"}} if not key else {}
        return {"type": "object", "additionalProperties": False, "properties": inner | extra, "required": [*inner]}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 1}
    return {"type": "string", "minLength": 1}


def _dump(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, width=110)
