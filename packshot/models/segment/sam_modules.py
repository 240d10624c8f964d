"""segment_anything's networks, without what its package imports beside them.

`segment_anything/__init__.py` imports a predictor that nothing here uses, and with it torchvision and torch's compiler:
10 s of a replica's start. `segment_anything.modeling` needs torch alone, so it is loaded by its own path.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_NAME = "segment_anything.modeling"


def _load() -> None:
    package = importlib.util.find_spec("segment_anything")  # finds it, does not run it
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("segment_anything must be installed; run `make setup`", name="segment_anything")
    folder = Path(package.submodule_search_locations[0]) / "modeling"
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_NAME]
        raise


if _NAME not in sys.modules:
    _load()

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer  # noqa: E402
from segment_anything.modeling.image_encoder import Attention, get_rel_pos  # noqa: E402
from segment_anything.modeling.mask_decoder import MLP  # noqa: E402

__all__ = [
    "MLP",
    "Attention",
    "ImageEncoderViT",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TwoWayTransformer",
    "get_rel_pos",
]
