"""Bodies of requests: bounded as they arrive and as they unfold, then checked member by member.

A body is read after the key has opened, never before: nobody without a key makes this process hold anything.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from skyproof.domain.errors import InvalidValueError, TooLargeError, UnreadableFileError
from skyproof.stages.deliver.requests import Fault

ModelT = TypeVar("ModelT", bound=BaseModel)

#: Bytes of a body that describes one thing.
SMALL_BODY = 64 << 10
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_ENCODINGS = ("identity", "gzip")


class BodyFaultsError(Exception):
    """Everything that is wrong with a body; told like faults of parameters."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


class MediaTypeError(Exception):
    """A body in a form nobody here reads."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


async def read_body(request: Request, *, most_bytes: int = SMALL_BODY) -> bytes:
    """The body of a request, unfolded; neither what arrives nor what it unfolds to may be larger than ``most_bytes``.

    Raises:
        TooLargeError: it is.
        MediaTypeError: an encoding that is not known.
        UnreadableFileError: it is not what its encoding says.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _ENCODINGS:
        raise MediaTypeError(f"content encoding {encoding[:40]!r} is not known", f"use one of {', '.join(_ENCODINGS)}")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:19]) > most_bytes:
        raise _too_large(most_bytes)
    parts, held = [], 0
    async for part in request.stream():
        held += len(part)
        if held > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
    return unfold(b"".join(parts), encoding, most_bytes=most_bytes)


def unfold(data: bytes, encoding: str, *, most_bytes: int) -> bytes:
    """Undo a content encoding; never makes more than ``most_bytes``, however little the data say it is.

    Raises:
        TooLargeError: it would be more.
        UnreadableFileError: it is not what its encoding says, or is cut short.
    """
    made = data
    if encoding == "gzip":
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            made = inflater.decompress(data, most_bytes + 1)
        except zlib.error as error:
            raise UnreadableFileError("the body is no gzip", hint="check Content-Encoding") from error
        if len(made) <= most_bytes and (not inflater.eof or inflater.unused_data):
            raise UnreadableFileError("the gzip body is cut short or followed by more", hint="send one gzip stream")
    if len(made) > most_bytes:
        raise _too_large(most_bytes)
    return made


def media_type(request: Request) -> str:
    """The media type of a body, without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_json(data: bytes) -> Any:
    """Plain JSON.

    Raises:
        UnreadableFileError: it is none.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableFileError(f"the body is no JSON: {str(error)[:100]}", hint="send one JSON object") from error


def parse_model(request: Request, data: bytes, model: type[ModelT]) -> ModelT:
    """A JSON body as a model; an empty body is an empty object.

    Raises:
        MediaTypeError: it does not say that it is JSON.
        UnreadableFileError: it is no JSON.
        BodyFaultsError: members that are unknown, missing or impossible; every one is named.
    """
    if data and media_type(request) != "application/json":
        raise MediaTypeError("the body does not say that it is JSON", "send Content-Type: application/json")
    try:
        return model.model_validate(parse_json(data) if data else {})
    except ValidationError as error:
        raise BodyFaultsError(tuple(_fault(dict(item)) for item in error.errors()[:64])) from error


def idempotency_key(request: Request) -> str:
    """The Idempotency-Key of a request, or an empty text.

    Raises:
        InvalidValueError: longer than 128 characters, or not plain ASCII.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidValueError(
            f"the Idempotency-Key of {len(key)} characters is impossible",
            hint="give 1 to 128 printable ASCII characters without spaces, for example a UUID",
        )
    return key


def request_digest(request: Request, body: bytes) -> str:
    """What stands for a request: method, address and body."""
    address = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(address.encode() + body).hexdigest()


def _too_large(most_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {most_bytes:,} bytes", hint="send it in several requests")


def _fault(item: dict[str, Any]) -> Fault:
    where = ".".join(str(part) for part in item["loc"])[:80]
    value = str(item.get("input", ""))[:80]
    if item["type"] == "extra_forbidden":
        return Fault(where, value, "unknown_name", f"{where} is not known here")
    return Fault(
        where, "" if item["type"] == "missing" else value, "invalid_value", f"{where or 'body'}: {item['msg']}"[:200]
    )
