"""Certificates for signing: reading and checking a chain, and making the development certificate.

A chain is the certificate of the signing key, then that of its issuer, and so on. The root may be left out. The rules
are C2PA's: who checks a file refuses a signature whose certificate breaks one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from packshot.errors import BadInput

__all__ = [
    "Algorithm",
    "Chain",
    "SignBytes",
    "development_pem",
    "fits",
    "local_key",
    "read_chain",
    "refuse_signing",
]

Algorithm = Literal["ES256", "ES384", "ES512", "PS256", "ED25519"]
SignBytes = Callable[[bytes], bytes]
"""From the bytes to sign to their signature. That of an elliptic curve is in DER, as key services give it."""

CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
PURPOSES = (ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING, CLAIM_SIGNING)
"""The extended key usages of which a signing certificate must have one."""
MIN_RSA_BITS = 2048
_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {
    "ES256": hashes.SHA256(),
    "ES384": hashes.SHA384(),
    "ES512": hashes.SHA512(),
    "PS256": hashes.SHA256(),
}
_CURVES: dict[str, Algorithm] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
DEVELOPMENT_DAYS = 5 * 365


@dataclass(frozen=True)
class Chain:
    """A checked chain: its PEM text, the public key and the algorithm of its first certificate, and when it is valid.

    `key_id` is the first 16 digits of the SHA-256 of the first certificate.
    """

    pem: str
    public_key: PublicKeyTypes
    algorithm: Algorithm
    starts: datetime
    expires: datetime
    key_id: str


def refuse_signing(rule: str, got: str, remedy: str) -> NoReturn:
    """Raise BadInput `signing_refused`."""
    raise BadInput("signing_refused", f"{rule}, got {got}; {remedy}")


def read_chain(pem: str, where: str, now: datetime) -> Chain:
    """Read and check a chain. `where` names the setting that it comes from, and `now` is the time to check it for.

    Raises BadInput `signing_refused` when it cannot be read, has expired, is broken, is not meant for signing, or has a
    kind of key that C2PA does not take.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        remedy = "write the signing certificate and those of its issuers there, one after the other"
        refuse_signing(f"{where} must hold certificates as PEM", f"{len(pem)} characters of something else", remedy)
    for number, one in enumerate(certificates):
        _check_dates(one, number, where, now)
    leaf = certificates[0]
    _check_links(certificates, where)
    _check_purpose(leaf, where)
    algorithm = _algorithm_of(leaf.public_key(), where)
    fingerprint = leaf.fingerprint(hashes.SHA256()).hex()[:16]
    starts = max(one.not_valid_before_utc for one in certificates)
    expires = min(one.not_valid_after_utc for one in certificates)
    return Chain(pem, leaf.public_key(), algorithm, starts, expires, fingerprint)


def _check_dates(one: x509.Certificate, number: int, where: str, now: datetime) -> None:
    what = f"certificate {number + 1} of {where}"
    if now > one.not_valid_after_utc:
        got = f"one that ended on {one.not_valid_after_utc:%Y-%m-%d}, by this machine's clock {now:%Y-%m-%d %H:%M} UTC"
        remedy = "renew it, as docs/runbook.md says, or set the clock"
        refuse_signing(f"{what} must not have expired", got, remedy)
    if now < one.not_valid_before_utc:
        got = f"one from {one.not_valid_before_utc:%Y-%m-%d %H:%M} at {now:%Y-%m-%d %H:%M} UTC"
        refuse_signing(f"{what} must be valid already", got, "set this machine's clock, or wait")


def _check_links(certificates: Sequence[x509.Certificate], where: str) -> None:
    for number, (one, issuer) in enumerate(pairwise(certificates), start=1):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            got = f"certificate {number + 1}, {issuer.subject.rfc4514_string()!r}"
            rule = f"in {where} each certificate must be followed by that of its issuer {one.issuer.rfc4514_string()!r}"
            refuse_signing(rule, got, "put them in this order: signing certificate, intermediate ones, root")
    leaf = certificates[0]
    if leaf.issuer == leaf.subject:
        remedy = "let an authority issue one, or leave the settings empty for the development certificate"
        rule = f"the signing certificate in {where} must be issued by an authority, as C2PA demands"
        refuse_signing(rule, f"{leaf.subject.rfc4514_string()!r} by itself", remedy)


