"""The terms of a pack's licence: who may use it for what, and whether the settings accept that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, field_validator, model_validator

from packshot.contract.engines import LicenceTerms
from packshot.errors import PackRefused

if TYPE_CHECKING:
    from packshot.models.packs.manifest import PackManifest
    from packshot.settings import Settings


class Terms(LicenceTerms):
    """The `terms` of a manifest. YAML reads a bare yes and no as booleans, so those are taken too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("commercial", mode="before")
    @classmethod
    def _bare_yes(cls, value: object) -> object:
        return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _bounded(self) -> Terms:
        if self.revenue_usd is not None and self.commercial != "limited":
            raise ValueError(f"revenue_usd is a bound of commercial: limited, got commercial: {self.commercial}")
        if self.commercial == "limited" and self.revenue_usd is None and not self.restrictions:
            raise ValueError("commercial: limited must state its bound, as `revenue_usd` or in `restrictions`")
        return self


def with_terms(manifest: Any) -> Any:
    """The manifest's content with `terms`; the older form `commercial: true` or `false` is read as them."""
    if not isinstance(manifest, dict) or "commercial" not in manifest:
        return manifest
    if "terms" in manifest:
        raise ValueError("state `terms` or the older `commercial`, not both")
    rest = {key: value for key, value in manifest.items() if key != "commercial"}
    return rest | {"terms": {"commercial": manifest["commercial"]}}


def said(terms: LicenceTerms) -> str:
    """The terms in words, for a table."""
    words = {
        "yes": "commercial use allowed",
        "no": "non-commercial use only",
        "limited": "commercial use within limits",
    }[terms.commercial]
    if terms.revenue_usd is not None:
        words = f"commercial use up to {terms.revenue_usd:,} USD revenue a year"
    more = [name for name in ("attribution", "disclosure") if getattr(terms, name)]
    return "; ".join([words, *(f"{name} required" for name in more), *filter(None, [terms.restrictions])])


def check_licence(manifest: PackManifest, settings: Settings) -> None:
    """Refuse a pack whose terms the settings do not accept. Raises PackRefused (pack_licence)."""
    terms, name = manifest.terms, manifest.name
    if terms.commercial == "yes" or settings.accept_noncommercial:
        return
    if terms.commercial == "no":
        detail = f"the licence must allow commercial use, pack {name!r} has {manifest.licence}; "
        raise PackRefused("pack_licence", f"{detail}set PACKSHOT_ACCEPT_NONCOMMERCIAL=true to accept it")
    if name not in (part.strip() for part in settings.accept_limited.split(",")):
        detail = f"the licence of pack {name!r} ({manifest.licence}) has limits: {said(terms)}; "
        raise PackRefused("pack_licence", f"{detail}if they hold for you, set PACKSHOT_ACCEPT_LIMITED={name}")


__all__ = ["Terms", "check_licence", "said", "with_terms"]
