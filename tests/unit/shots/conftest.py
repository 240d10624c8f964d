"""A store on SQLite, and shots of a product in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.imaging.codec import encode_bilevel_png, encode_png
from packshot.settings import Settings
from packshot.store.records import NewMask
from packshot.store.store import Store
from tests.migrated import migrated_home
from tests.specs import spec_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=migrated_home(tmp_path), heartbeat_s=0.2, lease_s=20)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store.from_settings(settings)
    yield store
    store.close()


@pytest.fixture
def spec_for(store: Store) -> Callable[..., ShotSpec]:
    tenant = store.tenants.local().id
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    photo = store.photos.add(
        tenant, png=encode_png(pixels), width=80, height=60, format="png", bytes=1, sha256="0" * 64
    )
    mask = np.zeros((60, 80), np.uint8)
    mask[10:50, 20:60] = 255
    (kept,) = store.masks.add(tenant, photo.id, [NewMask(0.9, 1600, (20, 10, 60, 50), encode_bilevel_png(mask))])

    def request(**changes: Any) -> ShotSpec:
        fields = {"canvas": Canvas(128, 128), "layers": (LayerSpec(mask_id=kept.id, scale=0.5),), "prompt": "x"}
        fields |= {"images": 2, "seed": 5, "guidance_scale": 2.0, "shadow": Shadow("contact")}
        return spec_of(**{**fields, **changes})

    return request
