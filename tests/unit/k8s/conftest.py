"""The shipped overlays, built once; those of the components that none of them includes,
in folders made for the session."""

import copy
from pathlib import Path

import pytest
import yaml

from cluster.kube.build import Manifest, build

ROOT = Path(__file__).parents[3]
WITHOUT_OVERLAY = {"incremental-upgrade", "gpu-sharing", "outside-probe", "eks", "gke", "signing"}
"""Components for clusters that have what production does not ask for: Istio, MIG, a blackbox exporter, a cloud."""


@pytest.fixture(scope="session")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Name -> manifests: dev, production, production with each optional component, and production under a load test."""
    built = {name: build(ROOT / "k8s/overlays" / name) for name in ("dev", "production")}
    beside = {name: {"components": [f"k8s/components/{name}"]} for name in WITHOUT_OVERLAY}
    for name, more in (beside | {"loadtest": {"resources": ["loadtest/k8s"]}}).items():
        folder = tmp_path_factory.mktemp(name)
        up = Path(*[".."] * (len(folder.resolve().parts) - 1))
        resources = ["k8s/overlays/production", *more.get("resources", [])]
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": "packshot",
                    "resources": [str(up / str(ROOT / path).lstrip("/")) for path in resources],
                    "components": [str(up / str(ROOT / path).lstrip("/")) for path in more.get("components", [])],
                }
            )
        )
        built[name] = build(folder)
    return built


@pytest.fixture
def production(overlays: dict[str, list[Manifest]]) -> list[Manifest]:
    """A copy that a test may break."""
    return copy.deepcopy(overlays["production"])
