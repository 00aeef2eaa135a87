"""Where pushes may go, and going there: a customer's address must never make us call something inside our own network.

The name is resolved once, every address it has is checked, and the connection goes to an address that was checked: a name that
answers differently a moment later (DNS rebinding) changes nothing. Redirects are not followed. The certificate is checked against
the name. An attempt has one deadline for everything.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from skyproof.domain.errors import InvalidValueError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Gives the addresses of a host, as text.
Resolver = Callable[[str, int], Iterable[str]]

LONGEST_URL = 500
#: Seconds for one attempt, from the connection to the status line.
DEADLINE_S = 15.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:.]{2,45}")
_HINT = "give a public https address, for example https://hooks.example.org/skyproof"


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart. ``path`` begins with a slash and holds the query."""

    is_tls: bool
    host: str
    port: int
    path: str


class UnreachableError(Exception):
    """An attempt that got no answer; the message is for the owner of the webhook."""


def read_url(url: str) -> Target:
    """Take a webhook's address apart.

    Raises:
        InvalidValueError: it is not of a form that is called.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (
            (parts.hostname or "").encode("idna").decode() if not (parts.hostname or "").isascii() else parts.hostname
        )
    except (ValueError, UnicodeError) as error:
        raise InvalidValueError("the url cannot be read", hint=_HINT) from error
    if len(url) > LONGEST_URL or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise InvalidValueError(f"the url is longer than {LONGEST_URL} characters, or not plain ASCII", hint=_HINT)
    if parts.scheme not in ("https", "http") or not host or not _HOST.fullmatch(host):
        raise InvalidValueError("the url names no web host", hint=_HINT)
    if "@" in parts.netloc or parts.fragment:
        raise InvalidValueError(
            "the url holds credentials or a fragment", hint="signatures tell that it is us; leave them out"
        )
    is_tls = parts.scheme == "https"
    port = port if port is not None else 443 if is_tls else 80
    if port != (443 if is_tls else 80) and not 1024 <= port <= 65535:
        raise InvalidValueError(f"port {port} is not called", hint="use 443, or one from 1024 on")
    return Target(is_tls, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: IpAddress) -> bool:
    """Whether an address belongs to the open Internet, also where it is written inside another one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver.

    Raises:
        UnreachableError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError("the host is not found") from error
    return [str(entry[4][0]) for entry in found]


class Courier:
    """Carries pushes."""

    def __init__(
        self,
        *,
        networks: Iterable[str] = (),
        resolver: Resolver = resolve,
        context: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Make a courier.

        Args:
            networks: private networks that may be called all the same, in CIDR; there plain http will do.
            resolver: gives the addresses of a host.
            context: which certificates are trusted; the system's by default.
            deadline_s: for one attempt, in seconds.

        Raises:
            InvalidValueError: no network.
        """
        try:
            self._networks: tuple[IpNetwork, ...] = tuple(ipaddress.ip_network(text) for text in networks)
        except ValueError as error:
            raise InvalidValueError(
                f"a network that webhooks may reach is none: {error}", hint="write it like 10.1.0.0/16"
            ) from error
        self._resolver = resolver
        self._context = context
        self._deadline_s = deadline_s

    def check(self, url: str) -> tuple[Target, str]:
        """The target of a url and the address to connect to.

        Raises:
            InvalidValueError: a form that is not called, or a host any of whose addresses is not public.
            UnreachableError: the host is not found.
        """
        target = read_url(url)
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in self._resolver(target.host, target.port)]
        if not found:
            raise UnreachableError("the host is not found")
        if all(self._is_granted(address) for address in found):
            return target, str(found[0])
        if not all(is_public(address) for address in found):
            raise InvalidValueError("the url leads to an address that is not public", hint=_HINT)
        if not target.is_tls:
            raise InvalidValueError("the url is not https", hint=_HINT)
        return target, str(found[0])

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """POST a body; returns the status, whatever it is.

        Raises:
            InvalidValueError: see :meth:`check`.
            UnreachableError: nothing that answers HTTP in time.
        """
        target, address = self.check(url)
        connection = _Connection(target, address, timeout=self._deadline_s, context=self._context)
        # A server that trickles bytes never meets a timeout of single reads: this one ends the whole attempt.
        watchdog = threading.Timer(self._deadline_s, connection.abort)
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", target.path, body, {**headers, "Connection": "close"})
            return connection.getresponse().status
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {self._deadline_s:g} s") from error
        except ssl.SSLError as error:
            raise UnreachableError(f"TLS failed: {error.reason or 'handshake'}"[:100]) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = f"no answer within {self._deadline_s:g} s" if connection.is_aborted else type(error).__name__
            raise UnreachableError(f"the connection failed: {reason}") from error
        finally:
            watchdog.cancel()
            connection.close()

    def _is_granted(self, address: IpAddress) -> bool:
        return any(address in network for network in self._networks)


class _Connection(http.client.HTTPConnection):
    """HTTP to an address that was checked, in the name of its host."""

    def __init__(self, target: Target, address: str, *, timeout: float, context: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target = target
        self._address = address
        self._context = context
        self.is_aborted = False
        if target.is_tls:
            self.default_port = 443

    def connect(self) -> None:
        """Connect; no name is looked up again."""
        plain = socket.create_connection((self._address, self._target.port), self.timeout)
        self.sock = plain
        if self._target.is_tls:
            context = self._context or ssl.create_default_context()
            # The handshake comes after, so that the watchdog holds the socket that does it.
            secured = context.wrap_socket(plain, server_hostname=self._target.host, do_handshake_on_connect=False)
            self.sock = secured
            secured.do_handshake()

    def abort(self) -> None:
        """End what is under way."""
        self.is_aborted = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it ended meanwhile
