"""The pages of a project and their JSON, over its history; what acts is a command as well."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from dbtorch.core.errors import (
    DbtorchError,
    NotFound,
    NothingToDo,
    RunInProgress,
    StoreError,
    UsageError,
)
from dbtorch.core.model.state import RunState
from dbtorch.core.text.json_text import document, to_json
from dbtorch.ports.store import Store
from dbtorch.service.health.overview import Overview, overview
from dbtorch.service.history.log_text import piece_of
from dbtorch.service.history.logs import AttemptLog, find_log, missing
from dbtorch.service.history.lookup import is_driven, resolve_run
from dbtorch.service.history.run import show_run
from dbtorch.service.history.run_json import run_json, summary_json
from dbtorch.service.history.run_page import NOTHING_AFTER, page_json, run_page
from dbtorch.service.history.runs import list_runs
from dbtorch.service.project.artifacts import artifacts_for_reading
from dbtorch.service.project.known_secrets import scrubber_of_environment
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.run.apart import apart
from dbtorch.service.wish import Start, Wish, perform, settled
from dbtorch.web.acting import NoJson, NotAllowed, act, body_of
from dbtorch.web.answers import STATIC, base, common, html, json_answer, number
from dbtorch.web.feed import Feed, Message, changes
from dbtorch.web.graph_pages import graph_routes
from dbtorch.web.openapi import openapi
from dbtorch.web.pages import data, render, static
from dbtorch.web.security import Guard, cookie_of, is_same, may_act

#: Seconds for which what was found of the whole project is shown to everybody.
_FRESH = 2.0

#: Seconds for which a history that is away is tried again before people are told.
PATIENCE = 1.0

#: Seconds between two looks of a stream whether the server ends, and without a message after which
#: it gives a sign of life.
_LOOK, _SILENCE = 0.5, 15.0

#: Pages of runs that are kept.
_KEPT = 10

#: Modules that the page of a run needs, so that none waits until another one asks for it.
_OF_RUN = ("run.js", "common.js", "lanes.js", "live.js")

#: Most runs of a list.
_MOST = 1000


@dataclass(slots=True)
class Site:
    """The project that the pages are about."""

    project_dir: Path
    name: str
    store: Store
    options: RunOptions
    token: str = ""  # who does not have it is refused; empty: everybody may read
    acting: str = ""  # who has it may act, where everybody may read; empty: nobody
    start: Start | None = None  # of what runs; None: as processes of this dbtorch
    writing: Callable[[], AbstractContextManager[Store]] | None = None  # where ``store`` only reads
    _overview: tuple[float, Overview] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def overview(self) -> Overview:
        """How the project stands, a moment ago at most."""
        with self._lock:
            if self._overview is None or time.monotonic() - self._overview[0] > _FRESH:
                self._overview = (time.monotonic(), overview(self.store, self.options))
            return self._overview[1]

    @property
    def key(self) -> str:
        """The token of those who may act; empty: nobody may."""
        return self.token or self.acting

    def perform(self, wish: Wish) -> tuple[str, ...]:
        """Do what somebody wants, as its command does; answers that in sentences."""
        start = self.start or apart(self.options, self.project_dir).start
        if self.writing is None:
            return perform(wish, self.store, self.options, start)
        with self.writing() as store:
            return perform(wish, store, self.options, start)

    def command(self, wish: Wish) -> str:
        """The command that does the same. Raises `NotFound`, `UsageError`."""
        config = open_project(str(self.project_dir), self.options.environ).config
        return settled(wish, self.store, config).command

    def log(self, run: str, node: str, attempt: int | None) -> AttemptLog:
        """The log of an attempt, fetched where it is elsewhere. Raises `NotFound`, `UsageError`."""
        url = self.options.artifacts_url
        found = find_log(
            self.store,
            run,
            node,
            attempt=attempt,
            project_dir=self.project_dir,
            artifacts=partial(artifacts_for_reading, self.project_dir, url),
        )
        found.fetch(found)
        return found


def application(site: Site, hosts: list[str]) -> Starlette:
    """The pages; ``hosts`` are the names that they may be called by."""
    pages = _Pages(site)
    graphs = graph_routes(site.store, site.project_dir, site.name, site.options.environ)
    app = Starlette(
        routes=[
            Route("/", pages.home),
            Route("/runs/{run}", pages.run),
            Route("/runs/{run}/log", pages.log),
            *graphs,
            Route("/token", pages.token),
            Route("/static/{version}/{name}", pages.static),
            Route("/api/v1/session", pages.session, methods=["POST"]),
            Route("/api/v1/actions", act, methods=["POST"]),
            Route("/api/v1/openapi.json", pages.openapi),
            Route("/api/v1/runs", pages.runs_json),
            Route("/api/v1/runs/{run}", pages.run_json),
            Route("/api/v1/runs/{run}/changes", pages.changes),
            Route("/api/v1/runs/{run}/events", pages.events),
            Route("/api/v1/runs/{run}/log", pages.log_text),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(Guard, token=site.token),
            # level 9 takes seven times as long, for a quarter fewer bytes
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=2),
        ],
        exception_handlers={
            NoJson: _told(415),
            NotAllowed: _told(403),
            NotFound: _told(404),
            RunInProgress: _told(409),
            UsageError: _told(400),
            NothingToDo: _told(409),
            StoreError: _told(503),
            DbtorchError: _told(500),
        },
    )
    app.state.site = site
    return app


def _told(status: int) -> Any:
    def handle(request: Request, error: Exception) -> Response:
        told = "the history does not answer" if isinstance(error, StoreError) else str(error)
        said = scrubber_of_environment()(told)  # what went wrong may quote anything
        if request.url.path.removeprefix(request.scope.get("root_path", "")).startswith("/api/"):
            return json_answer(to_json({"error": said}), status)
        page = render("error.html", **common(request), said=said, status=status)
        return Response(page, status, media_type="text/html")

    return handle


class _Pages:
    """One method for each address."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._store = site.store
        self._feed = Feed(site.store.apart(patience=PATIENCE))
        self._kept: dict[str, tuple[object, str]] = {}  # run -> what it was, and its page

    # ---------------------------------------------------------------- pages

    def home(self, request: Request) -> Response:
        return self._page("home.html", request, seen=self._site.overview())

    def run(self, request: Request) -> Response:
        """A run; its page is kept until something is done to it, for a moment while it goes on."""
        run_id = resolve_run(self._store, request.path_params["run"])
        key = self._site.key
        acts = bool(key) and may_act(request, key)
        news = self._store.run_changes(run_id, after=NOTHING_AFTER)
        goes_on = news is not None and news.state is RunState.RUNNING
        # many may watch one that goes on, and all of them ask when something fails
        alive = goes_on and (time.monotonic() // _FRESH, is_driven(self._store, run_id))
        known = (base(request), acts, news, alive)
        kept = self._kept.get(run_id)
        if kept is not None and kept[0] == known:
            return html(kept[1])
        page = run_page(self._store, run_id, project_dir=self._site.project_dir, logs=False)
        said = {**page_json(page), "base": base(request)}
        text = self._text("run.html", request, page=page, data=data(said), modules=_OF_RUN)
        self._kept[run_id] = (known, text)
        for oldest in list(self._kept)[:-_KEPT]:
            self._kept.pop(oldest, None)
        return html(text)

    def log(self, request: Request) -> Response:
        found = self._log(request)
        return self._page("log.html", request, log=found, missing=missing(found))

    def token(self, request: Request) -> Response:
        return self._page("token.html", request)

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("there is no such file\n", 404)
        # of a version, so that what a module imports by its name is kept as well
        current = request.path_params["version"] == common(request)["version"]
        kept = "public, max-age=31536000, immutable" if current else "no-cache"
        headers = {"Cache-Control": kept}
        return Response(static(name), headers=headers, media_type=STATIC[name])

    def _page(self, template: str, request: Request, **values: Any) -> Response:
        return html(self._text(template, request, **values))

    def _text(self, template: str, request: Request, **values: Any) -> str:
        return render(template, **common(request), project=self._site.name, **values)

    # ---------------------------------------------------------------- JSON, as of --format json

    async def session(self, request: Request) -> Response:
        """Exchange the token for a cookie, which no page of another site is sent with."""
        try:
            token = (await body_of(request))["token"]
            known = bool(self._site.key) and is_same(token, self._site.key)
        except NoJson:
            raise
        except (TypeError, KeyError, AttributeError, UsageError):
            known = False
        if not known:
            return JSONResponse({"error": "the token is another one"}, 401)
        answer = JSONResponse({})
        path = request.scope.get("root_path") or "/"
        answer.set_cookie(cookie_of(token), token, path=path, httponly=True, samesite="strict")
        return answer

    def openapi(self, request: Request) -> Response:
        return json_answer(to_json(openapi(), indent=2))

    def runs_json(self, request: Request) -> Response:
        limit = min(number(request, "limit") or 20, _MOST)
        pipeline = request.query_params.get("pipeline")
        found = list_runs(self._store, limit=limit, pipeline=pipeline)
        return json_answer(to_json([summary_json(one) for one in found]))

    def run_json(self, request: Request) -> Response:
        return json_answer(document(**run_json(show_run(self._store, request.path_params["run"]))))

    def changes(self, request: Request) -> Response:
        run_id = request.path_params["run"]
        found = changes(self._store, run_id, number(request, "after") or 0)
        if found is None:
            raise NotFound(f"there is no run {run_id}")
        return json_answer(to_json(found))

    async def events(self, request: Request) -> Response:
        """The same as they happen: server-sent events, whose ids are sequence numbers."""
        seen = request.headers.get("last-event-id", "")
        after = int(seen) if seen.isascii() and seen.isdigit() else number(request, "after") or 0
        messages = self._feed.messages(request.path_params["run"], after)
        headers = {"X-Accel-Buffering": "no", "Content-Encoding": "identity"}
        stream = _stream(messages, lambda: getattr(request.app.state, "ending", False))
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    def log_text(self, request: Request) -> Response:
        """A part of a log from a byte on, and where the next one begins."""
        found = self._log(request)
        if request.query_params.get("all") == "1" and found.path.is_file():
            return FileResponse(found.path, media_type="text/plain")
        text, after = piece_of(found.path, number(request, "from") or 0)
        goes_on = found.attempt.finished_at is None
        headers = {"X-Dbtorch-Next": str(after), "X-Dbtorch-Runs": str(int(goes_on))}
        return PlainTextResponse(text, headers=headers)

    def _log(self, request: Request) -> AttemptLog:
        node = request.query_params.get("node", "")
        return self._site.log(request.path_params["run"], node, number(request, "attempt"))


async def _stream(
    messages: AsyncIterator[Message], ending: Callable[[], bool]
) -> AsyncIterator[str]:
    """Messages as server-sent events, with a sign of life where there are none for a while.

    They end with the server, which asks ``ending``.
    """
    silent = 0
    yield "retry: 2000\n\n"
    coming = asyncio.ensure_future(anext(messages, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=_LOOK)
            if ending():
                return
            silent = 0 if done else silent + 1
            if silent * _LOOK >= _SILENCE:
                silent = 0
                yield "event: alive\ndata: {}\n\n"  # a page hears this, and no comment
            if not done:
                continue
            message = coming.result()
            if message is None:
                yield "event: over\ndata: {}\n\n"
                return
            id = f"id: {message['sequence']}\n" if "sequence" in message else ""
            yield f"{id}data: {message.text}\n\n"
            coming = asyncio.ensure_future(anext(messages, None))
    finally:
        coming.cancel()
