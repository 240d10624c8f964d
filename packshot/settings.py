"""Settings: one row each (name, default, sentence), read from `PACKSHOT_*` in the environment.

`packshot.settings.rows()` feeds the table in docs/operator.md; a test holds the two together.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
"""The only hosts on which open access may be on."""
MINUTES_S = 60.0


class Settings(BaseSettings):
    """Everything an operator may set. Byte counts are bytes, durations seconds, sizes pixels, as the names say."""

    model_config = SettingsConfigDict(env_prefix="PACKSHOT_", extra="ignore", frozen=True)

    # Where things live
    home: Path = Field(Path("~/.packshot"), description="Folder of the database, the assets and the pack cache.")
    database_url: str = Field("", description="SQLAlchemy URL of the store; empty = SQLite in `home`.")
    assets_url: str = Field("", description="fsspec URL of the assets; empty = a folder in `home`.")

    # Models
    pack: str = Field("mini", description="The pack that this cluster serves.")
    pack_path: str = Field("", description="More folders that hold packs, separated by the system's path separator.")
    offline: bool = Field(True, description="Never ask the model hub; weights must be on disk or in the cache.")
    accept_noncommercial: bool = Field(False, description="Allow packs whose licence forbids commercial use.")
    device: str = Field("auto", description="Torch device of the models: auto, cpu, cuda.")
    dtype: str = Field("auto", description="Arithmetic of the models: auto, fp32, bf16, fp16.")
    embedding_cache_bytes: int = Field(256 * MIB, ge=0, description="Embeddings kept by each encoder replica, bytes.")

    # What gets in
    max_body_bytes: int = Field(32 * MIB, gt=0, description="Largest request body, bytes; over it: 413.")
    max_photo_px: int = Field(50_000_000, gt=0, description="Most pixels of an uploaded photo.")
    max_photo_side_px: int = Field(10_000, gt=0, description="Longest side of an uploaded photo, pixels.")
    decode_timeout_s: float = Field(10.0, gt=0, description="Time to decode one photo, seconds.")
    decode_workers: int = Field(
        1, ge=1, description="Worker processes that decode photos, per replica that decodes (gateway or photo_decoder)."
    )
    max_prompt_chars: int = Field(2_000, gt=0, description="Longest prompt, characters.")
    max_images: int = Field(8, gt=0, description="Most images of one shot.")
    max_layers: int = Field(16, gt=0, description="Most layers of one shot.")

    # Who gets in
    open_access: bool = Field(False, description="Serve without keys as tenant `local`; loopback hosts only.")

    # Shots
    max_queued_shots: int = Field(1_000, gt=0, description="Waiting shots per tenant; over it: 429.")
    lease_s: float = Field(30.0, gt=0, description="How long a claim on a shot holds without a heartbeat, seconds.")
    heartbeat_s: float = Field(10.0, gt=0, description="Time between a director's heartbeats, seconds.")
    max_attempts: int = Field(3, ge=1, description="Tries of a shot before it fails.")
    shot_timeout_s: float = Field(30 * MINUTES_S, gt=0, description="Longest run of one shot, seconds.")
    poll_s: float = Field(5.0, gt=0, description="Time between looks for shots whose caller died, seconds.")

    # What is kept
    candidate_mask_hours: float = Field(24.0, gt=0, description="Hours that an unused mask is kept.")
    retention_days: float = Field(0.0, ge=0, description="Days that a tenant's things are kept; 0 = for ever.")
    max_asset_bytes: int = Field(0, ge=0, description="Assets on disk, bytes; over it: 507; 0 = no limit.")

    @cached_property
    def home_dir(self) -> Path:
        return self.home.expanduser()

    @property
    def store_url(self) -> str:
        """The database that is in force."""
        return self.database_url or f"sqlite:///{self.home_dir / 'packshot.sqlite'}"

    @property
    def asset_root(self) -> str:
        """The asset root that is in force."""
        return self.assets_url or (self.home_dir / "assets").as_uri()

    @property
    def pack_cache_dir(self) -> Path:
        return self.home_dir / "packs"


def rows() -> list[tuple[str, str, str]]:
    """(environment variable, default, sentence) of every setting, in order."""
    return [
        (f"PACKSHOT_{name.upper()}", str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
