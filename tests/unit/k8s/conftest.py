"""The shipped overlays, built once; those of the components that none of them includes, in folders made for the session."""

import copy
from pathlib import Path

import pytest
import yaml

from cluster.kube.build import build

ROOT = Path(__file__).parents[3]
WITHOUT_OVERLAY = {"incremental-upgrade", "gpu-sharing"}
"""Components for clusters that have what production does not ask for: Gateway API with Istio, MIG."""


@pytest.fixture(scope="session")
def overlays(tmp_path_factory):
    """Name -> manifests: dev, production, and production with each optional component."""
    built = {name: build(ROOT / "k8s/overlays" / name) for name in ("dev", "production")}
    for component in WITHOUT_OVERLAY:
        folder = tmp_path_factory.mktemp(component)
        up = Path(*[".."] * (len(folder.resolve().parts) - 1))
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": "packshot",
                    "resources": [str(up / str(ROOT / "k8s/overlays/production").lstrip("/"))],
                    "components": [str(up / str(ROOT / "k8s/components" / component).lstrip("/"))],
                }
            )
        )
        built[component] = build(folder)
    return built


@pytest.fixture
def production(overlays):
    """A copy that a test may break."""
    return copy.deepcopy(overlays["production"])
