"""`.ci/install-tools`: which Chromium it asks apt-get for. Scripts stand for apt-get, apt-cache and sudo."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / ".ci/install-tools"
USED = ("bash", "env", "mktemp", "rm", "tail")
OTHERS = ("promtool", "pg_ctl", "exiftool", "redis-server", "pgbouncer")
SHELL = "chromium-headless-shell"


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def asked(folder: Path, present: tuple[str, ...], *, known: bool = True, fails: bool = False) -> tuple[str, str]:
    """(the last words of apt-get's last call, what was said) where only `present` and the other tools are installed.

    `known` is whether apt-get knows the headless shell's package; with `fails` it installs nothing.
    """
    for name in USED:
        (folder / name).symlink_to(shutil.which(name) or "")
    for name in (*OTHERS, *present):
        script(folder, name, "")
    script(folder, "sudo", 'exec "$@"')
    script(folder, "apt-cache", f"exit {0 if known else 100}")
    script(folder, "apt-get", f'echo "$*" >> {folder}/calls; exit {100 if fails else 0}')
    command = [str(folder / "bash"), str(INSTALL), "--sudo"]
    done = subprocess.run(command, env={**os.environ, "PATH": str(folder)}, capture_output=True, text=True, check=True)
    calls = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else [""]
    return calls[-1].rpartition("recommends ")[2], done.stderr


@pytest.mark.parametrize(
    ("present", "known", "package"),
    [
        ((), True, SHELL),
        ((), False, "chromium"),
        (("chromium",), True, SHELL),
        ((SHELL,), True, ""),
        (("chromium", SHELL), True, ""),
    ],
)
def test_the_headless_shell_is_installed_where_there_is_a_package(
    tmp_path: Path, present: tuple[str, ...], known: bool, package: str
) -> None:
    assert asked(tmp_path, present, known=known)[0] == package


def test_only_a_program_without_which_tests_are_skipped_is_told_as_missing(tmp_path: Path) -> None:
    for name, present in (("none", ()), ("chromium", ("chromium",))):
        (folder := tmp_path / name).mkdir()
        told = asked(folder, present, fails=True)[1]
        assert ("NOT INSTALLED" in told) == (not present), told
