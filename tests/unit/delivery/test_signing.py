"""Delivered files are signed: C2PA's own reader finds them valid, and a certificate that does not serve is refused."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import SecretStr

from packshot.delivery import certificates, provenance, signing
from packshot.delivery.encoding import MANIFEST_BYTES
from packshot.delivery.files import MEDIA, read_file, write_file
from packshot.delivery.metadata import Origin, xmp_of
from packshot.delivery.presets import Format
from packshot.delivery.provenance import C2paFound, read_manifest
from packshot.delivery.signing import DEVELOPMENT, Signer, load_signer, signing_key_id, trust_anchors
from packshot.errors import BadInput, Unavailable
from packshot.settings import Settings
from tests.unit.delivery.authorities import DAY, Authority, Key, ec_key, pem_of

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
ORIGIN = Origin(
    version="1.2.3",
    engine="mini",
    instance_id="xmp:iid:0b0e7c9c-2f5b-5f0c-8d6c-2a5f4e3d2c1b",
    photo_ids=("xmp:iid:1b0e7c9c-2f5b-5f0c-8d6c-2a5f4e3d2c1b",),
    mark=7,
)
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
HUMAN = "http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    return load_signer(settings), settings


def settings_of(home: Path, certificate: str = "", key: Key | None = None, **more: Any) -> Settings:
    secret = SecretStr(pem_of(key) if key else "")
    return Settings(home=home, signing_certificate=certificate, signing_key=secret, **more)


def signed(signer: Signer, kind: Format = "png", origin: Origin = ORIGIN, *, generated: bool = True) -> bytes:
    data = write_file(PIXELS, kind, None if kind == "png" else 95, xmp_of(COMPOSITE, origin))
    return signer.sign(data, MEDIA[kind][0], origin, generated=generated, source_type=None)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_every_format_is_signed_and_the_c2pa_library_finds_it_valid(
    development: tuple[Signer, Settings], kind: Format
) -> None:
    signer, settings = development
    data = signed(signer, kind)
    with c2pa.Reader(MEDIA[kind][0], io.BytesIO(data)) as reader:
        assert reader.get_validation_state() == "Valid"
        manifest = reader.get_active_manifest()
    assert manifest is not None
    assert manifest["claim_generator_info"][0]["name"] == "Packshot"
    created, placed, marked = manifest["assertions"][0]["data"]["actions"]
    assert (created["action"], created["digitalSourceType"]) == ("c2pa.created", COMPOSITE)
    assert placed["action"] == "c2pa.placed"
    assert marked["action"] == "c2pa.watermarked.unbound"
    [photo] = manifest["ingredients"]
    assert (photo["instance_id"], photo["relationship"]) == (ORIGIN.photo_ids[0], "componentOf")
    assert photo["label"] in placed["parameters"]["ingredients"][0]["url"]
    found = read_manifest(data)
    assert found == C2paFound(True, True, "Packshot development", False, ORIGIN.instance_id, COMPOSITE)
    assert read_manifest(data, trust_anchors(settings)).trusted
    unsigned = write_file(PIXELS, kind, None if kind == "png" else 95, xmp_of(COMPOSITE, ORIGIN))
    assert len(data) - len(unsigned) < MANIFEST_BYTES
    back = read_file(data)
    assert np.array_equal(back.pixels, read_file(unsigned).pixels)
    assert back.source_type == COMPOSITE
    assert read_manifest(unsigned) == C2paFound()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_file_that_was_changed_since_is_not_valid(development: tuple[Signer, Settings], kind: Format) -> None:
    signer, settings = development
    data = bytearray(signed(signer, kind))
    at = data.index(b"Packshot 1.2.3")  # in the XMP
    data[at] ^= 1
    found = read_manifest(bytes(data), trust_anchors(settings))
    assert (found.present, found.valid, found.trusted) == (True, False, False)
    assert found.instance_id == ORIGIN.instance_id


def test_other_files_and_damaged_ones_have_no_valid_manifest(development: tuple[Signer, Settings]) -> None:
    assert read_manifest(b"PK\x03\x04 a ZIP") == C2paFound()
    assert read_manifest(b"") == C2paFound()
    data = signed(development[0], "jpeg")
    assert not read_manifest(data[: len(data) // 3]).valid


def test_a_plain_picture_says_that_nothing_was_generated(development: tuple[Signer, Settings]) -> None:
    plain = Origin(version="1.2.3", instance_id=ORIGIN.instance_id)
    data = signed(development[0], origin=plain, generated=False)
    assert read_manifest(data).source_type == HUMAN
    assert b"watermarked" not in data


def test_reading_and_signing_never_open_the_network() -> None:
    context = provenance._SETTINGS["verify"]
    assert context["remote_manifest_fetch"] is False
    assert context["ocsp_fetch"] is False


def test_the_development_certificate_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first, second = load_signer(settings), load_signer(settings)
    assert first.key_id == second.key_id == signing_key_id(settings) == DEVELOPMENT
    assert (first.finding.check, first.finding.level) == ("signature", "warning")
    [file] = (tmp_path / "signing").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_manifest(signed(first), trust_anchors(settings)).trusted


@pytest.mark.parametrize(
    "key",
    [ec_key(), ec_key(ec.SECP384R1), ec_key(ec.SECP521R1), ed25519.Ed25519PrivateKey.generate()],
    ids=["P-256", "P-384", "P-521", "Ed25519"],
)
def test_keys_of_each_kind_sign(authority: Authority, tmp_path: Path, key: Key) -> None:
    chain = authority.issue(key) + authority.pem
    settings = settings_of(tmp_path, chain, key)
    signer = load_signer(settings)
    assert signer.key_id == signing_key_id(settings)
    assert len(signer.key_id) == 16
    assert signer.finding.level == "ok"
    found = read_manifest(signed(signer), chain)
    assert (found.signer, found.trusted) == ("Brand Ltd", True)
    assert not (tmp_path / "signing").exists()


def test_an_rsa_key_in_files_signs(authority: Authority, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / "chain.pem").write_text(authority.issue(key) + authority.pem)
    (tmp_path / "key.pem").write_text(pem_of(key))
    files: dict[str, Any] = {
        "signing_certificate_file": str(tmp_path / "chain.pem"),
        "signing_key_file": str(tmp_path / "key.pem"),
    }
    assert read_manifest(signed(load_signer(Settings(home=tmp_path, **files)))).valid


def test_a_hook_signs_with_a_key_that_stays_elsewhere(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec_key()
    (tmp_path / "key.pem").write_text(pem_of(key))
    (tmp_path / "our_kms.py").write_text(
        "from pathlib import Path\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "def sign(data):\n"
        "    pem = Path(__file__).with_name('key.pem').read_bytes()\n"
        "    key = serialization.load_pem_private_key(pem, None)\n"
        "    return key.sign(data, ec.ECDSA(hashes.SHA256()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    chain = authority.issue(key) + authority.pem
    signer = load_signer(settings_of(tmp_path, chain, signing_hook="our_kms:sign"))
    assert read_manifest(signed(signer), chain).trusted
    (tmp_path / "key.pem").unlink()
    with pytest.raises(Unavailable, match=r"signing_unavailable: .*must answer"):
        signed(signer)
    with pytest.raises(BadInput, match=r"signing_refused: .*HOOK must sign, its first call raised"):
        load_signer(settings_of(tmp_path, chain, signing_hook="our_kms:sign"))
    (tmp_path / "key.pem").write_text(pem_of(ec_key()))
    with pytest.raises(BadInput, match=r"signing_refused: .*HOOK must sign with the key of the first certificate"):
        load_signer(settings_of(tmp_path, chain, signing_hook="our_kms:sign"))
    with pytest.raises(BadInput, match=r"signing_refused: .*module:callable"):
        load_signer(settings_of(tmp_path, chain, signing_hook="our_kms.sign"))


def refused(tmp_path: Path, certificate: str = "", key: Key | None = None, **more: Any) -> str:
    """What the refusal of these settings says."""
    with pytest.raises(BadInput) as refusal:
        load_signer(settings_of(tmp_path, certificate, key, **more))
    assert refusal.value.code == "signing_refused"
    return refusal.value.detail


def test_certificates_that_cannot_sign_are_refused_with_the_remedy(authority: Authority, tmp_path: Path) -> None:
    key, now, root = ec_key(), datetime.now(UTC), authority.pem
    other = Authority("Other authority")
    expired = authority.issue(key, ends=now - DAY) + root
    assert "must not have expired, got one that ended on" in refused(tmp_path, expired, key)
    early = authority.issue(key, starts=now + DAY) + root
    assert "must be valid already" in refused(tmp_path, early, key)
    assert "put them in this order" in refused(tmp_path, authority.issue(key) + other.pem, key)
    assert "put them in this order" in refused(tmp_path, root + authority.issue(key), key)
    itself = Authority("Brand Ltd")
    assert "must be issued by an authority" in refused(tmp_path, itself.pem, itself.key)
    web = authority.issue(key, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)) + root
    assert "order a certificate for signing documents" in refused(tmp_path, web, key)
    assert "got the purposes none" in refused(tmp_path, authority.issue(key, purposes=()) + root, key)
    for wrong, got in ((ec_key(ec.SECP256K1), "the curve secp256k1"), (rsa.generate_private_key(65537, 1024), "1024")):
        assert got in refused(tmp_path, authority.issue(wrong) + root, wrong)
    assert "must hold certificates as PEM" in refused(tmp_path, "signing.pem", key)


def test_keys_that_do_not_fit_are_refused_with_the_remedy(authority: Authority, tmp_path: Path) -> None:
    key = ec_key()
    chain = authority.issue(key) + authority.pem
    assert "the key for which the certificate was issued" in refused(tmp_path, chain, ec_key())
    assert "got none; set one" in refused(tmp_path, chain)
    assert "got both; set one" in refused(tmp_path, chain, key, signing_hook="our_kms:sign")
    assert "a key alone" in refused(tmp_path, "", key)
    assert "got both; keep one" in refused(tmp_path, chain, key, signing_key_file="key.pem")
    assert "correct the path" in refused(tmp_path, chain, signing_key_file=str(tmp_path / "no.pem"))
    not_pem = Settings(home=tmp_path, signing_certificate=chain, signing_key=SecretStr("key.pem"))
    with pytest.raises(BadInput, match="must hold a private key as PEM"):
        load_signer(not_pem)


def test_a_certificate_that_expires_later_stops_signing(development: tuple[Signer, Settings]) -> None:
    signer = development[0]
    kept, signer._expires = signer._expires, datetime.now(UTC) - timedelta(seconds=1)
    try:
        with pytest.raises(Unavailable, match=r"signing_unavailable: .*must not have expired"):
            signed(signer)
    finally:
        signer._expires = kept


class Clock(datetime):
    """This machine's clock, as a test sets it."""

    shows = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.shows


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(signing, "datetime", Clock)
    monkeypatch.setattr(Clock, "shows", Clock.shows)
    return Clock


