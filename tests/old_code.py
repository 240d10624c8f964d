"""The code of an earlier commit, from the repository's history."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def old_code(folder: Path, commit: str) -> Path:
    """Write the tree of `commit` to `folder`, and return it.

    Where the checkout lacks the history, the test is skipped; with PACKSHOT_REQUIRE_HISTORY=1, as in CI, it fails.
    """
    archive = folder / "old.tar"
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "-o", str(archive), commit], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = f"this checkout's history lacks {commit}: {done.stderr.strip()}; run git fetch --unshallow"
        if os.environ.get("PACKSHOT_REQUIRE_HISTORY"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    archive.unlink()
    return folder
