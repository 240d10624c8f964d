"""The signer of delivered files: from the settings to a checked certificate and a key that fits it.

    PACKSHOT_SIGNING_CERTIFICATE[_FILE] ──> Chain ─┐
    PACKSHOT_SIGNING_KEY[_FILE] or _HOOK ──────────┴──> Signer ──(file, media type, manifest)──> signed file

Without a certificate, a development certificate is made once in PACKSHOT_HOME. Whatever is wrong with certificate or
key is refused when the process starts, and not when the first file is delivered.
"""

from __future__ import annotations

import base64
import importlib
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packshot.contract.verdict import Finding
from packshot.delivery import certificates
from packshot.delivery.certificates import Chain, SignBytes, refuse_signing
from packshot.delivery.metadata import Origin
from packshot.delivery.provenance import embed_manifest, manifest_of, read_manifest
from packshot.errors import Unavailable
from packshot.settings import Settings

if TYPE_CHECKING:
    import c2pa

__all__ = ["DEVELOPMENT", "Signer", "load_signer", "signing_key_id", "trust_anchors"]

log = logging.getLogger(__name__)

DEVELOPMENT = "development"
"""The key id of every machine's development certificate."""
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows a time before this: Packshot did not sign files then."""
WARN_DAYS = 30
"""Days before its end from which a certificate is warned of."""
_PROBE = b"packshot: does this key sign?"
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel, which is signed and read back at the start."""


class Signer:
    """Signs files by one key. Its calls may come from several threads.

    `key_id` is the id of the key in recipes, and `finding` what a delivery says of the signature.
    """

    def __init__(self, chain: Chain, key_id: str, sign: SignBytes, timestamp_url: str = "") -> None:
        self.key_id = key_id
        self._starts, self._expires = chain.starts, chain.expires
        self._lock = threading.Lock()
        self._signer = _c2pa_signer(chain, sign, timestamp_url)
        self.finding = _finding(chain, key_id)

    def sign(self, data: bytes, media_type: str, origin: Origin, *, generated: bool, source_type: str | None) -> bytes:
        """The file with its signed C2PA manifest.

        Raises Unavailable `signing_unavailable` when the certificate is not valid by this machine's clock, or the key's
        service or the time stamp server does not answer.
        """
        from c2pa import C2paError

        now = datetime.now(UTC)
        clock = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
        if now > self._expires:
            rule = f"the signing certificate must not have expired, it ended on {self._expires:%Y-%m-%d} and {clock}"
            remedy = "renew it and restart, as docs/runbook.md says, or set the clock"
            raise Unavailable("signing_unavailable", f"{rule}; {remedy}")
        if now < self._starts:
            rule = f"the signing certificate must be valid already, it is from {self._starts:%Y-%m-%d} on and {clock}"
            raise Unavailable("signing_unavailable", f"{rule}; set the clock, and deliver again")
        manifest = manifest_of(origin, generated=generated, source_type=source_type)
        try:
            with self._lock:
                return embed_manifest(data, media_type, manifest, self._signer)
        except C2paError as error:
            rule = f"the signing key and its time stamp server must answer, they gave {str(error)[:200]!r}"
            raise Unavailable("signing_unavailable", f"{rule}; deliver again when they do") from error


def load_signer(settings: Settings) -> Signer:
    """The signer that the settings name, or that of the development certificate.

    Raises BadInput `signing_refused` when settings, certificate and key do not make a signature that C2PA accepts, or
    this machine's clock is before EARLIEST.
    """
    if (now := datetime.now(UTC)) < EARLIEST:
        rule = f"files must be signed by a clock that is right, so after {EARLIEST:%Y-%m-%d}"
        refuse_signing(rule, f"{now:%Y-%m-%d %H:%M} UTC", "set this machine's clock, by NTP for example")
    if (where := _certificate(settings)) is None:
        chain, key = _development(settings)
        log.info("delivered files are signed with a development certificate, which nobody trusts")
        return _checked(Signer(chain, DEVELOPMENT, key), chain)
    chain = certificates.read_chain(where.text, where.setting, datetime.now(UTC))
    if chain.expires < datetime.now(UTC) + timedelta(days=WARN_DAYS):
        log.warning("the signing certificate ends on %s; renew it as docs/runbook.md says", f"{chain.expires:%Y-%m-%d}")
    return _checked(Signer(chain, chain.key_id, _key(settings, chain), settings.signing_timestamp_url), chain)


def signing_key_id(settings: Settings) -> str:
    """The id of the key that signs. It needs the certificate, and not the key.

    Raises BadInput `signing_refused` as `load_signer` does for a certificate.
    """
    where = _certificate(settings)
    if where is None:
        return DEVELOPMENT
    return certificates.read_chain(where.text, where.setting, datetime.now(UTC)).key_id


def trust_anchors(settings: Settings) -> str:
    """The operator's own chain as PEM, by which this server's signatures are recognised."""
    where = _certificate(settings)
    return _development(settings)[0].pem if where is None else where.text


