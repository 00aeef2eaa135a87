"""The desk that answers: chooses run and sites, names the answer, renders it, and remembers rendered bodies.

An answer is a pure function of run, canonical request, site metadata, customer and renderer version; ``forecast_id`` is
their digest. Hence the same question to the same run is the same id and the same bytes, and a rendered body may be
kept, or made again, at will. What the desk knows of the newest run is at most ``refresh_s`` seconds old, what it knows of the
sites five times that, and three seconds older while one caller asks again. While the database is away the desk answers from what
it knows, and says so in every answer.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from skyproof.archive.archive import Archive
from skyproof.domain.errors import DatabaseAwayError, InvalidValueError, NoRunError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.answers import Answer, Question, forecast_name
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.nearest import SiteIndex
from skyproof.stages.deliver.plans import Plan, make_plan
from skyproof.stages.deliver.points import PointDesk, Points
from skyproof.stages.deliver.questions import ForecastRequest
from skyproof.stages.deliver.rendering import Draw, render
from skyproof.stages.deliver.run_view import DATABASE_AWAY, RunView, make_view, with_warning
from skyproof.stages.deliver.time_axis import TimeAxis, make_axis

#: Rendering more places than this takes long enough to keep other callers waiting.
FEW_PLACES = 16
_MOST_VIEWS = 32
_MOST_PLANS = 1024
#: Of all questions remembered about one customer's sites.
_MOST_ASKED_PLACES = 65_536
#: Sites change rarely, and to read thousands of them takes a tenth of a second: they are known for so many refreshes.
_SITES_FOR = 5
#: While one caller refreshes the others go on with what is older by so many seconds at most: a process that nobody asked for an
#: hour must not give what was known then.
_GRACE_S = 3.0


class _Questions:
    """Questions about the newest run, by canonical request and the run's id."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Question] = {}
        self._places = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, canonical: str, run_id: str) -> Question | None:
        """The question, if it was asked."""
        return self._known.get((canonical, run_id))

    def keep(self, question: Question) -> None:
        """Remember a question."""
        self._places += len(question.places)
        if self._places > _MOST_ASKED_PLACES:
            self._known.clear()
            self._places = len(question.places)
        self._known[question.request.canonical, question.newest_run_id] = question


@dataclass(frozen=True, slots=True)
class _Sites:
    """The sites a customer may ask about in one run, as ``told`` (in ticks), and the questions about its newest run."""

    told: float
    listed: tuple[Site, ...]
    index: SiteIndex
    questions: _Questions


