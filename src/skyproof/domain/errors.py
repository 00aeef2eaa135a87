"""One tree of errors, grouped by what the caller would do.

::

    SkyproofError
    ├── InputError            the caller sent something wrong: change the input
    │   ├── UnknownNameError      a variable, site, unit, source, release or zone that does not exist here
    │   │   └── NotFoundError         the thing an address names does not exist, or not for who asks
    │   ├── InvalidValueError     right name, impossible value (range, shape, time, size)
    │   ├── ContractError         a file or feed broke its source's contract
    │   │   └── PairMismatchError     forecasts and observations that do not belong together
    │   ├── UnreadableFileError   not the format it claims to be, or cut short
    │   ├── TooLargeError         a body beyond what one request may hold
    │   └── ConflictError         right in itself, but not beside what is there already
    ├── AccessError           who asks, or how often: change the key or wait
    │   ├── AuthenticationError   no key, malformed key, wrong key, expired key
    │   ├── PermissionDeniedError a good key for something it does not open
    │   └── QuotaError            more than the plan allows: wait, or take a larger plan
    ├── NotAvailableError     a right question with no answer (yet): wait, or ask for something else
    │   ├── NoRunError            no run was published by the time asked for
    │   ├── NoReleaseError        nothing has been learned yet
    │   ├── BusyError             too much is asked at once: ask again in a moment
    │   └── RunWithheldError      a run was made, failed its checks and was not published
    └── StoreError            what we keep is away or damaged: an operator looks (``skyproof doctor``)
        ├── IntegrityError        bytes do not match their digest
        └── StoreUnavailableError database or object store does not answer, or is of another version
            ├── DatabaseAwayError     the database cannot be reached, is locked for long, or its disk is full
            └── DayClosedError        a receipt came after its day was closed in the ledger: ask again

Each class has a stable ``kind``; kinds are added, never renamed. A message says what we got, what we wanted and
what to do; ``hint`` holds the last part when it can be said apart.
"""

from __future__ import annotations


class SkyproofError(Exception):
    """Root of all errors raised on purpose."""

    kind = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InputError(SkyproofError):
    """The caller sent something wrong."""

    kind = "input"


class UnknownNameError(InputError):
    """A name that does not exist here."""

    kind = "unknown_name"


class NotFoundError(UnknownNameError):
    """The thing an address names does not exist, or not for who asks."""

    kind = "not_found"


class InvalidValueError(InputError):
    """A known name with an impossible value."""

    kind = "invalid_value"


class ContractError(InputError):
    """Data that break their source's contract."""

    kind = "contract"


class PairMismatchError(ContractError):
    """Forecasts and observations that do not belong together: another hour, place or unit."""

    kind = "pair_mismatch"


class UnreadableFileError(InputError):
    """A file that is not what it claims to be, or is cut short."""

    kind = "unreadable_file"


class TooLargeError(InputError):
    """A body beyond what one request may hold."""

    kind = "too_large"


class ConflictError(InputError):
    """Right in itself, but not beside what is there already."""

    kind = "conflict"


class AccessError(SkyproofError):
    """Who asks, or how often."""

    kind = "access"


class AuthenticationError(AccessError):
    """No key, or a key that opens nothing."""

    kind = "authentication"


class PermissionDeniedError(AccessError):
    """A good key for something it does not open."""

    kind = "permission_denied"


class QuotaError(AccessError):
    """More than the plan allows. ``retry_after_s``: seconds until the same is allowed again; 0 where waiting does not help."""

    kind = "quota"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class NotAvailableError(SkyproofError):
    """A right question with no answer yet."""

    kind = "not_available"


class NoRunError(NotAvailableError):
    """No run was published by the time asked for."""

    kind = "no_run"


class NoReleaseError(NotAvailableError):
    """Nothing has been learned yet."""

    kind = "no_release"


class RunWithheldError(NotAvailableError):
    """A run was made, failed its checks and was not published."""

    kind = "run_withheld"


class BusyError(NotAvailableError):
    """Too much is asked at once. ``retry_after_s``: seconds after which to ask again."""

    kind = "busy"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class StoreError(SkyproofError):
    """What we keep is away or damaged."""

    kind = "store"


class IntegrityError(StoreError):
    """Bytes do not match their digest."""

    kind = "integrity"


class StoreUnavailableError(StoreError):
    """A store that does not answer, or is of another version."""

    kind = "store_unavailable"


class DatabaseAwayError(StoreUnavailableError):
    """A database that cannot be reached, is locked for long, or has no disk left: it may be back in a moment."""

    kind = "database_away"


class DayClosedError(StoreUnavailableError):
    """A receipt that came after its day was closed in the ledger; the question asked again gets one of today."""

    kind = "day_closed"
