"""The settings, read from `PACKSHOT_*` environment variables. Each has a name, a default and a description.

docs/operator.md holds the table that `packshot.settings.rows()` returns; a test compares the two.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
"""The hosts on which open access is allowed."""
MINUTES_S = 60.0


class Settings(BaseSettings):
    """Everything that an operator can configure. The suffix of a name is its unit (`_bytes`, `_s`, `_px`)."""

    model_config = SettingsConfigDict(env_prefix="PACKSHOT_", extra="ignore", frozen=True)

    # Storage locations
    home: Path = Field(Path("~/.packshot"), description="Folder of the database, the assets and the pack cache.")
    database_url: str = Field("", description="SQLAlchemy URL of the store; empty = SQLite in `home`.")
    database_pool_size: int = Field(
        5, ge=1, description="PostgreSQL connections that a process keeps open; a director has one."
    )
    database_pool_overflow: int = Field(
        5, ge=0, description="More connections that a process opens while it needs them, directors excepted."
    )
    database_connect_timeout_s: int = Field(
        2, ge=2, description="Longest wait for a PostgreSQL connection to open, to be free or to answer, whole seconds."
    )
    database_statement_timeout_s: float = Field(
        30.0, ge=0, description="Longest wait for a statement on PostgreSQL, seconds; 0 = no limit."
    )
    database_prepare: bool = Field(
        True, description="Let PostgreSQL keep plans of repeated statements; off behind an old PgBouncer."
    )
    database_listen: bool = Field(
        True, description="Let each gateway and one director hold connections that hear of changes at once."
    )
    assets_url: str = Field("", description="fsspec URL of the assets; empty = a folder in `home`.")

    # Models
    pack: str = Field("mini", description="The pack of this cluster's only engine.")
    engines: str = Field(
        "", description="Packs of several engines, as mini,sdxl; the first is the default; empty = the one of `pack`."
    )
    segmenter: str = Field(
        "", description="Pack of the segmenter, the matting and the geometry; empty = the default engine's."
    )
    pack_path: str = Field("", description="More folders that hold packs, separated by the system's path separator.")
    controls: str = Field(
        "",
        description="Conditions besides canny that the engine loads, as depth,normal; empty = the pack's own; none.",
    )
    references: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Follow the scenes of reference pictures: on where a pack can, off, or as its manifest says.",
    )
    offline: bool = Field(True, description="Never contact the model hub; weights must be on disk or in the cache.")
    accept_noncommercial: bool = Field(False, description="Allow packs whose licence forbids commercial use.")
    accept_limited: str = Field(
        "", description="Packs whose limits of commercial use hold for you, separated by commas; others are refused."
    )
    device: str = Field("auto", description="Torch device of the models: auto, cpu or cuda.")
    dtype: str = Field("auto", description="Number format of the models: auto, fp32, bf16 or fp16.")
    text_encoder_device: Literal["auto", "cpu"] = Field(
        "auto",
        description="Where a flow-matching engine's text encoder runs: auto, on the engine's device, or cpu.",
    )
    call_timeout_s: float = Field(
        120.0,
        gt=0,
        description="Longest model call before it counts as hung, seconds; slow devices and first calls get more.",
    )
    start_timeout_s: float = Field(
        300.0, gt=0, description="Longest start of a local cluster, the loading of its models included, seconds."
    )
    gpu_gib: float = Field(
        0.0, ge=0, description="Memory that the plan assumes for each GPU here, GiB; a smaller one is refused; 0 = any."
    )
    adapter_cache_bytes: int = Field(
        256 * MIB, ge=0, description="Memory for adapters that each generator keeps on its device, bytes."
    )
    embedding_cache_bytes: int = Field(
        256 * MIB, ge=0, description="Size of each encoder replica's embedding cache, bytes."
    )

    # Remote engines
    remote_key: SecretStr = Field(SecretStr(""), description="Key of a remote engine's vendor; from a secret.")
    remote_key_file: str = Field(
        "", description="File with that key, read at each call; or a folder with one named after each remote pack."
    )

    # Signing of delivered files
    signing_certificate: str = Field(
        "", description="Chain of the signing certificate, PEM; empty (and no file) = a development certificate."
    )
    signing_certificate_file: str = Field("", description="File with that chain.")
    signing_key: SecretStr = Field(SecretStr(""), description="Its private key, PEM; from a secret.")
    signing_key_file: str = Field("", description="File with that key.")
    signing_hook: str = Field(
        "", description="module:callable that signs bytes instead, with a key that stays in a key service."
    )
    signing_timestamp_url: str = Field(
        "", description="Time stamp server (RFC 3161) that is asked for each delivered file; empty = none."
    )

    # Request limits
    max_body_bytes: int = Field(32 * MIB, gt=0, description="Largest other request body, bytes; more gets 413.")
    max_photo_bytes: int = Field(96 * MIB, gt=0, description="Largest body of a photo's upload, bytes; more gets 413.")
    max_photo_px: int = Field(
        50_000_000, gt=0, description="Most pixels of a photo; a JPEG of up to four times as many is read reduced."
    )
    max_photo_side_px: int = Field(10_000, gt=0, description="Longest side of a photo, pixels; of a JPEG, as read.")
    decode_timeout_s: float = Field(10.0, gt=0, description="Processor time allowed to decode one photo, seconds.")
    decode_workers: int = Field(
        1, ge=1, description="Worker processes that decode photos, per replica that decodes (gateway or photo_decoder)."
    )
    max_prompt_chars: int = Field(2_000, gt=0, description="Longest prompt, characters.")
    max_images: int = Field(8, gt=0, description="Largest number of images of one shot.")
    max_layers: int = Field(16, gt=0, description="Largest number of layers of one shot.")
    max_streams: int = Field(
        128, gt=0, description="Event streams and held answers that a tenant may have at a gateway; the next gets 429."
    )

    max_zip_bytes: int = Field(
        512 * MIB, gt=0, description="Largest ZIP of a catalogue's photos, bytes; unpacked it may be twice as large."
    )
    max_adapter_bytes: int = Field(
        256 * MIB, gt=0, description="Largest body of an adapter's upload, bytes; more gets 413."
    )
    catalogue_photo_urls: str = Field(
        "",
        description="fsspec URL prefixes, separated by spaces, from which catalogues may read photos; empty = none.",
    )
    catalogue_route_urls: str = Field(
        "", description="fsspec URL prefixes, separated by spaces, under which catalogues may write; empty = none."
    )

    # Authentication
    open_access: bool = Field(False, description="Serve without keys as tenant `local`; loopback hosts only.")

    public_verify: int = Field(
        0, ge=0, description="Files that people without a key may ask about at POST /v1/verify, a minute and gateway."
    )

    # What an operator sees
    log_format: Literal["text", "json"] = Field(
        "text", description="Log lines: text, or json with one object a line on the standard output."
    )
    traces: str = Field(
        "off", description="Where spans go: off, otlp (packshot[otlp] and the OTEL_* variables), or a folder."
    )

    # Shots
    max_queued_shots: int = Field(1_000, gt=0, description="Waiting shots that a tenant may have; the next gets 429.")
    catalogue_window: int = Field(
        64, gt=0, description="Live shots that a tenant's catalogues may have; further rows wait outside the queue."
    )
    lease_s: float = Field(30.0, gt=0, description="How long a lease on a shot lasts without a heartbeat, seconds.")
    heartbeat_s: float = Field(10.0, gt=0, description="Time between a director's heartbeats, seconds.")
    max_attempts: int = Field(3, ge=1, description="Attempts at a shot before it fails.")
    max_outage_s: float = Field(
        3_600.0,
        ge=0,
        description="How long outages may hold up a shot before it fails with their code, seconds.",
    )
    shot_timeout_s: float = Field(30 * MINUTES_S, gt=0, description="Longest run of one shot, seconds.")
    poll_s: float = Field(5.0, gt=0, description="Time between polls for shots whose caller died, seconds.")

    # Trainings
    training_budget_s: float = Field(
        0.0, ge=0, description="Seconds of a device that a tenant's trainings may take in a month; 0 = no limit."
    )

    # Retention
    candidate_mask_hours: float = Field(24.0, gt=0, description="Hours after which an unused mask is deleted.")
    retention_days: float = Field(
        0.0, ge=0, description="Days after which ended shots and unused photos are deleted; 0 = never."
    )
    audit_days: float = Field(
        365.0, ge=0, description="Days after which lines of the audit trail are deleted; 0 = never."
    )
    max_asset_bytes: int = Field(
        0, ge=0, description="Largest total size of the assets, bytes; more gets 507; 0 = no limit."
    )

    redirect_downloads: bool = Field(
        False, description="Send clients to the bucket's signed URLs for photos and pictures, where it signs them."
    )

    @cached_property
    def home_dir(self) -> Path:
        return self.home.expanduser()

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the database: `database_url`, or SQLite in `home`."""
        return self.database_url or f"sqlite:///{self.home_dir / 'packshot.sqlite'}"

    @property
    def asset_root(self) -> str:
        """The fsspec URL of the assets: `assets_url`, or a folder in `home`."""
        return self.assets_url or (self.home_dir / "assets").as_uri()

    @property
    def pack_cache_dir(self) -> Path:
        return self.home_dir / "packs"


def rows() -> list[tuple[str, str, str]]:
    """(environment variable, default, description) of every setting, in the order of their declaration."""
    return [
        (f"PACKSHOT_{name.upper()}", str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
