"""Where pushes go: never inside our own network, whatever the address says, and to an end within a deadline."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from skyproof.domain.errors import InvalidValueError
from skyproof.stages.deliver.targets import Courier, Target, UnreachableError, is_public, read_url, resolve

PUBLIC = (
    "93.184.216.34",
    "8.8.8.8",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
)
PRIVATE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "2002:7f00:1::1", "2002:a00:1::", "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1",
)  # fmt: skip
LOOPBACK = ("127.0.0.0/8",)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address):
    assert is_public(ip_address(address))
    target, chosen = Courier(resolver=lambda *_: [address]).check("https://hooks.example.org/in?x=1")
    assert target == Target(True, "hooks.example.org", 443, "/in?x=1")
    assert ip_address(chosen) == ip_address(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_our_own_networks_are_refused(address):
    assert not is_public(ip_address(address))
    for found in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(InvalidValueError, match="not public"):
            Courier(resolver=lambda *_, found=found: found).check("https://hooks.example.org/")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://localhost/", "https://169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
def test_every_way_to_write_loopback_is_refused_by_the_systems_resolver(url):
    with pytest.raises((InvalidValueError, UnreachableError)):
        Courier(resolver=resolve).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.org", "//hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd", "gopher://x/", "https://",
        "https:///path", "https://user@hooks.example.org/", "https://user:word@hooks.example.org/", "https://hooks.example.org/#x",
        "https://hooks.example.org:22/", "https://hooks.example.org:80/", "https://hooks.example.org:99999/",
        "https://hooks.example.org:x/", "https://hooks.example.org/a b", "https://hooks.example.org/\r\nX: y", "https://höks.example/",
        "https://hooks.example.org/" + "x" * 500, "https://[::1", "https://-x-.example.org/", "https://a%2eb/", "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_addresses_of_another_form_are_refused(url):
    with pytest.raises(InvalidValueError):
        read_url(url)


def test_plain_http_goes_to_granted_networks_only():
    with pytest.raises(InvalidValueError, match="not https"):
        Courier(resolver=lambda *_: ["8.8.8.8"]).check("http://hooks.example.org/")
    granted = Courier(networks=("10.1.0.0/16", "fd00::/8"), resolver=lambda host, _: [host])
    assert granted.check("http://10.1.2.3/")[1] == "10.1.2.3"
    assert granted.check("https://[fd00::1]:8443/")[0].port == 8443
    for url in ("http://10.2.0.1/", "http://8.8.8.8/"):
        with pytest.raises(InvalidValueError):
            granted.check(url)
    mixed = Courier(networks=("10.1.0.0/16",), resolver=lambda *_: ["10.1.0.1", "8.8.8.8"])
    with pytest.raises(InvalidValueError):
        mixed.check("https://hooks.example.org/")
    with pytest.raises(InvalidValueError, match="write it like"):
        Courier(networks=("10.1.2.3/16",))


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback that hands each connection to ``answer``; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    try:
                        answer(connection)
                    except OSError:
                        continue  # the caller hung up

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    """A request to its end: who hangs up with bytes unread resets the connection, and the answer may be lost with it."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        more = connection.recv(65536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body


def saying(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        heard.append(read_request(connection))
        connection.sendall(text)

    heard: list[bytes] = []
    answer.heard = heard  # type: ignore[attr-defined]
    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_the_name_is_asked_once_and_the_address_that_was_checked_is_called():
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    answer = saying(OK)
    with answering(answer) as port:
        courier = Courier(networks=LOOPBACK, resolver=rebinding)
        assert courier.send(f"http://hooks.example.org:{port}/in?x=1", {"webhook-id": "evt_1"}, b"{}") == 200
    assert asked == ["hooks.example.org"]
    head = answer.heard[0]
    assert head.startswith(b"POST /in?x=1 HTTP/1.1\r\n")
    assert f"Host: hooks.example.org:{port}".encode() in head
    assert b"webhook-id: evt_1" in head


def test_a_redirect_is_an_answer_and_is_not_followed():
    with answering(
        saying(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    ) as port:
        assert Courier(networks=LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"{}") == 302


@pytest.mark.parametrize(
    "text",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000, b"\x00" * 70_000],
)
def test_what_is_no_http_is_no_answer(text):
    with answering(saying(text)) as port, pytest.raises(UnreachableError):
        Courier(networks=LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"{}")


def test_a_server_that_trickles_or_stays_silent_is_left():
    def trickle(connection: socket.socket) -> None:
        for _ in range(1000):
            connection.sendall(b"H")
            threading.Event().wait(0.01)

    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    for answer in (trickle, silent):
        with answering(answer) as port, pytest.raises(UnreachableError):
            Courier(networks=LOOPBACK, deadline_s=0.2).send(f"http://127.0.0.1:{port}/", {}, b"{}")


def test_nobody_there_is_said():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match="ConnectionRefused"):
        Courier(networks=LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"{}")
    with pytest.raises(UnreachableError, match="not found"):
        Courier(resolver=lambda *_: []).check("https://hooks.example.org/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hooks.example.org and its key in one file, made for this run."""
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=hooks.example.org", "-addext", "subjectAltName=DNS:hooks.example.org"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command makes a certificate here")
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return folder


def test_the_certificate_is_checked_against_the_name_although_an_address_is_called(certificate):
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate / "both.pem")

    def answer(connection: socket.socket) -> None:
        with server_side.wrap_socket(connection, server_side=True) as secured:
            read_request(secured)
            secured.sendall(OK)

    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    to_loopback = {"networks": LOOPBACK, "resolver": lambda *_: ["127.0.0.1"]}
    with answering(answer) as port:
        assert Courier(**to_loopback, context=trusting).send(f"https://hooks.example.org:{port}/", {}, b"{}") == 200
        with pytest.raises(UnreachableError, match="TLS failed"):
            Courier(**to_loopback, context=trusting).send(f"https://other.example.org:{port}/", {}, b"{}")
        with pytest.raises(UnreachableError, match="TLS failed"):
            Courier(**to_loopback).send(f"https://hooks.example.org:{port}/", {}, b"{}")
