"""The calls about catalogues: what each sends, and how its answer is read."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from packshot.client.call import Call, Options, nothing, reading
from packshot.contract.catalogue import DryRunAnswer, FeedKind, Manifest
from packshot.contract.catalogue_answers import (
    CatalogueAnswer,
    CataloguePage,
    PhotosZipAnswer,
    PutPhotoAnswer,
    RowsPage,
)
from packshot.contract.status import RowState

__all__ = ["Change", "ManifestFile"]

Change = Literal["start", "pause", "resume", "cancel", "retry"]


class ManifestFile:
    """A manifest as it is sent: its bytes with their media type, and for a CSV sheet the `look`, YAML or JSON.

    `media_type` is application/yaml, application/json or text/csv. `photos` are the files at hand, by their paths, with
    (width, height) in pixels or None: a row that names another path has the problem `photo_missing`. None says nothing
    of them.
    """

    def __init__(
        self,
        data: bytes,
        media_type: str = "application/yaml",
        *,
        look: bytes | None = None,
        photos: Mapping[str, tuple[int, int] | None] | None = None,
    ) -> None:
        self.data, self.media_type, self.look, self.photos = data, media_type, look, photos

    @classmethod
    def of(cls, manifest: Manifest | ManifestFile) -> ManifestFile:
        """The manifest as JSON; a file stays as it is."""
        if isinstance(manifest, ManifestFile):
            return manifest
        return cls(manifest.model_dump_json(exclude_unset=True).encode(), "application/json")

    def options(self, **params: str) -> Options:
        """What httpx sends."""
        query: Mapping[str, str | list[str]] = dict(params)
        if self.look is not None or self.photos is not None:
            name = "sheet" if self.media_type == "text/csv" else "manifest"
            parts = {name: self.data}
            if self.look is not None:
                parts["look"] = self.look
            if self.photos is not None:
                parts["photos"] = json.dumps(self.photos).encode()
            types = {name: self.media_type, "look": "application/octet-stream", "photos": "application/json"}
            files = {part: (part, io.BytesIO(data), types[part]) for part, data in parts.items()}
            return Options(params=query, files=files)
        return Options(params=query, content=self.data, headers={"content-type": self.media_type})


def plan(manifest: ManifestFile) -> Call[DryRunAnswer]:
    return Call("POST", "/v1/catalogues", reading(DryRunAnswer), manifest.options(dry_run="1"))


def create(manifest: ManifestFile, on_problem: Literal["refuse", "skip"]) -> Call[CatalogueAnswer]:
    return Call("POST", "/v1/catalogues", reading(CatalogueAnswer), manifest.options(on_problem=on_problem))


def catalogues() -> Call[CataloguePage]:
    return Call("GET", "/v1/catalogues", reading(CataloguePage))


def catalogue(catalogue_id: str) -> Call[CatalogueAnswer]:
    return Call("GET", f"/v1/catalogues/{catalogue_id}", reading(CatalogueAnswer))


def rows(catalogue_id: str, state: RowState | None) -> Call[RowsPage]:
    params = {"limit": "1000", **({"state": state} if state else {})}
    return Call("GET", f"/v1/catalogues/{catalogue_id}/rows", reading(RowsPage), Options(params=params))


def put_photo(catalogue_id: str, path: str, data: bytes) -> Call[PutPhotoAnswer]:
    options = Options(params={"path": path}, content=data, headers={"content-type": "application/octet-stream"})
    return Call("PUT", f"/v1/catalogues/{catalogue_id}/photos", reading(PutPhotoAnswer), options)


def link_photo(catalogue_id: str, path: str, sha256: str) -> Call[PutPhotoAnswer]:
    options = Options(params={"path": path, "sha256": sha256})
    return Call("PUT", f"/v1/catalogues/{catalogue_id}/photos", reading(PutPhotoAnswer), options)


def put_archive(catalogue_id: str, data: bytes) -> Call[PhotosZipAnswer]:
    options = Options(content=data, headers={"content-type": "application/zip"})
    return Call("POST", f"/v1/catalogues/{catalogue_id}/photos.zip", reading(PhotosZipAnswer), options)


def change(catalogue_id: str, to: Change, version: int | None, params: Mapping[str, str]) -> Call[CatalogueAnswer]:
    options = Options(params=params, headers={} if version is None else {"if-match": f'"{version}"'})
    return Call("POST", f"/v1/catalogues/{catalogue_id}/{to}", reading(CatalogueAnswer), options)


def manifest(catalogue_id: str) -> Call[None]:
    return Call("GET", f"/v1/catalogues/{catalogue_id}/manifest.csv", nothing)


def archive(catalogue_id: str) -> Call[None]:
    return Call("GET", f"/v1/catalogues/{catalogue_id}/archive.zip", nothing)


def feed(catalogue_id: str, kind: FeedKind, published_at: str, presets: Sequence[str]) -> Call[None]:
    params: dict[str, str | list[str]] = {"published_at": published_at}
    if presets:
        params["preset"] = list(presets)
    return Call("GET", f"/v1/catalogues/{catalogue_id}/feeds/{kind}", nothing, Options(params=params))
