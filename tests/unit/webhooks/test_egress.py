"""A request to a tenant's URL reaches public addresses only, at the very address that was checked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from packshot.errors import BadInput
from packshot.webhooks import egress
from packshot.webhooks.egress import MAX_ANSWER_BYTES, MAX_BODY_BYTES, Answered, Egress, is_public
from tests.receiver import Receiver, receiving, status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


class Names:
    """A resolver whose answers change with each call, as an attacker's name server's do."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.answers:
            raise socket.gaierror("no such name")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.0.8"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1"),
    *("::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:1::1"),
    "no address",
]


def test_only_addresses_of_the_public_internet_are_public() -> None:
    assert [address for address in PRIVATE if is_public(address)] == []
    public = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
    assert [address for address in public if not is_public(address)] == []


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://2852039166/",  # the same address, as one number
        "https://0x7f.1/",
        "https://localhost/",
        "http://127.0.0.1:8265/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com",
        "https://",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://exa mple.com/",
        "https://[::1",
        "https://xn--/",  # a name that cannot be decoded
        "https://\ud800.com/",
        "https://" + "a" * 300 + ".com/",
    ],
)
async def test_a_url_that_must_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        await Egress().check(url)
    assert refused.value.code == "url_refused"
    answered = await Egress().post(url, b"{}", {})
    assert answered.status is None
    assert answered.error


@pytest.mark.parametrize("addresses", [["93.184.216.34", "10.0.0.5"], ["10.0.0.5"], ["::1"], []])
async def test_every_address_of_a_name_must_be_public(addresses: list[str]) -> None:
    with pytest.raises(BadInput, match="must have public addresses, and no others"):
        await Egress(resolve=Names(addresses)).check("https://mixed.example/")


async def test_plain_http_needs_loopback_and_loopback_needs_leave(receiver: Receiver) -> None:
    here = f"http://127.0.0.1:{receiver.port}/"
    assert (await Egress().post(here, b"{}", {})).status is None
    with pytest.raises(BadInput, match="must be https"):
        await Egress(allow_loopback=True, resolve=Names(["93.184.216.34"])).check("http://public.example/")
    assert receiver.got == []
    assert await Egress(allow_loopback=True).post(here, b"{}", {}) == Answered(204, None)


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """The name resolves elsewhere from the second question on; a receiver there gets nothing."""
    with receiving("127.0.0.1") as first, receiving("127.0.0.2", first.port) as second:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        url = f"http://rebound.example:{first.port}/hook?a=1"
        assert await Egress(allow_loopback=True, resolve=names).post(url, b"{}", {}) == Answered(204, None)
        assert names.asked == [("rebound.example", first.port)]
        [got] = first.got
        assert (got.path, got.headers["host"], got.body) == ("/hook?a=1", f"rebound.example:{first.port}", b"{}")
        assert second.got == []


async def test_an_address_that_does_not_answer_is_followed_by_the_next(receiver: Receiver) -> None:
    both = Names(["127.0.0.3", "127.0.0.1"])
    url = f"http://two.example:{receiver.port}/"
    assert await Egress(allow_loopback=True, resolve=both).post(url, b"{}", {}) == Answered(204, None)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS context with a certificate for hook.example, and a client's that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(private + certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.decode())


async def test_the_certificate_is_checked_against_the_name(
    certified: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = certified
    with receiving(tls=server) as receiver:
        for host, tls, received in (
            ("hook.example", trusting, True),
            ("other.example", trusting, False),
            ("hook.example", None, False),
        ):
            sender = Egress(allow_loopback=True, resolve=Names(["127.0.0.1"]), tls=tls)
            answered = await sender.post(f"https://{host}:{receiver.port}/", b"{}", {})
            assert (answered.error is None) is received, (host, answered)
        assert len(receiver.got) == 1


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.answer = lambda handler: status(handler, 307, location=f"http://127.0.0.1:{elsewhere.port}/")
        answered = await Egress(allow_loopback=True).post(f"http://127.0.0.1:{receiver.port}/", b"{}", {})
        assert answered.status == 307
        assert "redirects are not followed" in str(answered.error)
        assert elsewhere.got == []


async def test_an_attempt_ends_in_time_whatever_the_receiver_does(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "TIMEOUT_S", 0.3)
    over = threading.Event()

    def never(handler: BaseHTTPRequestHandler) -> None:
        over.wait(120)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b".")

    for slow in (never, drip):
        receiver.answer = slow
        answered = await Egress(allow_loopback=True).post(f"http://127.0.0.1:{receiver.port}/", b"{}", {})
        assert answered == Answered(None, "no complete answer within 0.3 s")
        assert not over.is_set(), "the receiver has not ended"
    over.set()


async def test_long_bodies_are_neither_sent_nor_read(receiver: Receiver) -> None:
    written = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal written
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(4096):
                written += handler.wfile.write(b"x" * 65536)
        except OSError:
            handler.close_connection = True

    receiver.answer = endless
    sender, url = Egress(allow_loopback=True), f"http://127.0.0.1:{receiver.port}/"
    assert await sender.post(url, b"{}", {}) == Answered(200, None)
    assert written < 4096 * 65536
    assert MAX_ANSWER_BYTES == 65536
    answered = await sender.post(url, b"x" * (MAX_BODY_BYTES + 1), {})
    assert answered.status is None
    assert len(receiver.got) == 1
