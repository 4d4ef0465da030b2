"""The Python API without dbt: what it imports, arguments, handles, and who ends a run."""

import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime

import pytest

import dbtorch
from dbtorch.app.inbox import Inbox, Interrupt
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.deadline import DeadlineAction
from dbtorch.core.model.events import Changed
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.service.api import _listening
from dbtorch.service.project.arguments import options_of
from dbtorch.service.project.project import configured_store, open_project
from dbtorch.service.run.control import NOTHING_BEGAN, RunControl
from dbtorch.service.run.handle import RunHandle, awaited, is_executed_here
from dbtorch.service.run.result import Run
from dbtorch.testing import FixedClock
from tests.waiting import PATIENCE

ENOUGH = Reason(ReasonKind.RUN_CANCELLED, text="ana: enough")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_listener_is_told_why_as_a_value():
    heard = []
    blocked = Changed(
        node_id="model.b",
        attempt=0,
        before=State.PENDING,
        state=State.UPSTREAM_FAILED,
        at=NOON,
        reason=Reason(ReasonKind.UPSTREAM_FAILED, ("model.a",)),
    )
    _listening("r1", heard.append)(FixedClock(NOON), Scrubber()).changed([blocked])
    (change,) = heard
    assert (change.reason_kind, change.reason_nodes) == ("upstream_failed", ("model.a",))
    assert str(change) == "12:00:00 model.b upstream_failed: model.a failed"


def test_whatever_a_listener_raises_the_run_goes_on(caplog):
    def leaves(_):
        raise SystemExit(3)

    moved = Changed(node_id="model.a", attempt=1, before=State.QUEUED, state=State.RUNNING, at=NOON)
    _listening("r1", leaves)(FixedClock(NOON), Scrubber()).changed([moved])
    assert "on_change raised; the run goes on" in caplog.text


def test_a_listener_does_not_wait_for_its_own_run():
    def here(control):
        return Run(id="r1", state=str(is_executed_here("r1")), at=NOON)

    assert RunHandle("r1", here).wait(PATIENCE).state == "True"
    assert RunHandle("r2", here).wait(PATIENCE).state == "False"
    assert not is_executed_here("r1")


# what is imported ------------------------------------------------


def modules_after(statement):
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_importing_dbtorch_imports_nothing_else():
    assert modules_after("import dbtorch") - {"typing"} <= {"dbtorch", "__future__", *of_typing()}


def of_typing():
    return modules_after("import typing")


def test_the_api_imports_no_command_line_and_no_dbt():
    found = modules_after("import dbtorch; dbtorch.Project")
    heavy = {"click", "dbt", "yaml", "sqlite3", "psycopg", "jinja2"}
    assert not heavy & {name.partition(".")[0] for name in found}
    assert not {name for name in found if name.startswith("dbtorch.cli")}


def test_every_name_that_is_promised_is_there():
    assert all(hasattr(dbtorch, name) for name in dbtorch.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Projekt'"):
        dbtorch.Projekt  # noqa: B018
    errors = [getattr(dbtorch, name) for name in dbtorch.__all__ if name.endswith("Error")]
    assert all(issubclass(error, dbtorch.DbtorchError) for error in errors)


# ---------------------------------------------------------------- arguments


def options(tmp_path, **given):
    return options_of(
        tmp_path, given, dbt_args=["--target", "prod"], store=None, environ={}, called="run"
    )


def test_arguments_are_the_options_of_the_command_line(tmp_path):
    found = options(
        tmp_path,
        select=["tag:daily", "step:push"],
        exclude="big",
        vars={"day": date(2026, 3, 1)},
        threads=4,
        full_refresh=True,
        fail_fast=False,
        dbt_args=["--empty"],
        retries=2,
        retry_delay="1m",
        timeout=5,
        logical_date=NOON,
        wait="2h",
        deadline_action="cancel",
        steps=False,
    )
    assert found.dbt_args == (
        *("--target", "prod", "--select", "tag:daily", "--select", "step:push"),
        *("--exclude", "big", "--threads", "4", "--full-refresh", "--no-fail-fast"),
        *("--vars", '{"day": "2026-03-01"}', "--empty"),
    )
    assert found.narrowed
    assert (found.overrides.retries, found.overrides.retry_delay) == (2, 60.0)
    assert (found.overrides.timeout, found.wait, found.steps) == (5.0, 7200.0, False)
    assert (found.logical_date, found.deadline_action) == (NOON, DeadlineAction.CANCEL)
    assert (found.cwd, found.command) == (tmp_path, ("dbtorch.Project.run",))


def test_a_data_interval_is_what_the_run_covers(tmp_path):
    midnight = NOON.replace(hour=0, tzinfo=None)  # without a zone it is UTC
    found = options(tmp_path, data_interval=(midnight, NOON))
    start, _, end = found.tick_interval.partition("/")
    assert datetime.fromisoformat(start) == NOON.replace(hour=0)
    assert datetime.fromisoformat(end) == NOON


def test_without_arguments_a_run_is_all_of_the_project(tmp_path):
    found = options(tmp_path, select=None, exclude=(), full_refresh=False)
    assert (found.dbt_args, found.narrowed) == (("--target", "prod"), False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"selekt": "a"}, r"run\(\) has no argument 'selekt'"),
        ({"timeout": "soon"}, "timeout 'soon'"),
        ({"logical_date": "tomorrow"}, "logical_date 'tomorrow'"),
        ({"deadline_action": "panic"}, "deadline_action 'panic'"),
        ({"data_interval": (NOON, NOON)}, "data_interval ends at"),
        ({"data_interval": "today"}, "data_interval is 'today'"),
    ],
)
def test_what_means_nothing_is_one_sentence(tmp_path, given, said):
    with pytest.raises(dbtorch.UsageError, match=said):
        options(tmp_path, **given)