def _check_purpose(leaf: x509.Certificate, where: str) -> None:
    found = leaf.extensions
    try:
        purposes = list(found.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        purposes = []
    if not any(one in PURPOSES for one in purposes):
        got = ", ".join(one.dotted_string for one in purposes) or "none"
        rule = f"the first certificate in {where} must be for e-mail protection, document signing or C2PA claim signing"
        refuse_signing(rule, f"the purposes {got}", "order a certificate for signing documents")
    try:
        usage = found.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    try:
        authority = found.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    if authority or (usage is not None and not usage.digital_signature):
        got = "one of an authority" if authority else "one without the usage digitalSignature"
        rule = f"the first certificate in {where} must be that of the signing key"
        refuse_signing(rule, got, "put the signing certificate first")


def _algorithm_of(key: PublicKeyTypes, where: str) -> Algorithm:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "PS256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ED25519"
    got = type(key).__name__.removesuffix("PublicKey").strip("_")
    if isinstance(key, ec.EllipticCurvePublicKey):
        got = f"the curve {key.curve.name}"
    elif isinstance(key, rsa.RSAPublicKey):
        got = f"RSA of {key.key_size} bits"
    rule = f"the key of the certificate in {where} must be on P-256, P-384 or P-521, RSA from 2048 bits, or Ed25519"
    refuse_signing(rule, got, "make a key of one of these kinds, and order a certificate for it")


def local_key(pem: str, where: str, chain: Chain) -> SignBytes:
    """The function that signs by a private key in PEM. `where` names the setting that it comes from.

    Raises BadInput `signing_refused` when it cannot be read or does not fit the chain's first certificate.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except TypeError:
        refuse_signing(f"{where} must not need a passphrase", "an encrypted key", "decrypt it: openssl pkey -in KEY")
    except (ValueError, UnsupportedAlgorithm):
        refuse_signing(
            f"{where} must hold a private key as PEM", "something else", "write the key there, not its file's name"
        )
    theirs = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*theirs) != chain.public_key.public_bytes(*theirs):
        rule = f"the key in {where} must be that of the first certificate"
        refuse_signing(rule, "another key", "set the key for which the certificate was issued")
    digest = _HASHES.get(chain.algorithm)
    if isinstance(key, ec.EllipticCurvePrivateKey) and digest is not None:
        curve = ec.ECDSA(digest)
        return lambda data: key.sign(data, curve)
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, _PSS, hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    raise AssertionError(f"{chain.algorithm} has no key of type {type(key).__name__}")


def fits(chain: Chain, data: bytes, signature: bytes) -> bool:
    """Whether `signature` of `data` is by the key of the chain's first certificate."""
    key, digest = chain.public_key, _HASHES.get(chain.algorithm)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _PSS, hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def development_pem(folder: Path, now: datetime) -> tuple[str, str]:
    """The chain and the key of the development certificate, as PEM. They are made once and kept in `folder`.

    C2PA takes no certificate that issued itself, so an authority is made with it, whose key is not kept. Nobody trusts
    that authority: the signature shows what was changed since, and not who signed. One that is not valid at `now` is
    made anew: it has expired, or a clock was wrong when it was made.
    """
    path = folder / "development.pem"
    for _ in range(2):
        if path.is_file():
            chain, begin, key = path.read_text("ascii").partition("-----BEGIN PRIVATE KEY")
            found = x509.load_pem_x509_certificate(chain.encode())
            if found.not_valid_before_utc <= now and found.not_valid_after_utc > now + timedelta(days=1):
                return chain, begin + key
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"development-{os.getpid()}-{os.urandom(4).hex()}.pem"
        with open(draft, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(_new_development_pem(now))
        draft.replace(path)  # of processes that start together the last one wins, and all read its file
    raise AssertionError(f"{path} was just written")


def _new_development_pem(now: datetime) -> str:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _name("Packshot development authority (trust nothing it signs)")
    root = _builder(authority, authority, authority_key.public_key(), authority_key, now, ca=True)
    leaf = _builder(
        _name("Packshot development certificate"), authority, key.public_key(), authority_key, now, ca=False
    )
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    encoded = [
        one.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) for one in (leaf, root)
    ]
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return b"".join([*encoded, key.private_bytes(serialization.Encoding.PEM, *form)]).decode()


def _name(common: str) -> x509.Name:
    names = {NameOID.ORGANIZATION_NAME: "Packshot development", NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in names.items()])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    ca: bool,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=DEVELOPMENT_DAYS))
        .add_extension(x509.BasicConstraints(ca, 0 if ca else None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
