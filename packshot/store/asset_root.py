"""The tie between a database and its asset root: a marker in the root holds the database's id.

Without it, a server would take another server's files for its own orphans and delete them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from sqlalchemy import select

from packshot.errors import BadInput, PackshotError, Unavailable
from packshot.store.assets import MARKER, Assets
from packshot.store.database import Database, insert
from packshot.store.schema import asset, store_state

SAMPLE = 20
"""How many known files are looked for in a root without a marker. One of them is enough."""


class AssetRoot:
    """The asset root of a database. `claim` marks it; `is_own` says whether files in it may be deleted."""

    def __init__(self, database: Database, assets: Assets) -> None:
        self._database = database
        self._assets = assets

    def claim(self) -> None:
        """Mark the root as this database's, or check that it is marked so.

        A root without a marker is this database's when it holds a file that the database knows, or when neither has
        any. Raises BadInput `bad_usage` for a root of another database, a bucket that does not exist and credentials
        that are not accepted, and Unavailable when the object store does not answer.
        """
        with self._explained():
            own_id = self._database_id()
            owner = self._owner()
            if owner is None:
                self._refuse_foreign_files(own_id)
                with suppress(FileExistsError):  # another process was first, or one died while it wrote
                    self._assets.write_marker(json.dumps({"database": own_id}) + "\n")
                owner = self._owner()
        if owner != own_id:
            raise self._refusal(f"holds the files of the database {owner or 'unknown'}", own_id)

    def is_own(self) -> bool:
        """Whether the root's marker names this database. Raises what the object store raises."""
        return self._owner() == self._database_id()

    def _database_id(self) -> str:
        """The database's own id, which is made when it is first asked for."""
        with self._database.read() as connection:
            known = connection.execute(select(store_state.c.value).where(store_state.c.name == "id")).scalar()
        if known is not None:
            return str(known)
        with self._database.write() as connection:
            row = insert(connection, store_state).values(name="id", value=uuid4().hex)
            connection.execute(row.on_conflict_do_nothing())
        return self._database_id()

    def _owner(self) -> str | None:
        """The id in the marker; "" when the marker cannot be read, and None when there is no marker."""
        text = self._assets.read_marker()
        if not text:
            return None
        try:
            return str(json.loads(text)["database"])
        except (ValueError, TypeError, KeyError):
            return ""

    def _refuse_foreign_files(self, own_id: str) -> None:
        known = select(asset.c.key).where(asset.c.refs > 0, asset.c.bytes > 0)
        with self._database.read() as connection:
            sample = connection.execute(known.order_by(asset.c.created_at.desc()).limit(SAMPLE)).scalars().all()
        if sample and not any(self._assets.exists(key) for key in sample):
            raise self._refusal("has none of the files that this database knows", own_id)
        if not sample and self._assets.has_content():
            raise self._refusal("holds files that this database does not know", own_id)

    def _refusal(self, found: str, own_id: str) -> BadInput:
        return BadInput(
            "bad_usage",
            f"PACKSHOT_ASSETS_URL must be this database's own asset root, but {self._assets.root_url} {found}; set it "
            f"to the root that goes with this database. If the two do belong together, write "
            f'{{"database": "{own_id}"}} into {MARKER} there',
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert the object store's refusals of a wrong bucket or wrong credentials."""
        root = self._assets.root_url
        try:
            yield
        except PackshotError:
            raise
        except FileNotFoundError as error:
            raise BadInput(
                "bad_usage",
                f"PACKSHOT_ASSETS_URL must name a bucket that exists, got {root} ({error}); make it or correct the URL",
            ) from error
        except OSError as error:
            raise BadInput(
                "bad_usage",
                f"the credentials must allow to list, read, write and delete in PACKSHOT_ASSETS_URL, but {root} refused"
                f" ({type(error).__name__}: {error}); correct the credentials or the bucket's policy",
            ) from error
        except Exception as error:
            raise Unavailable(
                "not_ready",
                f"the object store of PACKSHOT_ASSETS_URL must answer, but {root} gave {type(error).__name__}: {error};"
                " check the endpoint, the network and the credentials",
            ) from error
