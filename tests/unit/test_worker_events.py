"""What dbt says reaches who listens, and nothing is made of what nobody hears."""

import io
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import dbt.task.build
import pytest
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.events.types import CacheAction, ConnectionUsed, NewConnection
from dbt.clients.jinja import MacroGenerator
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.task.base import BaseRunner
from dbt.task.run import MicrobatchBatchRunner, MicrobatchModelRunner
from dbt.tracking import track_behavior_change_warn
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.contextvars import log_contextvars
from dbt_common.events.event_manager import EventManager
from dbt_common.events.logger import LoggerConfig
from dbt_common.events.types import Note, PrintEvent

from dbtorch.adapters.dbt import dbtorch_worker
from dbtorch.adapters.dbt.dbtorch_worker.attempt_log import AttemptLog, route_events
from dbtorch.adapters.dbt.dbtorch_worker.patches import apply_patches
from dbtorch.adapters.dbt.dbtorch_worker.task import install

#: What is patched, and left as it is with `engine.patches: false`.
PATCHED = (
    (BaseEvent, "__init__"),
    (BaseEvent, "__getattr__"),
    (MacroGenerator, "__init__"),
    (MacroNamespaceBuilder, "build_namespace"),
    (MacroNamespace, "__getitem__"),
    (BaseAdapter, "_make_match"),
)
PARTS = (
    *PATCHED,
    (EventManager, "fire_event"),
    (BaseRunner, "handle_exception"),
    (MicrobatchModelRunner, "get_batches"),
    (MicrobatchBatchRunner, "run_with_hooks"),
    (MicrobatchBatchRunner, "_build_failed_run_batch_result"),
    (dbt.task.build, "BuildTask"),
    (AttemptLog, "flush_all_the_time"),
)


@pytest.fixture
def dbt_as_it_is(monkeypatch):
    """What a test changes about dbt is undone."""
    for owner, name in PARTS:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(AttemptLog, "flush_all_the_time", lambda: None)


@pytest.fixture
def session(dbt_as_it_is):
    session = SimpleNamespace(warned=lambda *_: None, logs={})
    apply_patches()
    route_events(session.logs)
    return session


@pytest.fixture
def manager():
    """dbt's own, with a terminal that shows warnings, and dbt's own callback."""
    manager = EventManager()
    manager.callbacks.append(track_behavior_change_warn)
    manager.terminal = io.StringIO()
    manager.add_logger(
        LoggerConfig(
            name=f"terminal {id(manager)}", level=EventLevel.WARN, output_stream=manager.terminal
        )
    )
    yield manager
    logging.getLogger().handlers[:] = [
        one for one in logging.getLogger().handlers if one not in manager.loggers
    ]


def debug():
    return NewConnection(conn_type="duckdb", conn_name="model.shop.orders")


def is_made(event):
    return "pb_msg" in vars(event)


@pytest.mark.parametrize("level", [EventLevel.DEBUG, EventLevel.INFO, EventLevel.TEST])
def test_nothing_is_made_of_what_nobody_hears(session, manager, level):
    event = debug()
    manager.fire_event(event, level=level)
    assert not is_made(event)
    assert manager.terminal.getvalue() == ""


def test_a_warning_is_heard(session, manager):
    manager.fire_event(Note(msg="mind the gap"), level=EventLevel.WARN)
    assert "mind the gap" in manager.terminal.getvalue()


def test_another_callback_hears_everything(session, manager):
    heard = []
    manager.callbacks.append(heard.append)
    manager.fire_event(debug())
    assert [msg.info.name for msg in heard] == ["NewConnection"]
    assert heard[0].data.conn_name == "model.shop.orders"


def test_a_logger_of_the_level_hears_it(session, manager):
    config = manager.loggers[0]
    config.level = EventLevel.INFO
    unheard, heard = debug(), Note(msg="mind the gap")
    manager.fire_event(unheard)
    manager.fire_event(heard)
    assert not is_made(unheard)
    assert is_made(heard)


def test_what_dbt_prints_is_printed_whatever_the_level(session, manager):
    manager.fire_event(PrintEvent(msg="select 1"))
    assert manager.terminal.getvalue() == "select 1\n"


def test_what_is_about_a_node_is_in_its_log(session, manager):
    log = session.logs["model.shop.orders"] = io.StringIO()
    event = debug()
    with log_contextvars(node_info={"unique_id": "model.shop.orders"}):
        manager.fire_event(event)
        manager.fire_event(Note(msg="about orders"))
        manager.fire_event(ConnectionUsed(conn_type="duckdb", conn_name="chatter"))
        manager.fire_event(CacheAction(action="chatter"))
    manager.fire_event(Note(msg="about nothing"))
    with log_contextvars(node_info={"unique_id": "model.shop.customers"}):
        manager.fire_event(Note(msg="about customers"))
    assert log.getvalue() == "about orders"


def test_an_event_reads_as_before(dbt_as_it_is):
    before = Note(msg="mind the gap")
    as_before = (before.msg, before.message(), before.pb_msg.msg, before.code())
    apply_patches()
    event = Note(msg="mind the gap")
    assert not is_made(event)
    assert (event.msg, event.message()) == as_before[:2]
    assert (event.pb_msg.msg, event.code()) == as_before[2:]
    with pytest.raises(AttributeError):
        event.nothing  # noqa: B018


@pytest.mark.parametrize("patches", [True, False])
def test_a_session_takes_everything_into_its_place(dbt_as_it_is, patches):
    before = {part: getattr(*part) for part in PARTS}
    parts = {"plan_batches": None, "batch_built": None, "warned": lambda *_: None}
    install(SimpleNamespace(logs={}, errors={}, request={"patches": patches}, **parts))
    kept = {part for part in PARTS if getattr(*part) is before[part]}
    assert kept == {PARTS[-1], *(() if patches else PATCHED)}


def test_nothing_beside_the_worker_stands_in_the_way_of_the_standard_library():
    """The worker is imported by its folder, which is first on the path for a moment."""
    folder = Path(dbtorch_worker.__file__).parents[1]
    beside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not beside & sys.stdlib_module_names
