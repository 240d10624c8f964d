"""The C2PA manifest of a delivered file: what it says, how it is signed, and how it is read back.

    file ──Builder(manifest), signed bytes──> file with a manifest ──Reader──> C2paFound

A manifest says that Packshot made the file, of which digital source type it is, which photos are in it, whether an
engine painted the product, and whether the scene has a watermark. It names no tenant, no shot, no prompt and no file.
Nothing here opens the network, except a time stamp that an operator asks for.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from packshot.delivery.metadata import Origin
from packshot.imaging.decoding.formats import sniff

if TYPE_CHECKING:
    from c2pa import Context, Signer

__all__ = ["SOURCE_TYPES", "C2paFound", "embed_manifest", "manifest_of", "read_manifest"]

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED, PLAIN = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia", f"{SOURCE_TYPES}humanEdits"
"""The source types of a painted scene with a photographed product, and of a product on a plain background."""
WHOLLY_GENERATED = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
"""The source type of a picture in which no pixel is a photo's."""

_EXPIRED = "signingCredential.expired"
_MIME = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_PHOTO = {"title": "product photo", "format": "image/png", "relationship": "componentOf"}
_SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False, "verify_trust": True},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class C2paFound:
    """What a file's C2PA manifest says, by this machine's clock.

    `present` says that there is a manifest, and `valid` that its signature and its hash of the file hold. `signer` is
    the organisation, or else the name, that its certificate states. `trusted` says that the certificate's chain ends in
    one of the given anchors. `instance_id` and `source_type` are the manifest's; None = it has none. `expired` says
    that signature and hash hold, and that only the certificate is not valid now.
    """

    present: bool = False
    valid: bool = False
    signer: str | None = None
    trusted: bool = False
    instance_id: str | None = None
    source_type: str | None = None
    expired: bool = False


def manifest_of(origin: Origin, *, generated: bool, source_type: str | None) -> str:
    """The manifest of a file as c2pa's builder takes it, JSON.

    `source_type` is what the file's XMP says. A channel may ask for a word of its own there. C2PA asks for a URI, so
    the manifest then has the URI of what the picture is.
    """
    usual = (WHOLLY_GENERATED if origin.whole else GENERATED) if generated else PLAIN
    uri = source_type if source_type and source_type.startswith(SOURCE_TYPES) else usual
    agent = {"name": "Packshot", "version": origin.version}
    actions: list[dict[str, Any]] = [{"action": "c2pa.created", "digitalSourceType": uri, "softwareAgent": agent}]
    if origin.product == "generated":
        actions[0] |= {"description": origin.credit, "parameters": {"packshot.product": origin.product}}
    labels = [f"photo-{number}" for number in range(len(origin.photo_ids))]
    if labels:
        actions.append({"action": "c2pa.placed", "parameters": {"ingredientIds": labels}})
    if origin.mark is not None:
        actions.append({"action": "c2pa.watermarked.unbound"})
    ingredients = [
        {"label": label, "instance_id": one, **_PHOTO} for label, one in zip(labels, origin.photo_ids, strict=True)
    ]
    return json.dumps(
        {
            "claim_generator_info": [agent],
            "instance_id": origin.instance_id,
            "ingredients": ingredients,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }
    )


def embed_manifest(data: bytes, media_type: str, manifest: str, signer: Signer) -> bytes:
    """The file with the manifest in it, signed. Raises c2pa's C2paError as the library does."""
    from c2pa import Builder

    signed = io.BytesIO()
    with Builder(manifest, context=_context("")) as builder:
        builder.sign(signer, media_type, io.BytesIO(data), signed)
    return signed.getvalue()


def read_manifest(data: bytes, anchors: str = "") -> C2paFound:
    """What the manifest of a file says. `anchors` are trusted certificates as PEM.

    A file that is no JPEG, PNG or WebP has none. A manifest that cannot be read is present and not valid. The parser is
    native code: call this where untrusted bytes are decoded.
    """
    from c2pa import C2paError, Reader

    media_type = _MIME.get(sniff(data) or "")
    if media_type is None:
        return C2paFound()
    try:
        with Reader(media_type, io.BytesIO(data), context=_context(anchors)) as reader:
            state = reader.get_validation_state()
            active = reader.get_active_manifest() or {}
            checks = reader.get_validation_results() or {}
    except C2paError.ManifestNotFound:
        return C2paFound()
    except C2paError:
        return C2paFound(present=True)
    signature = active.get("signature_info") or {}
    return C2paFound(
        present=True,
        valid=state in ("Valid", "Trusted"),
        signer=signature.get("issuer") or signature.get("common_name"),
        trusted=state == "Trusted",
        instance_id=active.get("instance_id"),
        source_type=_source_type(active),
        expired=_expired(checks),
    )


def _expired(checks: dict[str, Any]) -> bool:
    """Whether the certificate's dates are all that is wrong, besides that nobody here trusts it."""
    failed = {str(one.get("code")) for one in (checks.get("activeManifest") or {}).get("failure", ())}
    return _EXPIRED in failed and failed <= {_EXPIRED, "signingCredential.untrusted"}


def _source_type(manifest: dict[str, Any]) -> str | None:
    for assertion in manifest.get("assertions", ()):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", ()):
                if found := action.get("digitalSourceType"):
                    return str(found)
    return None


@cache
def _context(anchors: str) -> Context:
    """c2pa's context for building and reading, with these trusted certificates (PEM)."""
    from c2pa import Context

    trust = {"trust": {"user_anchors": anchors}} if anchors else {}
    return Context.from_dict({**_SETTINGS, **trust})
