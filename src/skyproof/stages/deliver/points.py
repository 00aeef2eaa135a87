"""Places between the sites: found where a coordinate is asked that no site answers, forecast by whoever can, kept for a while.

To work a point out takes a processor for some tenths of a second: one at a time is, a few callers wait, the others are sent away
with the time to come back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from skyproof.archive.run_file import SiteSeries
from skyproof.domain.errors import BusyError, InvalidValueError, NotAvailableError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.sites import Site
from skyproof.stages.deliver.answers import Question
from skyproof.stages.deliver.nearest import Calibration, FoundSite, SiteIndex
from skyproof.stages.deliver.questions import Place

#: Points of one answer that no site answers.
MOST_POINTS = 100
#: A point is a coordinate in so many decimals of a degree: a hundred metres.
POINT_DECIMALS = 3
#: Callers that may wait for the one whose points are worked out.
_MOST_WAITING = 8
_RETRY_AFTER_S = 1
#: Points kept: 60 MB of them for four variables at twenty leads.
_MOST_KEPT = 4096


class Points(Protocol):
    """Forecasts runs at places they do not have; the same run and place give the same numbers."""

    def locate(self, run: Run, latitude: float, longitude: float) -> Site:
        """The place at a coordinate, with the height that its forecast is for.

        Raises:
            NotAvailableError: the run was made from no cycle that knows more than its sites.
            UnknownNameError: the coordinate lies outside what its cycles cover.
        """
        ...

    def forecast(self, run: Run, places: Sequence[Site], customer_id: str) -> Sequence[SiteSeries]:
        """A run at places, each as :meth:`locate` gave it, from what a customer may know of."""
        ...


class PointDesk:
    """Finds and forecasts points; safe to share between threads."""

    def __init__(self, points: Points | None) -> None:
        self._points = points
        self._kept: OrderedDict[tuple[str, str, str], SiteSeries] = OrderedDict()
        self._lock = threading.Lock()
        self._working = threading.Lock()
        self._turns = threading.BoundedSemaphore(1 + _MOST_WAITING)

    @property
    def is_offered(self) -> bool:
        """Whether there is anyone to forecast points."""
        return self._points is not None

    def find(self, run: Run, places: Sequence[Place], index: SiteIndex, *, limit_km: float) -> tuple[FoundSite, ...]:
        """Who answers for each place: the site named, the nearest one within the limit, or else the point itself.

        Raises:
            UnknownNameError: none of them.
            InvalidValueError: too many points.
        """
        found: list[FoundSite] = []
        points: set[str] = set()
        for place in places:
            found.append(self._find(run, place, index, limit_km))
            if found[-1].is_point:
                points.add(found[-1].site.site_id)
            if len(points) > MOST_POINTS:
                raise InvalidValueError(
                    f"more than {MOST_POINTS} places are no sites, at most {MOST_POINTS} are worked out at once",
                    hint="ask for fewer at a time, or register them as sites",
                )
        return tuple(found)

    def _find(self, run: Run, place: Place, index: SiteIndex, limit_km: float) -> FoundSite:
        if place.site_id:
            return index.by_id(place.site_id)
        try:
            return index.nearest(place.latitude, place.longitude, limit_km=limit_km)
        except UnknownNameError as error:
            if self._points is None:
                raise
            # Adding nothing makes minus zero zero.
            latitude, longitude = (
                round(degrees, POINT_DECIMALS) + 0.0 for degrees in (place.latitude, place.longitude)
            )
            try:
                site = self._points.locate(run, latitude, longitude)
            except NotAvailableError:
                raise error from None
            except UnknownNameError as outside:
                raise UnknownNameError(f"{error.message}, and {outside.message}", hint=error.hint) from outside
        calibration = Calibration("interpolated", index.record_km(latitude, longitude))
        return FoundSite(site, place.latitude, place.longitude, calibration, 0.0)

    def series(self, question: Question) -> Mapping[str, SiteSeries]:
        """The numbers of the points of a question, by the ids of their places; nothing where sites answer all of it.

        Raises:
            BusyError: others wait for theirs already.
        """
        wanted = {found.site.site_id: found.site for found in question.places if found.is_point}
        if not wanted or self._points is None:
            return {}
        run, customer_id = question.view.run, question.customer_id
        held = self._held(run, customer_id, wanted)
        lacking = [site for site_id, site in wanted.items() if site_id not in held]
        if lacking:
            with self._turn():
                made = self._points.forecast(run, lacking, customer_id)
            for site, series in zip(lacking, made, strict=True):
                held[site.site_id] = series
            self._keep(run, customer_id, held)
        return held

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            raise BusyError(
                "too many points are being worked out", hint="ask again in a moment", retry_after_s=_RETRY_AFTER_S
            )
        try:
            with self._working:
                yield
        finally:
            self._turns.release()

    def _held(self, run: Run, customer_id: str, wanted: Mapping[str, Site]) -> dict[str, SiteSeries]:
        with self._lock:
            found = {}
            for site_id in wanted:
                key = (run.run_id, customer_id, site_id)
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[site_id] = self._kept[key]
            return found

    def _keep(self, run: Run, customer_id: str, made: Mapping[str, SiteSeries]) -> None:
        with self._lock:
            for site_id, series in made.items():
                self._kept[run.run_id, customer_id, site_id] = series
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
