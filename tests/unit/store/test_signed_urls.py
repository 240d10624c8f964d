"""Signed URLs are made of the credentials alone, so the form of each object store's is tested without a network."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fsspec
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2.service_account import Credentials

from packshot.store.assets import Assets
from packshot.store.signed_urls import SignedUpload, sign_download, sign_upload
from tests.s3_server import S3Server
from tests.waiting import WAIT_S

DATA = b"a photo"
SHA256 = hashlib.sha256(DATA).hexdigest()
ANNOUNCED: dict[str, Any] = {
    "size_bytes": len(DATA),
    "sha256": SHA256,
    "content_type": "image/jpeg",
    "lifetime_s": 60,
}


def query_of(url: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_s3_signs_the_type_the_size_and_the_hash(s3: S3Server) -> None:
    assets = Assets(s3.new_root())
    signed = assets.upload_url("uploads/up_1", size_bytes=7, sha256=SHA256, content_type="image/jpeg", lifetime_s=60)
    assert signed is not None
    query = query_of(signed.url)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "60")
    names = "content-length;content-type;host;x-amz-checksum-sha256"
    assert query["X-Amz-SignedHeaders"] == names
    assert signed.headers == {
        "content-type": "image/jpeg",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(SHA256)).decode(),
    }
    assert httpx.put(signed.url, content=DATA, headers=signed.headers, trust_env=False, timeout=WAIT_S).is_success
    assert assets.get("uploads/up_1") == DATA
    url = assets.download_url("uploads/up_1", media_type="image/png", disposition="inline")
    assert url is not None
    read = httpx.get(url, trust_env=False, timeout=WAIT_S)
    assert (read.content, read.headers["content-disposition"]) == (DATA, "inline")


def test_google_signs_the_type_and_the_size() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {
        "type": "service_account",
        "project_id": "tests",
        "client_email": "tests@tests.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    gcs = fsspec.filesystem("gs", token="anon", skip_instance_cache=True)
    gcs.credentials.credentials = Credentials.from_service_account_info(account)  # type: ignore[no-untyped-call]
    signed = sign_upload(gcs, "bucket/uploads/up_1", **ANNOUNCED)
    assert isinstance(signed, SignedUpload)
    assert urlsplit(signed.url).path == "/bucket/uploads/up_1"
    assert query_of(signed.url)["X-Goog-SignedHeaders"] == "content-type;host;x-goog-content-length-range"
    assert signed.headers == {"content-type": "image/jpeg", "x-goog-content-length-range": "7,7"}
    url = sign_download(gcs, "bucket/ab", media_type="image/png", disposition="inline", lifetime_s=60)
    assert url is not None
    assert query_of(url)["response-content-disposition"] == "inline"


def test_azure_signs_downloads_only() -> None:
    key = base64.b64encode(b"a key of this test" * 3).decode()
    azure = fsspec.filesystem("az", account_name="tests", account_key=key, skip_instance_cache=True)
    assert sign_upload(azure, "container/uploads/up_1", **ANNOUNCED) is None
    url = sign_download(azure, "container/ab", media_type="image/png", disposition="inline", lifetime_s=60)
    assert url is not None
    assert url.startswith("https://tests.blob.core.windows.net/container/ab?")
    assert (query_of(url)["sp"], query_of(url)["rsct"], query_of(url)["rscd"]) == ("r", "image/png", "inline")


def test_credentials_that_cannot_sign_are_logged_and_the_gateway_serves(caplog: pytest.LogCaptureFixture) -> None:
    gcs = fsspec.filesystem("gs", token="anon", skip_instance_cache=True)
    with caplog.at_level(logging.WARNING):
        assert sign_upload(gcs, "bucket/uploads/up_1", **ANNOUNCED) is None
    assert "files pass the gateway" in caplog.text
