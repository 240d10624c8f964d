"""A real S3 API for tests: moto's server on a loopback port, with a new bucket for each root."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import boto3
import httpx
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from tests.waiting import WAIT_S

REGION = "eu-central-1"


@dataclass(frozen=True)
class S3Server:
    """The server's URL. `client` is boto3's own, which shares no cache with the code under test."""

    url: str

    @property
    def client(self) -> boto3.client:
        return boto3.client("s3", region_name=REGION, endpoint_url=self.url)

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"packshot-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def new_root(self) -> str:
        """The URL of an asset root in a new bucket."""
        return f"s3://{self.new_bucket()}/assets"

    def keys(self, root_url: str) -> list[str]:
        """What is in the bucket under a root, as the server sees it now."""
        bucket, _, prefix = root_url.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return sorted(item["Key"].removeprefix(f"{prefix}/") for page in pages for item in page.get("Contents", ()))

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Refuse every request whose credentials the server does not know, which are all of them."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0", trust_env=False, timeout=WAIT_S).raise_for_status()
        try:
            yield
        finally:
            httpx.post(
                f"{self.url}/moto-api/reset-auth", content=b"inf", trust_env=False, timeout=WAIT_S
            ).raise_for_status()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start the server, and point this process's S3 clients to it by the variables that a deployment sets."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        S3FileSystem.clear_instance_cache()
        with mock.patch.dict(os.environ, variables):
            yield S3Server(url)
    finally:
        S3FileSystem.clear_instance_cache()  # fsspec keeps clients, and with them this server's address
        server.stop()