def test_a_server_whose_clock_is_wrong_does_not_start_to_sign(
    authority: Authority, tmp_path: Path, clock: type[Clock]
) -> None:
    key = ec_key()
    chain = authority.issue(key) + authority.pem
    for settings in (Settings(home=tmp_path), settings_of(tmp_path, chain, key)):
        with pytest.raises(BadInput, match=r"got 1970-01-01 00:05 UTC; set this machine's clock"):
            load_signer(settings)
    assert not (tmp_path / "signing").exists(), "and makes no certificate of that time"
    clock.shows = datetime(2100, 1, 1, tzinfo=UTC)
    with pytest.raises(BadInput, match=r"this machine's clock 2100-01-01 00:00 UTC; renew it, .* or set the clock"):
        load_signer(settings_of(tmp_path, chain, key))


@pytest.mark.parametrize(("year", "told"), [(1970, "must be valid already"), (2100, "must not have expired")])
def test_a_clock_that_goes_wrong_later_stops_signing_and_is_named(
    development: tuple[Signer, Settings], clock: type[Clock], year: int, told: str
) -> None:
    clock.shows = datetime(year, 1, 1, tzinfo=UTC)
    with pytest.raises(Unavailable, match=rf"signing_unavailable: .*{told}.*clock says {year}-01-01.*set the clock"):
        signed(development[0])


