"""Certificates for tests of signing: an authority, and the chains that it issues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
DAY = timedelta(days=1)


def pem_of(key: Key) -> str:
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def _name(text: str) -> x509.Name:
    names = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    return x509.Name([x509.NameAttribute(one, text) for one in names])


@dataclass
class Authority:
    """An authority that issues certificates."""

    name: str = "Test authority"

    def __post_init__(self) -> None:
        self.key = ec_key()
        self.pem = self.issue(self.key, self.name, ca=True)

    def issue(
        self,
        key: Key,
        subject: str = "Brand Ltd",
        *,
        ca: bool = False,
        purposes: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        starts: datetime | None = None,
        ends: datetime | None = None,
    ) -> str:
        """The PEM of a certificate for the key."""
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts or now - 30 * DAY)
            .not_valid_after(ends or now + 300 * DAY)
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        if purposes and not ca:
            built = built.add_extension(x509.ExtendedKeyUsage(purposes), False)
        return built.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
