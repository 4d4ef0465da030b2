"""Pipelines that start by what happens, or because somebody asks for it."""

import json

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.cli.main import main
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import NotFound, UsageError
from dbtorch.core.model.state import RunState
from dbtorch.core.params import ParamSpec
from dbtorch.core.schedule.cause import CauseKind
from dbtorch.core.schedule.condition import Condition, TriggerSpec
from dbtorch.core.schedule.ledger import Pause, ScheduleKey, SkipReason, TickState
from dbtorch.core.schedule.news import Observation
from dbtorch.service.schedule.timetable import Looks, timetable
from dbtorch.service.schedule.trigger import trigger
from tests.serving.farm import a_project
from tests.stores import NOON
from tests.unit.serving import HOUR, HOURLY, SHOP, Serving

FILES = Condition(file="in/")


class Triggered(Serving):
    """A scheduler of pipelines that start by what is seen, which a test says."""

    def __init__(self, tmp_path, *args, specs, **given):
        self.specs = specs
        self.seen = {FILES.key: Observation(words="")}
        super().__init__(tmp_path, *args, **given)

    def serve(self, pipelines, calendars=None):
        def looking(_, spec, key):
            return Looks(spec=spec, look=lambda: self.seen)

        self.config = Config(pipelines={one.name: one for one in self.specs})
        self.scheduler.use(timetable(self.config, SHOP, calendars, looking))

    def happens(self, words, text="file in/a.csv"):
        self.seen = {FILES.key: Observation(words=words, text=text)}
        self.turn(HOUR / 3600)


def by_files(name="p0", **given):
    return PipelineSpec(name=name, target="dev", on=TriggerSpec(all=(FILES,)), **given)


@pytest.fixture
def serving(tmp_path):
    made = []

    def make(*args, **given):
        made.append(Triggered(tmp_path, *args, **given))
        return made[-1]

    yield make
    for one in made:
        for child in one.scheduler.children.values():
            child.kill()


def test_what_happens_starts_a_run_that_is_told_so(serving):
    script = 'echo "$0 $* of $DBTORCH_TICK_CAUSE"'
    one = serving(script, specs=[by_files()])
    one.happens("")
    assert one.scheduler.children == {}
    one.happens("a")
    child = one.end()
    words, _, cause = child.last_words.partition(" of ")
    assert "--pipeline p0" in words
    assert "--logical-date" not in words  # it covers what a run by hand would
    assert json.loads(cause) == {"kind": "file", "text": "file in/a.csv"}
    (tick,) = one.ticks()
    assert (tick.cause.kind, tick.reason) == (CauseKind.FILE, None)
    assert one.events("run_process_started")[0]["trigger"] == "file in/a.csv"
    one.happens("a")
    assert len(one.ticks()) == 1


def test_of_two_servers_one_starts_it(serving, tmp_path):
    """Both see the same at the same moment, and each decides by what it has read before."""
    url = f"sqlite:///{tmp_path}/runs.db"
    servers = []
    for number in range(2):
        store = open_store(url, tmp_path, identity=SHOP)
        servers.append(serving(store=store, specs=[by_files()], begun=number == 0))
    first, second = servers
    second.turn()
    for one in servers:
        one.seen = {FILES.key: Observation(words="a", text="file a")}
    views = [one.store.ledger() for one in servers]
    for one, view in zip(servers, views, strict=True):
        one.store.ledger = lambda view=view: view  # what it has read
        one.scheduler.turn()
        del one.store.ledger
    assert [len(one.scheduler.children) for one in servers] == [1, 0]
    second.turn()
    assert len(second.scheduler.children) == 0
    assert len(first.ticks()) == 1
    for one in servers:
        one.store.close()


def test_what_happens_meanwhile_waits_and_the_newest_of_it_runs(serving):
    one = serving(specs=[by_files()])
    one.happens("")
    one.happens("a")
    (child,) = one.scheduler.children.values()
    lease = one.begin(child, "r1")
    one.happens("a b")
    one.happens("a b c")
    reasons = [tick.reason for tick in one.ticks()]  # the newest first
    assert reasons == [None, SkipReason.SUPERSEDED, None]
    one.store.end("r1", RunState.SUCCESS, one.now)
    one.store.release(lease)
    child.kill()
    one.end()
    one.turn()
    assert len(one.scheduler.children) == 1


