"""What a warm process does once, so that the workers made of it need not.

It imports dbt, reads the project once without leaving a trace, and decodes what dbt keeps of its
last parse.
"""

from __future__ import annotations

import contextlib
import multiprocessing.synchronize
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

#: What is said of a file to know whether it is another one.
Stamp = tuple[int, int, int]


class NotWarm(Exception):
    """A process with this dbt cannot be copied; the text says why."""


def import_dbt() -> None:
    """Import what every session needs. Raises what importing raises."""
    import dbt.cli.main
    import dbt.parser.manifest
    import dbt.task.build  # noqa: F401

    with contextlib.suppress(ImportError):  # it is elsewhere
        import dbt_common.clients.agate_helper  # noqa: F401


class Rehearsal:
    """The parse that dbt keeps in a file, decoded; and where that file is."""

    def __init__(self, args: Sequence[str]) -> None:
        """``args`` are options of `dbt build` that say where the project is."""
        self._args = list(args)
        self._path: str | None = None
        self._stamp: Stamp | None = None
        self._content = b""
        self._manifest: Any = None
        self.done = False  # whether the project was read

    def read_project(self) -> str:
        """Read the project as a session does, and forget it; answers what kept dbt from it.

        Decoders, templates and the adapter's modules are made by that. Nothing is written, no
        database is opened, and nothing is parsed: what dbt parses with has threads, which a copy
        would lack.
        """
        import dbt.adapters.factory
        import dbt.deprecations
        import dbt.task.build
        from dbt.cli.main import dbtRunner
        from dbt.parser.manifest import ManifestLoader

        paths = []
        kept_build = dbt.task.build.BuildTask
        kept_read = ManifestLoader.read_manifest_for_partial_parse
        kept_parse = ManifestLoader.load_and_parse_macros

        def read(loader: Any) -> Any:
            paths.append(_path_of(loader))
            return kept_read(loader)

        dbt.task.build.BuildTask = _no_more_than_reading(kept_build)
        ManifestLoader.load_and_parse_macros = _stop
        ManifestLoader.read_manifest_for_partial_parse = read
        try:
            with _locks_of_this_process(), tempfile.TemporaryDirectory() as logs:
                words = ["build", *self._args, *_QUIETLY, "--log-path", logs]
                result = dbtRunner().invoke(words)
                dbt.adapters.factory.reset_adapters()
        finally:
            dbt.task.build.BuildTask = kept_build
            ManifestLoader.load_and_parse_macros = kept_parse
            ManifestLoader.read_manifest_for_partial_parse = kept_read
        getattr(dbt.deprecations, "reset_deprecations", lambda: None)()
        self._path = paths[0] if paths else None
        self.done = bool(paths) and result.exception is None
        return "" if self.done else str(result.exception or "dbt has not read the project")

    @property
    def is_behind(self) -> bool:
        """Whether dbt keeps another parse than the one that is decoded."""
        return self._path is not None and self._stamp != stamp_of(self._path)

    def refresh(self) -> None:
        """Decode what dbt keeps of its last parse."""
        if self._path is None:
            return
        stamp = stamp_of(self._path)
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        self._stamp, self._content, self._manifest = stamp, b"", None
        # A file that is no parse, or half of one, is left to dbt.
        with contextlib.suppress(Exception), _locks_of_this_process():
            content = Path(self._path).read_bytes()
            self._manifest = Manifest.from_msgpack(content, decoder=extended_mashumuro_decoder)
            self._content = content

    def hand_over(self) -> None:
        """Let dbt, where it decodes what it kept, have what is decoded: of the same bytes, once.

        All else is dbt's: it reads its file, and compares versions, options, variables and files.
        """
        from dbt.contracts.graph.manifest import Manifest
        from dbt.mp_context import get_mp_context

        decode, content, manifest = Manifest.from_msgpack, self._content, self._manifest
        self._content, self._manifest = b"", None
        if manifest is None:
            return

        def from_msgpack(_: Any, data: Any, *args: Any, **options: Any) -> Any:
            Manifest.from_msgpack = decode
            if data != content:
                return decode(data, *args, **options)
            manifest._lock = get_mp_context().Lock()  # one of this process alone
            return manifest

        Manifest.from_msgpack = classmethod(from_msgpack)


#: Options of a reading that nobody is to see.
_QUIETLY = (
    *("--no-write-json", "--no-use-colors", "--log-level-file", "none", "--log-level", "none"),
    *("--no-send-anonymous-usage-stats", "--quiet"),
)


class _WouldParse(Exception):
    """Nothing that dbt keeps is what there is."""


def _stop(*_: Any) -> None:
    raise _WouldParse("dbt keeps no parse of the project as it is, which the next run changes")


def _no_more_than_reading(build: Any) -> Any:
    class Reading(build):  # type: ignore[misc]
        """A build that ends when it has read the project and selected."""

        def run(self) -> Any:
            with tempfile.TemporaryDirectory() as target:
                self.config.target_path = target  # for the summary of the graph
                self._runtime_initialize()

        def interpret_results(self, results: Any) -> bool:
            return True

    return Reading


def _path_of(loader: Any) -> str:
    from dbt.constants import PARTIAL_PARSE_FILE_NAME
    from dbt.flags import get_flags

    given = get_flags().PARTIAL_PARSE_FILE_PATH
    return str(given or Path(loader.root_project.project_target_path, PARTIAL_PARSE_FILE_NAME))


@contextlib.contextmanager
def _locks_of_this_process() -> Iterator[None]:
    """Let dbt's locks be such as a copy of this process does not share with all the others."""
    module: Any = multiprocessing.synchronize
    kept = module.Lock, module.RLock
    module.Lock, module.RLock = _lock, _rlock
    try:
        yield
    finally:
        module.Lock, module.RLock = kept


def _lock(ctx: Any) -> Any:  # noqa: ARG001
    return threading.Lock()


def _rlock(ctx: Any) -> Any:  # noqa: ARG001
    return threading.RLock()


def stamp_of(path: str) -> Stamp | None:
    """What says whether a file or folder is another one; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def installed() -> dict[str, Stamp | None]:
    """All that is imported, and where it is looked for: an installation changes some of it."""
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    return {path: stamp_of(path) for path in {*files, *sys.path, sys.executable} if path}


def refuse_what_cannot_be_copied() -> None:
    """Raise `NotWarm` where a copy of this process would lack something, or share it."""
    from multiprocessing import resource_tracker

    from dbt.adapters.factory import FACTORY

    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise NotWarm("a thread runs once dbt has read the project")
    tracker: Any = resource_tracker
    if tracker._resource_tracker._fd is not None:
        raise NotWarm("dbt shares locks with other processes once it has read the project")
    if FACTORY.adapters:
        raise NotWarm("an adapter stays behind once dbt has read the project")
