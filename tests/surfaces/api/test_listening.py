"""Where the server listens, and what it says when it cannot."""

from __future__ import annotations

import pytest

from skyproof.domain.errors import InvalidValueError
from skyproof.surfaces.api.server import listen


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
