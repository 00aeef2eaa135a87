"""Everything that can go wrong has one shape, a stable code and the request's id, and shows nothing of the inside."""

from __future__ import annotations

import re

import pytest
from starlette.exceptions import HTTPException

from skyproof.archive.archive import Archive
from skyproof.domain import errors
from skyproof.domain.errors import IntegrityError, StoreUnavailableError
from skyproof.surfaces.api import problems
from skyproof.surfaces.api.front import LONGEST_ADDRESS
from tests.surfaces.api.served import calling, fill

MEMBERS = {"type", "title", "status", "code", "detail", "instance", "request_id", "hint", "errors", "error", "reason"}
GOOD = "/v1/forecast?site=zurich&hourly=temperature_2m"
#: Address, status, code, parameters named in ``errors``.
WRONG = {
    "unknown variable": ("/v1/forecast?site=zurich&hourly=ozone", 422, "unknown_name", ["hourly"]),
    "variable of no run": ("/v1/forecast?site=zurich&hourly=cloud_cover", 422, "unknown_name", []),
    "no variable": ("/v1/forecast?site=zurich", 422, "invalid_value", ["hourly"]),
    "unknown site": ("/v1/forecast?site=nowhere&hourly=temperature_2m", 422, "unknown_name", []),
    "impossible site": ("/v1/forecast?site=%00&hourly=temperature_2m", 422, "invalid_value", ["site"]),
    "no place": ("/v1/forecast?hourly=temperature_2m", 422, "invalid_value", ["site"]),
    "far away": ("/v1/forecast?latitude=0&longitude=0&hourly=temperature_2m", 422, "unknown_name", []),
    "off the globe": ("/v1/forecast?latitude=91&longitude=0&hourly=temperature_2m", 422, "invalid_value", ["latitude"]),
    "unit": (f"{GOOD}&temperature_unit=rankine", 422, "unknown_name", ["temperature_unit"]),
    "zone": (f"{GOOD}&timezone=Mars%2FOlympus", 422, "unknown_name", ["timezone"]),
    "time": (f"{GOOD}&as_of=yesterday", 422, "invalid_value", ["as_of"]),
    "future": (f"{GOOD}&as_of=2030-01-01", 422, "invalid_value", []),
    "quantile": (f"{GOOD}&quantiles=50", 422, "invalid_value", ["quantiles"]),
    "form": (f"{GOOD}&format=xml", 422, "unknown_name", ["format"]),
    "window": (f"{GOOD}&forecast_hours=1", 422, "invalid_value", []),
    "parameter": (f"{GOOD}&colour=red", 422, "unknown_name", ["colour"]),
    "refused parameter": (f"{GOOD}&past_days=3", 422, "unknown_name", ["past_days"]),
    "parameters": (GOOD + "&models=skyproof" * 70, 422, "invalid_value", ["models"] * 61 + [""]),
    "bytes that are no text": (f"{GOOD}&timezone=%ff%fe", 422, "unknown_name", ["timezone"]),
    "several": (f"{GOOD}&quantiles=2&format=xml", 422, "invalid_value", ["quantiles", "format"]),
    "places": ("/v1/forecast?hourly=precipitation&site=" + "a," * 1000 + "b", 422, "invalid_value", ["site"]),
    "unknown run": (f"{GOOD}&run=run_0000000000000000", 422, "unknown_name", []),
    "no run then": (f"{GOOD}&as_of=2020-01-01", 404, "no_run", []),
    "no run of that release": (f"{GOOD}&version=rel_0123", 404, "no_run", []),
    "too long": (GOOD + "&site=" + "x" * LONGEST_ADDRESS, 414, "uri_too_long", []),
    "address": ("/v1/forcast", 404, "not_found", []),
    "address with a slash": ("/v1/sites/", 404, "not_found", []),
    "delivery": ("/v1/forecasts/fc_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404, "not_found", []),
    "no delivery's name": ("/v1/forecasts/%00", 404, "not_found", []),
    "endless delivery": ("/v1/forecasts/" + "f" * 5000, 404, "not_found", []),
    "model": ("/v1/models/gfs", 404, "not_found", []),
    "versions of no model": ("/v1/models/gfs/versions", 404, "not_found", []),
    "versions after none": ("/v1/models/skyproof/versions?cursor=rel_0", 422, "invalid_value", []),
    "source": ("/v1/sources/boreas", 404, "not_found", []),
    "runs of no model": ("/v1/runs?model=gfs", 422, "invalid_value", ["model"]),
    "run too far": ("/v1/runs/latest?min_lead_hours=31", 404, "no_run", []),
    "run farther still": ("/v1/runs/latest?min_lead_hours=1001", 422, "invalid_value", ["min_lead_hours"]),
    "since when in seconds": ("/v1/runs?since=0.5", 422, "invalid_value", ["since"]),
    "threshold of nothing": (f"{GOOD}&exceedance=precipitation%3E1", 422, "unknown_name", ["exceedance"]),
    "no threshold": (f"{GOOD}&exceedance=temperature_2m", 422, "invalid_value", ["exceedance"]),
    "day's statistic": (f"{GOOD}&daily=temperature_2m", 422, "unknown_name", ["daily"]),
    "day's statistic of no run": (f"{GOOD}&daily=cloud_cover_max", 422, "unknown_name", []),
    "members": (f"{GOOD}&members=0", 422, "invalid_value", ["members"]),
    "date": (f"{GOOD}&start_date=2025-02-30", 422, "invalid_value", ["start_date"]),
    "two windows": (f"{GOOD}&start_date=2025-03-30&end_hour=2025-03-30T12:00", 422, "invalid_value", ["start_hour and end_hour"]),
    "two axes in a table": (f"{GOOD}&daily=temperature_2m_max&format=arrow", 422, "invalid_value", ["format"]),
    "wrong in flatbuffers": (f"{GOOD}&format=flatbuffers&quantiles=0.33", 400, "invalid_value", ["format"]),
    "nothing in flatbuffers": (f"{GOOD}&format=flatbuffers&as_of=2020-01-01", 400, "no_run", []),
    "page": ("/v1/sites?limit=0", 422, "invalid_value", ["limit"]),
    "page in words": ("/v1/runs?limit=all", 422, "invalid_value", ["limit"]),
    "page of nothing": ("/v1/sites?page=2", 422, "unknown_name", ["page"]),
    "cursor": ("/v1/sites?cursor=" + "x" * 101, 422, "invalid_value", ["cursor"]),
    "cursor of another list": ("/v1/runs?cursor=run_0000000000000000", 422, "invalid_value", []),
    "since when": ("/v1/runs?since=yesterday", 422, "invalid_value", ["since"]),
    "since where": ("/v1/runs?since=2025-01-01T00:00:00", 422, "invalid_value", []),
    "since before time": ("/v1/runs?since=0001-01-01T00:00:00%2B14:00", 422, "invalid_value", []),
    "parameter for nothing": ("/v1/status?verbose=1", 422, "unknown_name", ["verbose"]),
}  # fmt: skip


def check_problem(answer, status: int, code: str) -> dict:
    """Assert the shape; returns the problem."""
    made = answer.json()
    assert (answer.status_code, made["code"]) == (status, code), made
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert set(made) == MEMBERS
    assert made["status"] == status
    assert made["title"] == problems.BY_CODE[code].title
    assert made["type"] == f"/docs#problem-{code}"
    assert made["request_id"] == answer.headers["x-request-id"]
    assert (made["error"], made["reason"]) == (True, made["detail"])  # what Open-Meteo's clients look for
    assert all(isinstance(made[name], str) and made[name] for name in MEMBERS - {"status", "errors", "error"})
    assert all(set(error) == {"parameter", "value", "code", "detail", "hint"} for error in made["errors"])
    assert all(isinstance(value, str) for error in made["errors"] for value in error.values())
    assert "Traceback" not in answer.text
    assert len(answer.content) < 20_000
    return made


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_a_problem(ask, name):
    address, status, code, parameters = WRONG[name]
    made = check_problem(ask(address), status, code)
    assert [error["parameter"] for error in made["errors"]] == parameters
    assert made["instance"] == address.partition("?")[0].replace("%00", "\x00")


@pytest.mark.parametrize(
    "name", ["delivery", "no delivery's name", "no run then", "since before time", "cursor of another list"]
)
def test_what_asks_the_database_is_as_wrong_on_either(archive: Archive, name):
    address, status, code, _ = WRONG[name]
    with calling(archive, fill(archive).tokens) as ask:
        check_problem(ask(address), status, code)


def test_the_first_fault_is_told_and_the_others_counted(ask):
    made = check_problem(ask(f"{GOOD}&quantiles=2&format=xml&timezone=Nowhere"), 422, "invalid_value")
    assert made["detail"] == "quantile '2' is impossible (and 2 more)"
    assert made["errors"][2] == {
        "parameter": "format", "value": "xml", "code": "unknown_name", "detail": "format 'xml' is not known",
        "hint": "use one of json, csv, arrow, parquet, covjson, flatbuffers",
    }  # fmt: skip


@pytest.mark.parametrize("key", [None, "expired", "revoked"])
def test_a_key_that_opens_nothing_is_a_problem(ask, key):
    check_problem(ask("/v1/sites", key=key), 401, "authentication")
    check_problem(ask.forecast(key=key), 401, "authentication")


def test_a_key_without_the_scope_is_a_problem(ask):
    check_problem(ask.forecast(key="scopeless"), 403, "permission_denied")


@pytest.mark.parametrize("path", ["/v1/forecast", "/v1/forecasts/fc_x", "/v1/runs", "/healthz", "/docs"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_another_method_is_a_problem_that_says_which_are_allowed(ask, path, method):
    answer = ask(path, method=method)
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_every_method_of_an_address_is_told(ask):
    answer = ask("/v1/sites", method="PUT")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert ask("/v1/sites/x", method="OPTIONS").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


def test_options_says_which_methods_are_allowed(ask):
    answer = ask("/v1/forecast", method="OPTIONS", key=None)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


#: What each of our errors is on the wire.
ERRORS = {
    errors.SkyproofError: (500, "internal"),
    errors.InputError: (422, "input"),
    errors.UnknownNameError: (422, "unknown_name"),
    errors.NotFoundError: (404, "not_found"),
    errors.InvalidValueError: (422, "invalid_value"),
    errors.ContractError: (422, "input"),
    errors.PairMismatchError: (422, "input"),
    errors.UnreadableFileError: (422, "input"),
    errors.TooLargeError: (413, "too_large"),
    errors.ConflictError: (409, "conflict"),
    errors.AccessError: (403, "permission_denied"),
    errors.AuthenticationError: (401, "authentication"),
    errors.PermissionDeniedError: (403, "permission_denied"),
    errors.QuotaError: (429, "quota"),
    errors.NotAvailableError: (404, "not_available"),
    errors.NoRunError: (404, "no_run"),
    errors.NoReleaseError: (404, "no_release"),
    errors.BusyError: (429, "busy"),
    errors.RunWithheldError: (404, "not_available"),
    errors.StoreError: (500, "internal"),
    errors.IntegrityError: (500, "internal"),
    errors.StoreUnavailableError: (503, "store_unavailable"),
    errors.DatabaseAwayError: (503, "database_away"),
    errors.DayClosedError: (503, "day_closed"),
}


def kinds_of(cls: type[errors.SkyproofError]) -> list[type[errors.SkyproofError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in kinds_of(child))]


def test_no_error_of_ours_is_forgotten():
    ours = {cls for cls in kinds_of(errors.SkyproofError) if cls.__module__ == errors.__name__}
    assert set(ERRORS) == ours


@pytest.mark.parametrize("kind", ERRORS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("address", ["/v1/sites", GOOD])
def test_every_error_of_ours_is_a_problem_wherever_it_arises(served, ask, monkeypatch, kind, address):
    def fail(**_):
        raise kind("what happened at /home/us", hint="look at /home/us")

    assert ask(address).status_code == 200
    monkeypatch.setattr(served.archive.sites, "all", fail)
    answer = ask(address)
    if kind is errors.DatabaseAwayError and address == GOOD:
        assert answer.status_code == 200  # from what is known
        return
    check_problem(answer, *ERRORS[kind])
    assert ("/home/us" in answer.text) == (answer.status_code < 500)  # our own troubles stay inside


def test_a_store_that_does_not_answer_says_when_to_try_again(served, ask, monkeypatch):
    def away(**_):
        raise StoreUnavailableError("the database postgresql://us@inside refused")

    monkeypatch.setattr(served.archive.runs, "newest", away)
    for path in ("/v1/runs/latest", "/readyz", GOOD):
        answer = ask(path)
        check_problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert "inside" not in answer.text


@pytest.mark.parametrize("address", ["/v1/sites", GOOD])
def test_what_nobody_foresaw_is_a_problem_and_logged_whole(served, ask, monkeypatch, caplog, address):
    def fail(**_):
        raise ZeroDivisionError("secret of the inside")

    monkeypatch.setattr(served.archive.sites, "all", fail)
    answer = ask(address)
    made = check_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert made["request_id"] in caplog.text
    assert "secret of the inside" in caplog.text


def test_other_refusals_of_the_framework_keep_their_status(served, ask, monkeypatch):
    def fail(**_):
        raise HTTPException(418)

    monkeypatch.setattr(served.archive.sites, "all", fail)
    check_problem(ask("/v1/sites"), 418, "http_error")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailableError("disk full"), 503, "store_unavailable"),
        (IntegrityError("other bytes"), 500, "internal"),
        (RuntimeError("the writer broke"), 503, "store_unavailable"),
    ],
    ids=["store away", "other bytes", "unforeseen"],
)
def test_a_receipt_that_cannot_be_written_keeps_the_forecast_back(served, ask, monkeypatch, error, status, code):
    def refuse(*_):
        raise error

    delivered = ask.forecast()
    again = "/v1/forecasts/" + delivered.json()["meta"]["forecast_id"]
    before = served.archive.deliveries.count()
    with monkeypatch.context() as patch:
        patch.setattr("skyproof.archive.deliveries.ReceiptWriter._write", refuse)
        for answer in (ask.forecast(), ask(again)):
            check_problem(answer, status, code)
            assert b"hourly" not in answer.content
    assert served.archive.deliveries.count() == before
    assert ask.forecast().content == ask(again).content == delivered.content


def test_a_damaged_body_is_not_delivered_again(sqlite_archive: Archive):
    with calling(sqlite_archive, fill(sqlite_archive).tokens) as ask:
        name = ask.forecast().json()["meta"]["forecast_id"]
        with sqlite_archive.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE bodies SET body = substr(body, 1, 20)")
        check_problem(ask(f"/v1/forecasts/{name}"), 500, "internal")


def test_an_empty_home_is_alive_but_not_ready(archive: Archive):
    served = fill(archive)
    with archive.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
    with calling(archive, served.tokens) as ask:
        assert ask("/healthz", key=None).json() == {"status": "ok"}
        check_problem(ask("/readyz", key=None), 404, "no_run")
        check_problem(ask("/v1/runs/latest"), 404, "no_run")
        check_problem(ask.forecast(), 404, "no_run")
        assert ask("/v1/runs").json() == {"runs": [], "next_cursor": None}
        status = ask("/v1/status").json()
        assert (status["status"], status["newest_run"], status["run_age_hours"]) == ("no_run", None, None)


def test_a_run_whose_file_is_gone_makes_the_home_not_ready(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    (path,) = sqlite_archive.home.rglob(served.second.object_key.rpartition("/")[2])
    path.unlink()
    with calling(sqlite_archive, served.tokens) as ask:
        check_problem(ask("/readyz", key=None), 500, "internal")
        check_problem(ask.forecast(), 500, "internal")
        assert ask.forecast({"run": "2025-03-29T12:00Z"}).status_code == 200


def test_the_callers_request_id_is_kept_if_it_is_one(ask):
    assert ask("/healthz", X_Request_Id="trace-0123_ABC").headers["x-request-id"] == "trace-0123_ABC"
    for strange in ("short", "x" * 65, "two words", "<script>"):
        assert re.fullmatch(r"req_[0-9a-f]{16}", ask("/healthz", X_Request_Id=strange).headers["x-request-id"])
    ids = {ask("/healthz").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


def test_every_code_is_explained_where_its_type_points(ask):
    page = ask("/docs", key=None).text
    for code in problems.CODES:
        assert f'id="problem-{code.code}"' in page
        assert code.meaning in page
