"""The store: one thread-safe object with a member for each part. It is pickled as its arguments and then reopens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from packshot.errors import Unavailable
from packshot.settings import Settings
from packshot.store.adapters import Adapters
from packshot.store.asset_root import AssetRoot
from packshot.store.assets import Assets
from packshot.store.audit import Audit
from packshot.store.budgets import Budgets
from packshot.store.catalogue_photos import CataloguePhotos
from packshot.store.catalogue_work import CatalogueWork
from packshot.store.catalogues import Catalogues
from packshot.store.clips import Clips
from packshot.store.clusters import Clusters
from packshot.store.database import Database, sqlite_file
from packshot.store.deletion import Deletions
from packshot.store.delivered import DeliveredFiles
from packshot.store.fingerprints import Fingerprints
from packshot.store.images import Images
from packshot.store.keys import Keys
from packshot.store.lookalikes import Lookalikes
from packshot.store.masks import Masks
from packshot.store.migrate import check, migrate
from packshot.store.outbound import Outbound
from packshot.store.photos import Photos
from packshot.store.postgresql import ConnectionLimits
from packshot.store.projects import Projects
from packshot.store.queue import Queue
from packshot.store.references import AssetReferences
from packshot.store.retention import HOUR_S, Retention
from packshot.store.reviews import Reviews
from packshot.store.sessions import Sessions
from packshot.store.shares import Shares
from packshot.store.shots import Shots
from packshot.store.snapshots import Snapshots
from packshot.store.styles import Styles
from packshot.store.tenants import Tenants
from packshot.store.training_work import TrainingWork
from packshot.store.trainings import Trainings
from packshot.store.uploads import Uploads
from packshot.store.usage import Usage
from packshot.store.webhooks import Webhooks


class Store:
    """Durable state in one database and one asset root.

    `database_url` is a SQLite or PostgreSQL URL. `assets` is the asset root. `settings` gives limits and times; None
    uses the defaults. Raises Unavailable `schema_mismatch` when the database has another version's schema.

    Members: `tenants`, their `keys` and `deletions`, and the `sessions` of browsers; `photos`, their `masks` and
    `uploads`; `shots` for clients and `queue` for workers; finished `images`, their `reviews`, the `shares` by
    which others see them, the files `delivered` of them and their `clips`; the `fingerprints` of pictures and
    files, and the search for `lookalikes` among them; `projects`, `styles` and `adapters`; `catalogues` and
    `catalogue_photos` for clients, `catalogue_work` for their producer; `webhooks`, and what is `outbound` to them;
    the `audit` trail of all this; `assets`, the files, and their `asset_root`; `retention`, which deletes old data;
    `snapshots`, which one process takes for all; `database`, which all of them use.
    """

    def __init__(self, database_url: str, assets: Assets, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self.database = database = Database(database_url, ConnectionLimits.of(settings))
        self.assets = assets
        references = AssetReferences(database, assets)
        self.clusters = Clusters(database)
        self.tenants = Tenants(database)
        self.keys = Keys(database)
        self.sessions = Sessions(database, self.keys)
        self.photos = Photos(database, references)
        self.masks = Masks(database, references, candidate_lifetime_s=settings.candidate_mask_hours * HOUR_S)
        self.uploads = Uploads(database, assets)
        self.deletions = Deletions(database, assets, references, self.photos)
        self.shots = Shots(database, references, max_queued=settings.max_queued_shots)
        self.images = Images(database)
        self.reviews = Reviews(database)
        self.shares = Shares(database)
        self.delivered = DeliveredFiles(database, references)
        self.clips = Clips(database)
        self.fingerprints = Fingerprints(database)
        self.lookalikes = Lookalikes(self.fingerprints)
        self.catalogues = Catalogues(database)
        self.catalogue_photos = CataloguePhotos(database, references)
        self.catalogue_work = CatalogueWork(database)
        self.projects = Projects(database)
        self.styles = Styles(database, references)
        self.adapters = Adapters(database, references)
        self.trainings = Trainings(database, references, budget_s=settings.training_budget_s)
        self.training_work = TrainingWork(
            database,
            references,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            budget_s=settings.training_budget_s,
        )
        self.queue = Queue(
            database,
            references,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            max_outage_s=settings.max_outage_s,
        )
        self.snapshots = Snapshots(database)
        self.usage = Usage(database)
        self.budgets = Budgets(database)
        self.webhooks = Webhooks(database)
        self.outbound = Outbound(database)
        self.asset_root = root = AssetRoot(database, assets)
        days = settings.retention_days
        self.audit = Audit(database, days=settings.audit_days)
        self.retention = Retention(
            database,
            assets,
            root,
            references,
            self.photos,
            self.sessions,
            self.uploads,
            self.webhooks,
            self.audit,
            default_days=days,
        )
        try:
            check(database.engine)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_settings(cls, settings: Settings, *, uses_files: bool = True) -> Store:
        """Open the store that the settings name. Creates its folders and upgrades its schema to this version's.

        `uses_files` claims the asset root; without it, only rows may be used. Raises BadInput `bad_usage` when the root
        is another database's, its bucket does not exist or its credentials are refused, and Unavailable when the
        database or the object store does not answer.
        """
        settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = sqlite_file(settings.store_url)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        assets = Assets(settings.asset_root, settings.max_asset_bytes)
        migrate(settings.store_url)
        store = cls(settings.store_url, assets, settings)
        try:
            if uses_files:
                store.asset_root.claim()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Write what waits for the audit trail, and close every database connection."""
        audit = getattr(self, "audit", None)  # None in a store that could not be opened
        if audit is not None:
            with suppress(Unavailable, SQLAlchemyError):
                audit.reads.flush()
        self.database.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.database.url, self.assets, self.settings)
