"""`python -m cluster.kube.bake PACK FOLDER`: a fetched pack as a folder that holds its files, for an image to carry."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from packshot.models.packs.pack import MANIFEST, Pack, find_pack
from packshot.settings import Settings


def bake(pack: Pack, folder: Path) -> Path:
    """Copy manifest and files to `folder`/NAME, as PACKSHOT_PACK_PATH finds them.
    Raises PackRefused for a missing file."""
    pack.fetch()
    target = folder / pack.name
    target.mkdir(parents=True)
    shutil.copyfile(pack.folder / MANIFEST, target / MANIFEST)
    for role, spec in pack.manifest.roles.items():
        for file in spec.files:
            found = pack.locate(role, file)
            assert found is not None, "fetch has brought it"
            copy = target / file if spec.source is None else target / role / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, copy)
    return target


if __name__ == "__main__":
    name, into = sys.argv[1:]
    print(bake(find_pack(name, Settings()), Path(into)))