def test_a_folder_without_a_project_is_an_error_at_once(tmp_path):
    with pytest.raises(dbtorch.ProjectError, match="is no dbt project"):
        dbtorch.Project(tmp_path)


def test_a_mark_is_success_or_failed(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop")
    with pytest.raises(dbtorch.UsageError, match="success or failed, not 'done'"):
        dbtorch.Project(tmp_path).mark("latest", "orders", "done", reason="x")


# ---------------------------------------------------------------- who ends a run


def test_a_run_that_has_not_begun_ends_at_once():
    control, killed = RunControl(), []
    control.outlook = NOTHING_BEGAN
    control.kills(lambda: killed.append(True))
    control.cancel(ENOUGH)
    assert killed == [True]
    with pytest.raises(dbtorch.RunCancelled, match="cancelled by ana: enough; the run had not"):
        control.begin(Inbox())
    with pytest.raises(dbtorch.RunCancelled):
        RunControl.pause(control_that_was_cancelled(), 3600)


def control_that_was_cancelled():
    control = RunControl()
    control.cancel(ENOUGH)
    return control


def test_what_fails_because_of_a_cancel_is_no_failure():
    control = control_that_was_cancelled()
    with pytest.raises(dbtorch.RunCancelled), control.explains():
        raise dbtorch.EngineError("dbt was ended by SIGKILL")
    with pytest.raises(dbtorch.EngineError), RunControl().explains():
        raise dbtorch.EngineError("Compilation Error")


def test_a_run_that_has_begun_is_told():
    control, inbox, killed = RunControl(), Inbox(), []
    control.begin(inbox)
    control.cancel(ENOUGH, within=7)
    assert inbox.take(0) == [Interrupt(ENOUGH, 7)]
    control.kills(lambda: killed.append(True))  # no longer an error: it ends properly
    assert not killed
    control.kill()
    assert killed == [True]
    control.over("the history has it")  # what comes after the run ends at once again
    assert not control.begun
    with pytest.raises(dbtorch.RunCancelled, match="enough; the history has it"):
        control.check()


# ---------------------------------------------------------------- handles


def until_cancelled(control):
    inbox = Inbox()
    control.begin(inbox)
    (stop,) = inbox.take(60)
    return Run(id="r1", state="cancelled", at=NOON) if isinstance(stop, Interrupt) else None


def test_a_handle_waits_and_cancels():
    handle = RunHandle("r1", until_cancelled)
    with pytest.raises(TimeoutError, match=r"run r1 has not ended within 0 s; it goes on"):
        handle.wait(timeout=0)
    assert not handle.done
    handle.cancel(reason="enough")
    assert handle.wait().state == "cancelled"
    assert handle.done


def test_what_a_run_raises_is_raised_where_it_is_waited_for():
    def fails(control):
        raise dbtorch.EngineError("no plan")

    handle = RunHandle("r1", fails)
    for _ in range(2):
        with pytest.raises(dbtorch.EngineError, match="no plan"):
            handle.wait()


class Interrupted(RunHandle):
    """A handle whose first waits are interrupted, as somebody does who presses Ctrl-C."""

    def __init__(self, run_id, work, times):
        self.times = times
        super().__init__(run_id, work)

    def wait(self, timeout=None):
        if self.times:
            self.times -= 1
            raise KeyboardInterrupt
        return super().wait(timeout)


def test_an_interrupt_cancels_and_is_raised_when_the_run_has_ended():
    handle = Interrupted("r1", until_cancelled, times=1)
    with pytest.raises(KeyboardInterrupt):
        awaited(handle)
    assert handle.done
    assert handle.wait().state == "cancelled"


def test_a_second_interrupt_kills():
    killed, begun = threading.Event(), threading.Event()

    def work(control):
        control.begin(Inbox())
        control.kills(killed.set)
        begun.set()
        killed.wait(PATIENCE)
        return Run(id="r1", state="interrupted", at=NOON)

    handle = Interrupted("r1", work, times=2)
    assert begun.wait(PATIENCE)
    with pytest.raises(KeyboardInterrupt):
        awaited(handle)
    assert killed.is_set()
    assert handle.wait().state == "interrupted"


# what means nothing ------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"select": []}, "select is empty, which chooses nothing; leave it out to choose all"),
        ({"select": ""}, "select is empty"),
        ({"exclude": {1}}, "exclude is .1.; a text, or a list of texts"),
        ({"select": 5}, "select is 5; a text, or a list of texts"),
        ({"select": [None]}, r"select is \[None\]; a text, or a list of texts"),
        ({"retries": "two"}, "retries is 'two'; a whole number from 0 to 1000"),
        ({"retries": -1}, "retries is -1"),
        ({"threads": 0}, "threads is 0; a whole number from 1 to 1000"),
        ({"vars": "x: 1"}, "vars is 'x: 1'; a mapping of names to values"),
    ],
)
def test_a_value_that_means_nothing_is_refused_before_anything_runs(tmp_path, given, said):
    with pytest.raises(dbtorch.UsageError, match=said):
        options_of(tmp_path, given, dbt_args=(), store=None, environ={}, called="run")


