"""The zygote: ``python server.py SOCKET`` imports dbt and becomes, by and by, who needs it."""

from __future__ import annotations

import array
import atexit
import builtins
import ctypes
import gc
import importlib
import importlib.util
import marshal
import os
import pkgutil
import platform
import runpy
import signal
import socket
import sys
import time
import types
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

#: `prctl(2)`
_PR_GET_TID_ADDRESS, _PR_SET_MM, _PR_SET_MM_MAP = 40, 35, 14

#: `clone(2)`
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000

#: Number of the call, and where it takes the address of the thread's id.
_CLONE = {"x86_64": (56, 3), "aarch64": (220, 4)}

_MAX_BYTES, _MAX_FILES = 200_000, 253

_libc = ctypes.PyDLL(None)  # which keeps the interpreter's lock: there is one thread, and will be

Job = dict[str, Any]

#: What every dbt imports sooner or later, where it has it.
_IMPORTED = (
    "dbt.adapters.duckdb",
    "dbt.adapters.duckdb.__version__",
    "dbt.adapters.duckdb.environments.local",
    "dbt.adapters.postgres",
    "dbt.cli.main",
    "dbt.task.build",
    "dbt_common.clients.agate_helper",
    *("_strptime", "babel.dates", "google.protobuf.descriptor_pb2", "multiprocessing.dummy"),
)

#: What no command imports as a part of dbtorch, or only one of another kind.
_NOT_OURS = (
    "dbtorch.__main__",
    "dbtorch.adapters.dbt.dbtorch_worker",
    "dbtorch.integrations",  # each needs another orchestrator
    "dbtorch.testing",
)

#: Names that modules of a folder must not have: they are imported.
_imported: set[str] = set()

#: Modules of dbtorch, which a dbt does not have; they must not be taken apart.
_dbtorch: dict[str, types.ModuleType] = {}


class _Map(ctypes.Structure):
    """``struct prctl_mm_map``."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")),
        *((name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_uint64),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]


#: The status that this process ends with, once its code has come to its end.
_status: list[Any] = []

#: File descriptors that it was started with.
_given: set[int] = set()

#: What `/proc/PID/cmdline` and `environ` are read from; must live as long as the process.
_shown: list[Any] = []


def main() -> None:
    number = int(sys.argv[1])
    atexit.register(_leave)  # before anybody else: it is called last
    _deaf()
    os.chdir("/")
    gc.disable()
    for name in _IMPORTED:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    from templates import remember
    from warm import warm

    warm()
    remember()
    _import_dbtorch()
    import client

    for name in ("client", "templates", "warm"):
        del sys.modules[name]
    _imported.update(name.partition(".")[0] for name in sys.modules.keys() - _dbtorch.keys())
    gc.collect()
    gc.freeze()
    if len(os.listdir("/proc/self/task")) != 1:
        sys.exit("a thread runs once dbt is imported: copies would not have it")
    _show(sys.argv, os.environ)  # or say that this system cannot
    job = serve(number)
    while job["kind"] in ("dbtorch", "beside"):
        number, ours = _beside()
        if number < 0:
            job = serve(ours)
        elif job["kind"] == "dbtorch" and _can_be_dbtorch(job):
            _given.add(number)
            client.install(partial(_only, client.Zygote(number, job["environ"], sys.executable)))
            become(job)
            return
        else:
            _execute(job, number)
    for name in _dbtorch:
        del sys.modules[name]
    become(job)


def _only(zygote: Any, *_: object) -> Any:
    return zygote


def _import_dbtorch() -> None:
    """Import what its commands need, where it is installed: that is a third of a short run."""
    if importlib.util.find_spec("dbtorch") is None:
        return
    import dbtorch

    for found in pkgutil.walk_packages(dbtorch.__path__, "dbtorch."):
        if not found.name.startswith(_NOT_OURS):
            importlib.import_module(found.name)
    with suppress(ImportError):
        importlib.import_module("psycopg")  # every command with a history on Postgres does
    ours = (name for name in sys.modules if name.partition(".")[0] == "dbtorch")
    _dbtorch.update({name: sys.modules[name] for name in ours})


def _can_be_dbtorch(job: Job) -> bool:
    """Whether a copy would import what a dbtorch of this interpreter would in that folder."""
    if job["executable"] != sys.executable or not _dbtorch or _is_in_the_way(job["cwd"]):
        return False
    here = Path(job["cwd"], "dbtorch")
    return not here.exists() or here.samefile(*_dbtorch["dbtorch"].__path__)


def serve(number: int) -> Job:
    """Make processes until nobody wants any more; returns in each of them with what it is to be."""
    asked = socket.socket(fileno=number)
    os.set_inheritable(number, False)
    while True:
        content, rights, _, _ = asked.recvmsg(_MAX_BYTES, socket.CMSG_SPACE(4 * _MAX_FILES))
        if not content:
            os._exit(0)
        files = array.array("i")
        for _, _, data in rights:
            files.frombytes(data)
        job: Job = marshal.loads(content)
        refused = job["kind"] == "dbt" and _is_in_the_way(job["cwd"])
        pid = -1 if refused else _sibling()
        if pid == 0:
            asked.close()
            _take(job, list(files))
            return job
        for file in files:
            os.close(file)
        asked.send(b"" if refused else b"%d" % pid)


def _is_in_the_way(folder: str) -> bool:
    """Whether a module in the current folder would have been imported instead of one that was."""
    try:
        with os.scandir(folder) as entries:
            return any(
                entry.name.partition(".")[0] in _imported
                and (entry.name.endswith((".py", ".so")) or _is_package(entry.path))
                for entry in entries
            )
    except OSError:
        return True


def _is_package(path: str) -> bool:
    return os.path.exists(os.path.join(path, "__init__.py"))


def _sibling() -> int:
    """As `os.fork`; the new process is a child of this one's parent."""
    call, where = _CLONE[platform.machine()]
    address = ctypes.c_long()
    _check(_libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0))
    flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
    given = [flags, 0, 0, 0, 0]
    given[where] = address.value
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _libc.syscall(ctypes.c_long(call), *map(ctypes.c_long, given))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return _check(pid)


