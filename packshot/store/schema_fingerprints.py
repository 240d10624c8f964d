"""The table of fingerprints, by which pictures are found again after they were encoded, resized or cropped."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table

from packshot.store.schema_base import ID, metadata, tenant_column

# One row for each stored picture and each delivered file. It goes with the picture.
fingerprint = Table(
    "fingerprint",
    metadata,
    # Processes that keep the hashes in memory read the rows after the last one that they have.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    tenant_column(),
    Column("image_id", ID, ForeignKey("image.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("file_id", String(80), nullable=False, unique=True),  # the picture's id, or that of the file made of it
    # Empty = the picture is too plain to be told from others. NULL = so said a version that had no prints of products.
    Column("hashes", LargeBinary),
    Column("sketch", LargeBinary),
)