def test_while_it_is_paused_what_happens_leaves_a_row(serving):
    one = serving(specs=[by_files()])
    one.happens("")
    one.store.pause(ScheduleKey("p0", "dev (x)"), Pause(at=NOON, by="ana@box"))
    one.happens("a")
    (tick,) = one.ticks()
    assert (tick.state, tick.reason, tick.cause.text) == ("skipped", "paused", "file in/a.csv")


def test_beside_a_schedule_each_starts_its_own(serving):
    one = serving(specs=[by_files(schedule=HOURLY)])
    one.happens("")
    one.turn(HOUR)
    assert [tick.cause for tick in one.ticks()] == [None]
    one.run()
    one.happens("a")
    assert [tick.cause is None for tick in one.ticks()] == [False, True]
    assert len(one.scheduler.children) == 1


def test_a_pipeline_that_is_asked_for_runs_with_what_was_said(serving):
    params = {"country": ParamSpec(default="de", choices=("de", "fr"))}
    spec = PipelineSpec(name="p0", target="dev", params=params)
    one = serving('echo "as $DBTORCH_TICK_CAUSE"', specs=[spec])
    found = trigger(one.store, one.config, "p0", {"country": "fr"})
    assert (found.served, found.pause, found.before) == (True, None, None)
    one.turn()
    said = json.loads(one.end().last_words[3:])
    assert said["params"] == {"country": "fr"}
    assert (said["kind"], said["text"]) == ("trigger", "dbtorch trigger")
    with pytest.raises(UsageError, match="is 'it'; expected one of de, fr"):
        trigger(one.store, one.config, "p0", {"country": "it"})
    with pytest.raises(NotFound):
        trigger(one.store, one.config, "p9", {})
    trigger(one.store, one.config, "default", {})  # everything, which nobody has declared


def test_what_is_asked_for_is_superseded_by_nothing_and_waits_for_a_pause(serving):
    one = serving(specs=[PipelineSpec(name="p0", target="dev")])
    key = ScheduleKey("p0", "dev (x)")
    one.store.pause(key, Pause(at=NOON, by="ana@box"))
    for _ in range(3):
        assert trigger(one.store, one.config, "p0", {}).pause is not None
    one.turn()
    assert [tick.state for tick in one.ticks()] == [TickState.QUEUED] * 3
    one.store.pause(key, None)
    for _ in range(3):
        one.turn()
        assert one.run() == ["p0"]
    assert [tick.state for tick in one.ticks()] == [TickState.DONE] * 3


def test_what_is_left_of_a_schedule_that_is_gone_is_closed_though_the_pipeline_is_not(serving):
    one = serving(specs=[PipelineSpec(name="p0", target="dev", schedule=HOURLY)])
    one.scheduler.max_runs = 0
    one.turn(HOUR)
    trigger(one.store, one.config, "p0", {})
    one.specs = [PipelineSpec(name="p0", target="dev")]
    one.serve(None)
    one.scheduler.max_runs = 4
    one.turn()
    one.turn()
    asked, due = one.ticks()
    assert (due.reason, due.cause) == (SkipReason.REMOVED, None)
    assert (asked.cause.kind, asked.server != "") == (CauseKind.TRIGGER, True)


@pytest.fixture
def folder(tmp_path):
    a_project(tmp_path, 1)
    with (tmp_path / "dbtorch.yml").open("a") as file:
        file.write("  by_hand: {params: {country: de}}\n")
    return tmp_path


def test_without_a_server_it_says_that_it_waits(folder, capsys):
    words = ["--project-dir", str(folder)]
    assert main(["trigger", "by_hand", "--param", "country=fr", "--key", "k1", *words]) == 0
    said = capsys.readouterr().out
    assert "pipeline by_hand is triggered, and waits: no `dbtorch serve` is at work" in said
    assert main(["trigger", "by_hand", "--key", "k1", "--format", "json", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["triggered"], found["served"]) == (False, False)
    for key in ("\udcff", "a\nb", "k" * 201):
        assert main(["trigger", "by_hand", "--key", key, *words]) == 2
        assert "is no idempotency key" in capsys.readouterr().err
    assert main(["trigger", "by_hand", "--param", "land=fr", *words]) == 2
    assert "has no parameter 'land'" in capsys.readouterr().err
    assert main(["trigger", "by_hand", "--param", "land", *words]) == 2
    assert "is no parameter; write name=value" in capsys.readouterr().err
