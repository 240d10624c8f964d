"""Validates manifests against schemas: Kubernetes' (package kubernetes-validate), KubeRay's CRD, and our own.

Our own schemas cover kinds whose CRDs are in no package (k8s/schemas/*.yaml). An unknown field is a fault, because the
API server would drop it without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from cluster.kube.build import KUBERNETES, MANIFESTS, Manifest

SCHEMAS = MANIFESTS / "schemas"
CUSTOM = {
    "ray.io/v1": "rayservice-kuberay-1.7.0.json",
    "gateway.networking.k8s.io/v1": "gateway-api-v1.yaml",
    "monitoring.coreos.com/v1": "prometheus-operator-v1.yaml",
}

RAY_JOB = "rayjob-kuberay-1.7.0.json"
"""What a RayJob has besides its cluster, whose schema is that of a RayService."""


def faults(manifest: Manifest) -> Iterator[str]:
    """The violations of the manifest's schema, one line each."""
    name = f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}"
    if manifest.get("apiVersion") in CUSTOM:
        for error in _validator(manifest["apiVersion"], manifest["kind"]).iter_errors(manifest):
            yield f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        return
    for release in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: Kubernetes {release}: {'.'.join(map(str, error.path))}: {error.message[:300]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{name}: Kubernetes {release}: {error.message}"


@cache
def _validator(api_version: str, kind: str) -> jsonschema.Draft202012Validator:
    text = (SCHEMAS / CUSTOM[api_version]).read_text()
    schema = json.loads(text) if CUSTOM[api_version].endswith(".json") else yaml.safe_load(text)[kind]
    if kind == "RayJob":
        cluster = schema["properties"]["spec"]["properties"]["rayClusterConfig"]
        schema = json.loads((SCHEMAS / RAY_JOB).read_text())
        schema["properties"]["spec"]["properties"]["rayClusterSpec"] = cluster
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """OpenAPI's structural schema as a JSON Schema that refuses unknown fields, unless the schema preserves them."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = {key: _strict(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict)
    if named and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict["additionalProperties"] = False
    return strict
