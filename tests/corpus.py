"""Download Pillow's test images, malformed ones included, from its source distribution on the package index.

    python -m tests.corpus        # into .cache/pillow-src/, once, for the installed version of Pillow

`tests/unit/imaging/test_corpus.py` decodes them. It is skipped with a reason when they are not downloaded.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "pillow-src"


def archive() -> Path:
    """The path of the installed Pillow's source distribution, downloaded or not."""
    return FOLDER / f"pillow-{version('pillow')}.tar.gz"


def fetch() -> Path:
    """Download the source distribution. pip builds only its metadata, which takes about ten seconds."""
    if archive().exists():
        return archive()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        python = Path(sys.executable)
        if find_spec("pip") is None:  # an environment made without pip: borrow one
            venv.create(Path(scratch) / "venv", with_pip=True)
            python = Path(scratch) / "venv" / "bin" / "python"
        wanted = f"pillow=={version('pillow')}"
        command: list[str | Path] = [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-binary",
            "pillow",
            "--no-deps",
            "--dest",
            scratch,
            wanted,
        ]
        subprocess.run(command, check=True, timeout=300)
        (found,) = Path(scratch).glob("pillow-*.tar.gz")
        partial = archive().with_suffix(".partial")
        partial.write_bytes(found.read_bytes())
        partial.rename(archive())
    return archive()


def images() -> dict[str, bytes]:
    """The bytes of every file under Tests/images of the downloaded archive, by name and in name order."""
    with tarfile.open(archive()) as tar:
        files = {}
        for member in tar:
            if member.isfile() and "/Tests/images/" in member.name:
                stream = tar.extractfile(member)
                if stream is not None:
                    files[member.name.split("/Tests/images/", 1)[1]] = stream.read()
    return dict(sorted(files.items()))


if __name__ == "__main__":
    print(fetch())
