"""What can go wrong. Failures of the network are httpx's own errors, once no more attempts are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class SdkError(Exception):
    """Root of all errors of this package."""


class ApiError(SdkError):
    """The server answered with a problem (RFC 9457).

    ``code`` is stable and meant for programs, ``hint`` says what to do, ``errors`` names the parameters that are wrong,
    ``request_id`` is what support asks for.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "http_error"))
        self.detail = str(problem.get("detail", ""))
        self.hint = str(problem.get("hint", ""))
        self.request_id = str(problem.get("request_id", ""))
        errors = problem.get("errors", ())
        self.errors: tuple[Any, ...] = tuple(errors) if isinstance(errors, list) else ()
        told = f"{status} {self.code}: {self.detail}"
        super().__init__(f"{told}; {self.hint}" if self.hint else told)


class ProofError(SdkError):
    """A receipt, its proof or its bytes do not agree: keep all three, and ask the provider why."""


class WaitTimeoutError(SdkError, TimeoutError):
    """What was waited for did not come in time."""


def read_problem(response: httpx.Response) -> ApiError:
    """The problem an answer tells of; also where a machine between us and the server answered something else."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": response.reason_phrase, "request_id": response.headers.get("x-request-id", "")}
    return ApiError(response.status_code, problem)