def test_nothing_chosen_is_no_rerun(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    with pytest.raises(dbtorch.SelectionError, match="select is empty"):
        dbtorch.Project(tmp_path).rerun("latest", select="")


def test_a_reason_is_kept_without_secrets():
    heard = []

    def until(control):
        inbox = Inbox()
        control.begin(inbox)
        heard.extend(inbox.take(60))
        return Run(id="r1", state="cancelled", at=NOON)

    handle = RunHandle("r1", until, lambda text: text.replace("hush", "*****"))
    handle.cancel(reason="the key is hush")
    handle.wait()
    (stop,) = heard
    assert "the key is *****" in stop.reason.text


def test_a_copy_of_the_process_ends_no_run_of_its_parent():
    ended = threading.Event()

    def until(control):
        ended.wait(PATIENCE)
        return Run(id="r1", state="success", at=NOON)

    handle = RunHandle("r1", until)
    handle._owner += 1  # as a forked child sees it
    cancelled = []
    handle.cancel = cancelled.append
    handle._end()
    ended.set()
    assert handle.wait().state == "success"
    assert not cancelled


def test_a_run_is_written_in_one_line():
    run = Run(id="r1", state="success", at=NOON)
    assert repr(run) == f"Run(id='r1', state='success', at={NOON!r})"


def test_a_mark_has_a_reason(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop")
    with pytest.raises(dbtorch.UsageError, match="a mark needs a reason"):
        dbtorch.Project(tmp_path).mark("latest", "orders", "success", reason=" ")


def test_a_project_is_read_with_its_own_environment(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop")
    (tmp_path / "dbtorch.yml").write_text(
        "version: 1\nstep_modules: [mine]\ndatabase_url: \"{{ env_var('HISTORY') }}\"\n"
    )
    (tmp_path / "mine.py").write_text(
        "import os, dbtorch\n@dbtorch.step(name=os.environ['STEP'])\ndef f(context): ...\n"
    )
    environ = {"STEP": "load", "HISTORY": "sqlite:///own.db", "PATH": os.environ["PATH"]}
    assert set(open_project(str(tmp_path), environ).config.steps) == {"load"}
    url = f"sqlite:///{tmp_path / 'own.db'}"
    found = configured_store(None, tmp_path, environ)
    assert found in (url, "sqlite:///own.db")