class Desk:
    """Answers forecast requests from an archive; safe to share between threads."""

    def __init__(
        self,
        archive: Archive,
        *,
        draw: Draw | None = None,
        points: Points | None = None,
        nearest_site_km: float = 50.0,
        refresh_s: float = 1.0,
        cache_bytes: int = 64 << 20,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a desk.

        Args:
            archive: where runs and sites are.
            draw: gives scenarios of a run; without it days and members cannot be asked for.
            points: forecasts coordinates that no site answers; without it they are refused.
            nearest_site_km: a coordinate farther than this from every site is a point of its own, or refused.
            refresh_s: how long the newest run is taken as known, in seconds; sites five times as long.
            cache_bytes: how many bytes of rendered bodies to remember.
            ticks: a clock that only moves forward, in seconds.
        """
        self._archive = archive
        self._draw = draw
        self._points = PointDesk(points)
        self._nearest_site_km = nearest_site_km
        self._refresh_s = refresh_s
        self._cache_bytes = cache_bytes
        self._ticks = ticks
        self._newest: tuple[float, Run] | None = None
        self._views: OrderedDict[str, RunView] = OrderedDict()
        self._indexes: dict[tuple[str, str], _Sites] = {}
        self._bodies: OrderedDict[str, Answer] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()

    def is_quick(self, customer_id: str, request: ForecastRequest) -> bool:
        """Whether answering will neither ask the database nor take long."""
        newest = self._newest
        if request.is_pinned or request.release_id or len(request.places) > FEW_PLACES or newest is None:
            return False
        if request.needs_members or FORMS[request.form].maker:
            return False
        index = self._indexes.get((customer_id, newest[1].run_id))
        if index is None:
            return False
        if self._points.is_offered and not request.places[0].site_id:
            # To work points out takes long; whether a coordinate is one shows when it was asked once.
            known = index.questions.get(request.canonical, newest[1].run_id)
            if known is None or known.has_points:
                return False
        return self._may_go_on(newest[0], index.told)

    def ask(self, customer_id: str, request: ForecastRequest, *, now: datetime) -> Question:
        """Find run and sites, and so the name of the answer; renders nothing.

        Raises:
            NoRunError: nothing was published by the time asked for.
            UnknownNameError: a run, site or variable that is not there, or no site near enough.
            InvalidValueError: a time asked for that lies in the future, outside the run, or too many values.
        """
        newest = self._newest_run(now)
        view = self._view(self._choose(request, newest, now))
        sites = self._sites(customer_id, view)
        is_usual = not request.is_pinned and request.release_id is None
        if self._archive.is_away:
            # Other bytes, hence another name, and nothing to remember: what was known is right, and may not be the newest.
            view, is_usual = self._warned(view), False
        if is_usual and (known := sites.questions.get(request.canonical, newest.run_id)):
            return known
        places = self._points.find(view.run, request.places, sites.index, limit_km=self._nearest_site_km)
        self._plan(view, request)
        name = forecast_name(customer_id, request, view, places)
        question = Question(name, customer_id, request, view, newest.run_id, places)
        if is_usual:
            sites.questions.keep(question)
        return question

    def answer(self, question: Question) -> Answer:
        """Render the answer, or find it rendered.

        Raises:
            UnknownNameError: a site is not in the run.
            InvalidValueError: no step in the window, or too many values.
        """
        answer = self.held(question)
        if answer is None:
            answer = self._render(question)
            self._remember(answer)
        return answer

    def recall(self, customer_id: str, request: ForecastRequest, *, now: datetime) -> Question | None:
        """What :meth:`ask` would say, if that is known without asking the archive."""
        newest = self._newest
        if newest is None or newest[1].published_at > now or self._archive.is_away:
            return None
        run_id = newest[1].run_id
        sites = self._indexes.get((customer_id, run_id))
        if sites is None or not self._may_go_on(newest[0], sites.told):
            return None
        return sites.questions.get(request.canonical, run_id)

    def held(self, question: Question) -> Answer | None:
        """What :meth:`answer` would say, if that is rendered."""
        answer = self._recall(question.forecast_id)
        if answer is None or answer.newest_run_id == question.newest_run_id:
            return answer
        # The same run may be asked for by name later, when it is the newest no more.
        return replace(answer, newest_run_id=question.newest_run_id)

    def newest_run(self, *, now: datetime) -> Run:
        """The newest run published by ``now``.

        Raises:
            NoRunError: there is none.
        """
        return self._newest_run(now)

    def prepare(self, *, now: datetime) -> None:
        """Have the newest run at hand, open and described.

        Raises:
            NoRunError: there is none.
            StoreError: it cannot be opened.
        """
        self._view(self._newest_run(now))

    def _render(self, question: Question) -> Answer:
        view, request = question.view, question.request
        if request.needs_members or question.has_points or FORMS[request.form].maker:
            # Other machines and versions of libraries may draw or write it a little differently: what was delivered counts.
            with contextlib.suppress(UnknownNameError):
                return self._delivered(question)
        return render(
            question,
            self._plan(view, request),
            lambda zone: self._axis(view, request, zone),
            self._draw,
            points=self._points.series(question),
        )

    def _delivered(self, question: Question) -> Answer:
        """The answer as this customer got it before.

        Raises:
            UnknownNameError: it never did.
        """
        receipt, body = self._archive.deliveries.body(question.forecast_id, customer_id=question.customer_id)
        return Answer(
            question.forecast_id,
            question.request.canonical,
            question.view.run,
            question.newest_run_id,
            receipt.media_type,
            body,
            receipt.value_digest,
            receipt.bytes_digest,
        )

    def _choose(self, request: ForecastRequest, newest: Run, now: datetime) -> Run:
        if request.as_of is not None and request.as_of > now:
            raise InvalidValueError(
                f"as_of {format_instant(request.as_of)} lies in the future", hint="nobody knows what will be known then"
            )
        as_of, runs = request.as_of or now, self._archive.runs
        if isinstance(request.run, str):
            run = runs.find(request.run)
            if run.published_at > as_of:
                raise NoRunError(f"run {run.run_id} was not published by {format_instant(as_of)}")
        elif request.run is not None:
            run = runs.find_by_init(request.run, as_of=as_of)
        elif request.release_id is not None or request.as_of is not None:
            run = runs.newest(as_of=as_of, release_id=request.release_id)
        else:
            return newest
        if request.release_id not in (None, run.release_id):
            raise UnknownNameError(
                f"run {run.run_id} was not made by {request.release_id}", hint="leave out run, or version"
            )
        return run

    def _newest_run(self, now: datetime) -> Run:
        known = self._newest
        # A clock set back must not show a run that is not yet published then.
        if known is not None and self._is_fresh(known[0]) and known[1].published_at <= now:
            return known[1]
        with self._refresh(needed=known is None or known[1].published_at > now or self._is_old(known[0])) as mine:
            if mine and self._newest is not known:  # somebody else did while this one waited
                known = self._newest
            elif mine:
                ticks = self._ticks()
                with self._getting_by(known is not None and known[1].published_at <= now):
                    known = self._newest = (ticks, self._archive.runs.newest(as_of=now))
        assert known is not None
        return known[1]

    def _view(self, run: Run) -> RunView:
        with self._lock:
            view = self._views.get(run.run_id)
            if view is not None:
                self._views.move_to_end(run.run_id)
                return view
        view = make_view(run, self._archive.runs.open(run), self._archive.sources.all())
        with self._lock:
            self._views[run.run_id] = view
            if len(self._views) > _MOST_VIEWS:
                self._views.popitem(last=False)
        return view

    def _sites(self, customer_id: str, view: RunView) -> _Sites:
        key = (customer_id, view.run.run_id)
        known = self._indexes.get(key)
        if known is not None and self._is_fresh(known.told, _SITES_FOR):
            return known
        with self._refresh(needed=known is None or self._is_old(known.told, _SITES_FOR)) as mine:
            if mine:
                with self._getting_by(known is not None):
                    known = self._read_sites(key, view, known)
        assert known is not None
        return known

    def _read_sites(self, key: tuple[str, str], view: RunView, known: _Sites | None) -> _Sites:
        ticks = self._ticks()
        sites = self._archive.sites.all(customer_id=key[0])
        if known is not None and known.listed == sites:
            known = replace(known, told=ticks)
        else:
            known = _Sites(ticks, sites, _index(sites, view), _Questions())
        with self._lock:
            if len(self._indexes) > 4 * _MOST_VIEWS:
                self._indexes.clear()
            self._indexes[key] = known
        return known

    @contextmanager
    def _getting_by(self, can: bool) -> Iterator[None]:
        """What is read within is done without while the database is away, if it ``can`` be."""
        try:
            yield
        except DatabaseAwayError:
            if not can:
                raise

    def _warned(self, view: RunView) -> RunView:
        key = view.run.run_id + DATABASE_AWAY
        with self._lock:
            warned = self._views.get(key)
            if warned is None:
                warned = self._views[key] = with_warning(view, DATABASE_AWAY)
        return warned

    @contextmanager
    def _refresh(self, *, needed: bool) -> Iterator[bool]:
        """Whether this caller refreshes. While one does, the others go on with what is known, unless it is ``needed``."""
        mine = self._refreshing.acquire(blocking=needed)
        try:
            yield mine
        finally:
            if mine:
                self._refreshing.release()

    def _may_go_on(self, newest_told: float, sites_told: float) -> bool:
        """Whether what is known will do: it is fresh, or somebody is refreshing it and it is not old."""
        if self._is_fresh(newest_told) and self._is_fresh(sites_told, _SITES_FOR):
            return True
        is_old = self._is_old(newest_told) or self._is_old(sites_told, _SITES_FOR)
        return self._refreshing.locked() and not is_old

    def _is_old(self, told: float, times: int = 1) -> bool:
        return self._ticks() - told >= times * self._refresh_s + _GRACE_S

    def _is_fresh(self, told: float, times: int = 1) -> bool:
        return self._ticks() - told < times * self._refresh_s

    def _plan(self, view: RunView, request: ForecastRequest) -> Plan:
        plan = view.plans.get(request.plan_key)
        if plan is None:
            plan = make_plan(view.reader, view.step_hours, request)
            if len(view.plans) >= _MOST_PLANS:
                view.plans.clear()
            view.plans[request.plan_key] = plan
        return plan

    def _axis(self, view: RunView, request: ForecastRequest, zone: str) -> TimeAxis:
        key = (zone, request.axis_key)
        axis = view.axes.get(key)
        if axis is None:
            axis = make_axis(view.run.init_time, view.reader.lead_hours, zone, request)
            if len(view.axes) >= _MOST_PLANS:
                view.axes.clear()
            view.axes[key] = axis
        return axis

    def _recall(self, forecast_id: str) -> Answer | None:
        with self._lock:
            answer = self._bodies.get(forecast_id)
            if answer is not None:
                self._bodies.move_to_end(forecast_id)
            return answer

    def _remember(self, answer: Answer) -> None:
        with self._lock:
            if answer.forecast_id in self._bodies or len(answer.body) > self._cache_bytes:
                return
            self._bodies[answer.forecast_id] = answer
            self._held_bytes += len(answer.body)
            while self._held_bytes > self._cache_bytes:
                self._held_bytes -= len(self._bodies.popitem(last=False)[1].body)


def _index(sites: tuple[Site, ...], view: RunView) -> SiteIndex:
    return SiteIndex(sites, in_run=set(view.reader.site_ids), learned=view.reader.learned)
