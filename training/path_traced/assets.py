"""What the renderer needs from outside, kept in a cache folder beside no source: objects, HDRIs, fonts, and Blender
as a wheel.

`python -m training.path_traced assets` fetches Debian packages through apt and unpacks them without installing.
`python -m training.path_traced setup` makes a virtual environment with bpy. Both skip what is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

PACKAGES = ("sweethome3d-furniture", "blender-data")
FONT_PACKAGES = (
    "fonts-lato",
    "fonts-quicksand",
    "fonts-ebgaramond",
    "fonts-bebas-neue",
    "fonts-roboto-slab",
    "fonts-lobster",
    "fonts-comfortaa",
    "fonts-cabin",
)
BPY_REQUIREMENTS = ("bpy==4.5.15", "OpenEXR==3.5.3")
PYTHON = "python3.11"
"""bpy 4.5 exists for this Python alone."""
TEXTURES = ("grass", "gravel", "brick")


@dataclass(frozen=True)
class Cache:
    """The folders under one root; PACKSHOT_RENDER_CACHE names it, ~/.cache/packshot-render is the default."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        return cls(Path(os.environ.get("PACKSHOT_RENDER_CACHE", "~/.cache/packshot-render")).expanduser())

    @property
    def catalogues(self) -> Path:
        return self.root / "assets/usr/share/sweethome3d/furniture"

    @property
    def hdris(self) -> Path:
        return self.root / "assets/usr/share/blender/datafiles/studiolights/world"

    @property
    def textures(self) -> Path:
        return self.root / "textures"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def python(self) -> Path:
        return self.root / "bpy/bin/python"

    def archives(self) -> list[Path]:
        return sorted(self.catalogues.glob("*.sh3f"))

    def fonts(self) -> list[Path]:
        """Upright text fonts, sorted by name."""
        found = (self.root / "assets/usr/share/fonts").rglob("*")
        kept = [
            p
            for p in found
            if p.suffix in (".ttf", ".otf")
            and not any(w in p.name for w in ("Italic", "Hairline", "Thin", "Initials", "VF", "SC"))
        ]
        return sorted(kept, key=lambda path: path.name)

    def check(self) -> None:
        """Raise FileNotFoundError, with the command that helps, where something is missing."""
        for path, command in (
            (self.python, "setup"),
            (self.catalogues, "assets"),
            (self.hdris, "assets"),
            (self.textures / "grass.png", "assets"),
        ):
            if not path.exists():
                raise FileNotFoundError(f"{path} must exist; run `python -m training.path_traced {command}` first")


def fetch(cache: Cache) -> None:
    """Download and unpack the packages, and write scikit-image's photographs of grounds."""
    unpack(cache, (*PACKAGES, *FONT_PACKAGES))
    _write_textures(cache.textures)


def unpack(cache: Cache, names: Sequence[str]) -> None:
    """Download Debian packages with apt (no root needed), and unpack them into `assets` without installing."""
    packages = cache.root / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not list(packages.glob(f"{name}_*.deb")):
            subprocess.run(["apt-get", "download", name], cwd=packages, check=True)
        for path in packages.glob(f"{name}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(path), str(cache.root / "assets")], check=True)


def _write_textures(folder: Path) -> None:
    import skimage.data

    folder.mkdir(parents=True, exist_ok=True)
    for name in TEXTURES:
        cv2.imwrite(str(folder / f"{name}.png"), getattr(skimage.data, name)())


def setup(cache: Cache) -> None:
    """A virtual environment with Blender in it (about 1 GB)."""
    interpreter = shutil.which(PYTHON)
    if interpreter is None:
        raise FileNotFoundError(f"bpy needs {PYTHON} on the PATH, got none; install Python 3.11")
    if not cache.python.exists():
        subprocess.run([interpreter, "-m", "venv", str(cache.root / "bpy")], check=True)
    subprocess.run([str(cache.python), "-m", "pip", "install", "--quiet", *BPY_REQUIREMENTS], check=True)
