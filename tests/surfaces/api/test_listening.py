"""Where the server listens, and what it says when it cannot."""

from __future__ import annotations

import http.client
import threading

import pytest
import uvicorn

from skyproof.domain.errors import InvalidValueError
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.server import _config, listen
from tests.surfaces.api.served import MovableClock


def test_port_zero_takes_any_that_is_free():
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_a_port_that_is_taken_is_told_with_what_to_do():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            InvalidValueError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"
        ) as caught:
            listen("127.0.0.1", port)
    assert "--port" in caught.value.hint


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("192.0.2.1", 0), ("127.0.0.1.1", 0)])
def test_an_address_that_is_not_ours_is_refused(host, port):
    with pytest.raises(InvalidValueError, match="cannot listen on"):
        listen(host, port)


def test_head_over_a_real_connection_sends_no_body_keeps_the_connection_and_logs_nothing(served, caplog):
    server = uvicorn.Server(_config(create_app(served.archive, clock=MovableClock())))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=30)
            headers = {"X-API-Key": served.tokens["acme"]}
            sizes = []
            for method in ("HEAD", "GET", "HEAD", "HEAD"):
                connection.request(method, "/v1/forecast?site=zurich&hourly=temperature_2m", headers=headers)
                first = connection.sock
                answer = connection.getresponse()
                assert answer.status == 200
                sizes.append((len(answer.read()), int(answer.headers["content-length"])))
                assert connection.sock is first  # not closed by the server
            connection.close()
        finally:
            server.should_exit = True
            thread.join()
    length = sizes[1][1]
    assert sizes == [(0, length), (length, length), (0, length), (0, length)]
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
