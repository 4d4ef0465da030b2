"""`dbtorch ui`: the pages on an address, until a signal says to end."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.core.errors import DbtorchError
from dbtorch.service.history.store import open_history
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.web.server import answering, hosts_of, is_loopback, root_path_of, token_of

if TYPE_CHECKING:
    from dbtorch.web.app import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class UiOptions:
    """What the command line says."""

    host: str = "127.0.0.1"
    port: int = 8485  # 0: any that is free
    hosts: tuple[str, ...] = ()  # further names that it may be called by
    token: str = ""  # empty: none on loopback, a new one elsewhere
    root_path: str = ""  # what a proxy has put in front of its addresses
    options: RunOptions  # project, history and artifacts


def serve(ui: UiOptions, say: Callable[[str], None]) -> int:
    """Answer until SIGTERM or SIGINT. Answers the exit code.

    Raises `UsageError`, `ProjectError`, `ConfigError`, and `NoHistory` before the first run.
    """
    options = ui.options
    root_path = root_path_of(ui.root_path)
    token, acting = token_of(ui.token, options.environ), secrets.token_urlsafe(24)
    if not token and not is_loopback(ui.host):
        token = acting
    project = open_project(options.project_dir, options.environ)
    end = threading.Event()
    opened = partial(
        open_history,
        str(project.dir),
        options.database_url,
        places=True,
        environ=options.environ,
    )
    with opened() as store:
        from dbtorch.web.app import PATIENCE, Site, application

        site = Site(
            project_dir=project.dir,
            name=project.name,
            store=store.apart(patience=PATIENCE),
            options=options,
            token=token,
            acting=acting,
            writing=partial(opened, writes=True),
        )
        app = application(site, hosts_of(ui.host, ui.hosts))
        before = {
            number: signal.signal(number, lambda *_: end.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            with answering(app, ui.host, ui.port, root_path=root_path) as port:
                threading.Thread(target=_get_ready, args=(site,), daemon=True).start()
                say(f"{_address(ui, port, root_path, token)} shows {project.name}; Ctrl-C ends it")
                if not token:
                    say(f"{_address(ui, port, root_path, acting)} lets you act as well")
                end.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 0


def _get_ready(site: Site) -> None:
    """Import and read what the first page needs before somebody asks for it."""
    with suppress(DbtorchError):  # whoever asks is told
        site.overview()


def _address(ui: UiOptions, port: int, root_path: str, token: str) -> str:
    host = f"[{ui.host}]" if ":" in ui.host else ui.host
    if ui.hosts:
        host = ui.hosts[0]
    elif host in ("0.0.0.0", "[::]"):  # noqa: S104
        host = "localhost"
    page = f"token#token={token}" if token else ""
    return f"http://{host}:{port}{root_path}/{page}"
