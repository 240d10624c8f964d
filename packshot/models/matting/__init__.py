"""Matting networks: the alpha of a product along its mask's border, for hair and fur too.

The role `matting` of a pack is optional. Without it `packshot.imaging.matting` solves in closed form.
"""

from __future__ import annotations

from packshot.models.matting.vitmatte import VitMatte, load_matting

__all__ = ["VitMatte", "load_matting"]
