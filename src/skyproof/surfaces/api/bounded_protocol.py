"""uvicorn's reader of HTTP with a bound on the head of a request, and problems instead of plain text for what is no HTTP."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from skyproof.surfaces.api.problems import MEDIA_TYPE, write_problem

#: Bytes of address and headers together, beside those that came in one piece with the first (a quarter of a megabyte at most).
MOST_HEAD_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _received = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._received = 0
        super().on_message_begin()

    def data_received(self, data: bytes) -> None:
        """Read on; a head without an end is refused."""
        self._received += len(data)
        super().data_received(data)
        if self._received > MOST_HEAD_BYTES and self._is_in_head() and not self.transport.is_closing():
            self._refuse("headers_too_large", f"address and headers are larger than {MOST_HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse("http_error", msg)

    def _is_in_head(self) -> bool:
        is_free = self.cycle is None or self.cycle.response_complete
        return is_free and self.scope is not None and "method" not in self.scope

    def _refuse(self, code: str, detail: str) -> None:
        status, body = write_problem(code, detail)
        lines = [
            STATUS_LINE[status],
            b"content-type: ", MEDIA_TYPE.encode(), b"\r\n",
            b"content-length: %d\r\n" % len(body),
            b"cache-control: no-store\r\nconnection: close\r\n\r\n",
        ]  # fmt: skip
        is_answering = self.cycle is not None and not self.cycle.response_complete
        # Behind the first half of another answer nothing can be said any more.
        if not is_answering or status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self.transport.write(b"".join((*lines, body)))
        self.transport.close()