class _Text(NamedTuple):
    """A PEM text, and the setting that it comes from."""

    text: str
    setting: str


def _certificate(settings: Settings) -> _Text | None:
    found = _given("PACKSHOT_SIGNING_CERTIFICATE", settings.signing_certificate, settings.signing_certificate_file)
    key = settings.signing_key.get_secret_value() or settings.signing_key_file or settings.signing_hook
    if found is None and key:
        rule = "a signing key must come with its certificate, PACKSHOT_SIGNING_CERTIFICATE or _CERTIFICATE_FILE"
        refuse_signing(rule, "a key alone", "set the chain that was issued for it")
    return found


def _given(name: str, text: str, path: str) -> _Text | None:
    """What one of two settings gives: `name` the PEM itself, and `name`_FILE its file. None when both are empty."""
    if text and path:
        refuse_signing(f"{name} and {name}_FILE must not both be set", "both", "keep one")
    if text:
        return _Text(text, name)
    if not path:
        return None
    try:
        return _Text(Path(path).expanduser().read_text("ascii"), f"{name}_FILE")
    except (OSError, UnicodeDecodeError) as error:
        refuse_signing(f"{name}_FILE must name a PEM file that can be read", f"{path!r} ({error})", "correct the path")


def _key(settings: Settings, chain: Chain) -> SignBytes:
    given = _given("PACKSHOT_SIGNING_KEY", settings.signing_key.get_secret_value(), settings.signing_key_file)
    if (given is None) == (not settings.signing_hook):
        got = "none" if given is None else "both"
        rule = "a signing certificate needs PACKSHOT_SIGNING_KEY, _KEY_FILE or PACKSHOT_SIGNING_HOOK"
        refuse_signing(f"{rule}, and only one of them", got, "set one")
    if given is not None:
        return certificates.local_key(given.text, given.setting, chain)
    return _hook(settings.signing_hook, chain)


def _hook(name: str, chain: Chain) -> SignBytes:
    """The callable `module:name`, which takes the bytes to sign and returns their signature. It is tried once."""
    module, _, attribute = name.partition(":")
    try:
        found: Callable[[bytes], bytes] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        got = f"{name!r} ({error})"
        refuse_signing("PACKSHOT_SIGNING_HOOK must be module:callable on the Python path", got, "correct the name")
    try:
        signature = found(_PROBE)
    except Exception as error:  # noqa: BLE001 - whatever the key's service raises
        rule = "PACKSHOT_SIGNING_HOOK must sign, its first call raised"
        refuse_signing(rule, f"{type(error).__name__}: {error}", "check the key service and its permissions")
    if not isinstance(signature, bytes) or not certificates.fits(chain, _PROBE, signature):
        rule = "PACKSHOT_SIGNING_HOOK must sign with the key of the first certificate"
        refuse_signing(rule, "a signature that does not fit it", f"return that of {chain.algorithm} by this key")
    return found


def _development(settings: Settings) -> tuple[Chain, SignBytes]:
    now = datetime.now(UTC)
    pem, key = certificates.development_pem(settings.home_dir / "signing", now)
    chain = certificates.read_chain(pem, "the development certificate", now)
    return chain, certificates.local_key(key, "the development certificate", chain)


def _c2pa_signer(chain: Chain, sign: SignBytes, timestamp_url: str) -> c2pa.Signer:
    from c2pa import C2paError, C2paSigningAlg, Signer

    try:
        return Signer.from_callback(sign, C2paSigningAlg[chain.algorithm], chain.pem, timestamp_url or None)
    except C2paError as error:
        refuse_signing("C2PA must accept the signing certificate", f"its answer {str(error)!r}", "order another one")


def _checked(signer: Signer, chain: Chain) -> Signer:
    """The signer, after it has signed a picture of one pixel that C2PA's own reader finds valid."""
    origin = Origin(version="0", instance_id="xmp:iid:00000000-0000-0000-0000-000000000000")
    try:
        signed = signer.sign(_PIXEL, "image/png", origin, generated=False, source_type=None)
        found = read_manifest(signed, chain.pem)
        answer = "a signature that it finds invalid"
    except Unavailable as error:
        found, answer = None, error.detail
    if found is None or not found.valid:
        remedy = "check the extensions of the certificate, the key service and PACKSHOT_SIGNING_TIMESTAMP_URL"
        refuse_signing("C2PA must accept what the key signs", answer, remedy)
    return signer


def _finding(chain: Chain, key_id: str) -> Finding:
    if key_id == DEVELOPMENT:
        detail = "the file is signed with a development certificate, which nobody trusts"
        return Finding("signature", "warning", f"{detail}; set PACKSHOT_SIGNING_CERTIFICATE")
    detail = f"the file's C2PA manifest is signed with key {key_id}, whose certificate ends on {chain.expires:%Y-%m-%d}"
    return Finding("signature", "ok", detail)