def test_a_development_certificate_of_a_wrong_clock_is_made_anew(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    later, _ = certificates.development_pem(tmp_path, datetime(2100, 1, 1, tzinfo=UTC))
    right, _ = certificates.development_pem(tmp_path, now)
    assert right != later
    assert certificates.development_pem(tmp_path, now)[0] == right
    assert certificates.read_chain(right, "it", now).starts < now


def test_a_signature_that_only_expired_is_told_from_a_broken_one() -> None:
    def failed(*codes: str) -> dict[str, Any]:
        return {"activeManifest": {"failure": [{"code": code} for code in codes]}}

    expired, untrusted = "signingCredential.expired", "signingCredential.untrusted"
    assert provenance._expired(failed(expired, untrusted))
    assert not provenance._expired(failed(untrusted))
    assert not provenance._expired(failed(expired, "assertion.dataHash.mismatch"))
    assert not provenance._expired({})


@pytest.mark.soak
def test_a_file_is_read_after_its_certificate_expired(authority: Authority, tmp_path: Path) -> None:
    key, ends = ec_key(), datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15)
    chain = authority.issue(key, ends=ends) + authority.pem
    file = signed(load_signer(settings_of(tmp_path, chain, key)))
    assert (read_manifest(file, chain).valid, read_manifest(file, chain).expired) == (True, False)
    while datetime.now(UTC) <= ends + timedelta(seconds=1):
        time.sleep(0.2)
    late = read_manifest(file, chain)
    assert (late.valid, late.trusted, late.expired) == (False, False, True)
    assert not read_manifest(file[:-40] + bytes(40), chain).expired


def test_the_manifest_names_no_tenant_prompt_or_file() -> None:
    said = json.loads(provenance.manifest_of(ORIGIN, generated=True, source_type=None))
    assert set(said) == {"claim_generator_info", "instance_id", "ingredients", "assertions"}
    assert [one["label"] for one in said["assertions"]] == ["c2pa.actions.v2"]
    assert {*said["ingredients"][0]} == {"label", "instance_id", "title", "format", "relationship"}
