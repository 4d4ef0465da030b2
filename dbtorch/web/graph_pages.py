"""The graph of a run, one node from run to run, and the nodes of a project that need a look."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dbtorch.core.errors import NotFound, UsageError
from dbtorch.core.history.records import RunChanges
from dbtorch.core.model.state import RunState
from dbtorch.core.text.json_text import document
from dbtorch.ports.store import Store
from dbtorch.service.health.health import known_nodes
from dbtorch.service.history.graph_page import Asked, By, RunGraph, graph_json, picture
from dbtorch.service.history.lookup import INTERRUPTED, is_driven, resolve_run
from dbtorch.service.history.node_page import (
    NodesPage,
    code_of,
    node_json,
    node_page,
    nodes_page,
    trend_json,
)
from dbtorch.service.history.run import show_run, usual_seconds
from dbtorch.service.history.run_page import NOTHING_AFTER
from dbtorch.web.answers import base, common, html, json_answer
from dbtorch.web.pages import data, render

#: Graphs of runs that are kept, and seconds for which the lists of nodes are.
_KEPT, _FRESH = 6, 20.0

#: Modules that the page of a graph needs, so that none waits until another one asks for it.
_OF_GRAPH = (
    *("graph.js", "common.js", "live.js", "node_facts.js", "paint.js", "plots.js", "stage.js"),
)


def graph_routes(
    store: Store, project_dir: Path, project: str, environ: Mapping[str, str]
) -> list[Route]:
    """Their addresses, over a project's history; its folder has dbt's artifacts."""
    return _GraphPages(store, project_dir, project, environ).routes()


class _GraphPages:
    """One method for each address."""

    def __init__(
        self, store: Store, project_dir: Path, project: str, environ: Mapping[str, str]
    ) -> None:
        self._store = store
        self._project_dir = project_dir
        self._project = project
        self._environ = environ
        self._kept: dict[str, tuple[int, RunGraph]] = {}  # by run, with the last change seen in it
        self._seen: dict[str, tuple[float, NodesPage]] = {}  # by target
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def routes(self) -> list[Route]:
        """Addresses of pages, and of their JSON."""
        return [
            Route("/graph", self.latest),
            Route("/runs/{run}/graph", self.graph),
            Route("/nodes", self.nodes),
            Route("/node", self.node),
            Route("/api/v1/runs/{run}/graph", self.picture),
            Route("/api/v1/node", self.node_json),
            Route("/api/v1/nodes", self.nodes_json),
        ]

    def latest(self, request: Request) -> Response:
        """The newest run's, by its own address, which stays."""
        return RedirectResponse(f"{base(request)}runs/{resolve_run(self._store, 'latest')}/graph")

    def graph(self, request: Request) -> Response:
        sequence, graph = self._graph(request.path_params["run"])
        run = graph.run
        said = {
            **graph_json(graph, usual_seconds(self._store, run)),
            "sequence": sequence,
            "picture": picture(graph, Asked()),
            "base": base(request),
        }
        more = {"state": graph.state, "data": data(said), "modules": _OF_GRAPH}
        return self._page("graph.html", request, run=run, **more)

    def picture(self, request: Request) -> Response:
        """The part that is asked for: boxes and edges with their places."""
        _, graph = self._graph(request.path_params["run"])
        return json_answer(document(**picture(graph, _asked(request))))

    def node(self, request: Request) -> Response:
        said = {**self._node(request), "base": base(request)}
        return self._page("node.html", request, node=said, data=data(said))

    def node_json(self, request: Request) -> Response:
        return json_answer(document(**self._node(request)))

    def nodes(self, request: Request) -> Response:
        page = self._trends(self._target(request))
        return self._page("nodes.html", request, page=page)

    def nodes_json(self, request: Request) -> Response:
        page = self._trends(self._target(request))
        lists = ("slower", "flaky", "failing", "slowest")
        said = {name: [trend_json(one) for one in getattr(page, name)] for name in lists}
        return json_answer(document(target=page.target, runs=page.runs, **said))

    def _node(self, request: Request) -> dict[str, Any]:
        node_id = request.query_params.get("node", "")
        page = node_page(self._store, self._target(request), node_id)
        code = code_of(self._project_dir, node_id, self._environ)
        return node_json(page, code, self._environ)

    def _trends(self, target: str) -> NodesPage:
        """Which nodes need a look, a moment ago at most: it is read of many runs."""
        with self._reading:
            kept = self._seen.get(target)
            if kept is None or time.monotonic() - kept[0] > _FRESH:
                kept = self._seen[target] = (time.monotonic(), nodes_page(self._store, target))
                for oldest in list(self._seen)[:-_KEPT]:
                    del self._seen[oldest]
            return kept[1]

    def _target(self, request: Request) -> str:
        """The one that is asked for, or that of the newest run. Raises `NotFound`."""
        if said := request.query_params.get("target"):
            return str(said)
        newest = self._store.runs(limit=1)
        if not newest:
            raise NotFound("no run of this project is recorded yet; `dbtorch run` makes one")
        return newest[0].target

    def _graph(self, text: str) -> tuple[int, RunGraph]:
        """The graph of a run as it is now: what has changed since it was read is put into it."""
        run_id = resolve_run(self._store, text)
        with self._lock:
            kept = self._kept.get(run_id)
            news = self._store.run_changes(run_id, after=kept[0] if kept else NOTHING_AFTER)
            if news is None:
                raise NotFound(f"run {run_id} has just been removed")
            if kept is None or self._is_another(kept[1], news):
                report = show_run(self._store, run_id, transitions=False)
                known = known_nodes(self._project_dir, self._environ)
                graph = RunGraph(report.record, report.state, known)
            else:
                graph = kept[1].changed(news)
            self._kept.pop(run_id, None)
            self._kept[run_id] = news.sequence, graph
            for oldest in list(self._kept)[:-_KEPT]:
                del self._kept[oldest]
            return news.sequence, graph

    def _is_another(self, graph: RunGraph, news: RunChanges) -> bool:
        """Whether it has to be read again: it went on with another plan, or nobody drives it."""
        if news.resumed_at != graph.run.resumed_at:
            return True
        goes_on = news.state is RunState.RUNNING and graph.state != INTERRUPTED
        return goes_on and not is_driven(self._store, graph.run.run_id)

    def _page(self, template: str, request: Request, **values: Any) -> Response:
        return html(render(template, **common(request), project=self._project, **values))


def _asked(request: Request) -> Asked:
    """What an address asks for. Raises `UsageError`."""
    said = request.query_params
    by = said.get("by", By.NODE)
    if by not in set(By):
        raise UsageError(f"by is {by[:40]!r}: it is one of {', '.join(By)}")
    return Asked(
        focus=_places(said.get("focus", "")),
        before=_places(said.get("before", "")),
        after=_places(said.get("after", "")),
        everything=said.get("all") == "1",
        tests=said.get("tests") == "1",
        by=By(by),
        open=frozenset(said.getlist("open")),
    )


def _places(text: str) -> tuple[int, ...]:
    parts = text.split(".") if text else []
    if not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        raise UsageError(f"{text[:40]!r} are no places of nodes, as in 3.14.15")
    return tuple(map(int, parts))
