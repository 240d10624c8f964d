"""`python -m cluster.kube.bake PACK FOLDER`: fetches a pack and copies its files into a folder, for an image."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from packshot.models.packs.pack import MANIFEST, Pack, find_pack
from packshot.settings import Settings


def bake(pack: Pack, folder: Path) -> Path:
    """Copy the pack's manifest and files to `folder`/NAME, in the layout that PACKSHOT_PACK_PATH expects.

    Returns the new folder. Raises PackRefused when a file cannot be fetched.
    """
    pack.fetch()
    target = folder / pack.name
    target.mkdir(parents=True)
    shutil.copyfile(pack.folder / MANIFEST, target / MANIFEST)
    for role in pack.roles:
        spec = pack.role(role)
        for file in spec.files:
            found = pack.locate(role, file)
            assert found is not None, "fetch() has fetched every file"
            copy = target / file if spec.source is None else target / role / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, copy)
    return target


if __name__ == "__main__":
    name, into = sys.argv[1:]
    print(bake(find_pack(name, Settings()), Path(into)))