def _check(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "a call of the system failed")
    return answer


def _take(job: Job, files: list[int]) -> None:
    """Make this process what `execve(2)` would have found: session, folder and open files.

    The last file is closed with all others that nobody named, and so says that this is done.
    """
    _signals()
    if job["session"]:
        os.setsid()
    if job["group"] >= 0:
        os.setpgid(0, job["group"])
    high = 1000
    moved = {}
    os.chdir(job["cwd"])
    for target, file in zip(job["files"], files[:-1], strict=True):
        moved[target] = high + target
        os.dup2(file, moved[target], inheritable=False)
    for target, file in moved.items():
        os.dup2(file, target)
    _close_all_but(set(moved))


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:  # what listed them
                continue


def _beside() -> tuple[int, int]:
    """Have a zygote as a child: its number for whoever asks it, and in that one -1 and its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        number = ours.detach()
        _deaf()
        _close_all_but({number})
        for _ in range(3):
            os.open(os.devnull, os.O_RDWR)  # 0, 1, 2
        os.chdir("/")
        return -1, number
    ours.close()
    return theirs.detach(), -1


def _execute(job: Job, number: int) -> NoReturn:
    """Be a dbtorch of another interpreter, or in a folder with modules that are in the way; or a script."""
    os.set_inheritable(number, True)
    script = str(Path(__file__).with_name("supervisor.py"))
    said = job["words"][1:] if job["kind"] == "dbtorch" else job["words"][3:]
    words = [job["words"][0], script, str(number), sys.executable, *said]
    os.execve(job["executable"], words, job["environ"])


def _deaf() -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)


def _signals() -> None:
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def become(job: Job) -> None:
    """Be an interpreter that has just been started with these words."""
    environ, words = job["environ"], job["words"]
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.dont_write_bytecode = bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    _show(words, environ)
    gc.enable()
    module = types.ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    _given.update(job["files"])
    try:
        _run(words, module)
    except SystemExit as left:
        _status.append(0 if left.code is None else left.code)
        raise
    _status.append(0)


def _run(words: list[str], module: types.ModuleType) -> None:
    """What the words say, in this module."""
    match words[1:]:
        case ["-c", code, *more]:
            sys.argv[:] = ["-c", *more]
            sys.path[0] = ""
            exec(compile(code, "<string>", "exec"), vars(module))
        case ["-m", name, *more]:
            sys.argv[:] = [name, *more]
            sys.path[0] = os.getcwd()
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case more:
            sys.argv[:] = [words[0], *more]
            sys.path[0] = os.path.dirname(words[0])
            runpy.run_path(words[0], run_name="__main__")


def _leave() -> None:
    """End without taking everything apart that this process has got from the zygote.

    That takes as long as dbt takes to parse a small project, and nobody sees it: all there is to be
    done at the end of a process has been done, but for what is closed by being forgotten.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        if _holds_anything():
            gc.collect()  # an event loop, or a connection, that nobody has any more
        if _status and not _holds_anything() and (code := _code(_status[0])) is not None:
            os._exit(code)
    except (OSError, ValueError, AttributeError):  # it is none of ours to say so
        pass
    gc.unfreeze()


def _code(status: Any) -> int | None:
    """What a process ends with that says so; Python has written what is a sentence."""
    if isinstance(status, int) and abs(status) < 2**31:
        return status % 256
    return 1 if isinstance(status, str) else None


def _holds_anything() -> bool:
    """Whether there is a file or a connection open that this process has opened itself."""
    for name in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # what lists them
            continue
        if int(name) not in _given and not what.startswith(("pipe:", "anon_inode:")):
            return True
    return False


def _show(words: list[str], environ: Any) -> None:
    """Let the system show this command line and this environment as those of the process."""
    line = b"".join(os.fsencode(word) + b"\0" for word in words)
    pairs = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items())
    memory = ctypes.create_string_buffer(line + pairs, len(line) + len(pairs))
    start = ctypes.addressof(memory)
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    at = {name: int(stat[number - 3]) for name, number in _STAT.items()}
    found = _Map(
        **at,
        brk=_brk(),
        arg_start=start,
        arg_end=start + len(line),
        env_start=start + len(line),
        env_end=start + len(line) + len(pairs),
        exe_fd=0xFFFFFFFF,
    )
    size = ctypes.c_ulong(ctypes.sizeof(found))
    _check(_libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.byref(found), size, 0))
    _shown[:] = [memory]


#: Fields of `/proc/PID/stat`, by their numbers in `proc(5)`.
_STAT = {
    "start_code": 26,
    "end_code": 27,
    "start_stack": 28,
    "start_data": 45,
    "end_data": 46,
    "start_brk": 47,
}


def _brk() -> int:
    sbrk = _libc.sbrk
    sbrk.restype = ctypes.c_void_p
    return int(sbrk(ctypes.c_long(0)))


if __name__ == "__main__":
    main()
