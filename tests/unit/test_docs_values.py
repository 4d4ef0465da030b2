"""Numbers, names of metrics, events and variables: what a page says of them is what the code has."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dbtorch.adapters.config.document import MAX_BYTES
from dbtorch.adapters.dbt.session.protocol import MAX_DEATHS
from dbtorch.adapters.steps import request
from dbtorch.adapters.steps.base import MAX_OUTPUT
from dbtorch.adapters.steps.outcome import SKIP_STATUS
from dbtorch.app import alerting
from dbtorch.app.lease import ENDED, HELD_BACK
from dbtorch.cli import common_options, signals
from dbtorch.core.alerts.incidents import REMIND_AFTER
from dbtorch.core.alerts.outbox import HOPELESS_WAIT, LONGEST_WAIT, TRIED_FOR
from dbtorch.core.failures.message import MOST
from dbtorch.core.failures.scrub import SHORTEST
from dbtorch.core.history.records import LEASE_LIFETIME
from dbtorch.core.model.measure import LAST
from dbtorch.core.model.policy import Breaker
from dbtorch.core.run import timekeeper
from dbtorch.core.schedule.decide import MOST_CLAIMS, ON_TIME, ROLLOUT
from dbtorch.core.schedule.ledger import SkipReason
from dbtorch.core.schedule.rules import Rules
from dbtorch.ports.store import Store
from dbtorch.schedule import http, serve
from dbtorch.schedule.metrics import Metrics
from dbtorch.schedule.state import ServeState
from dbtorch.service.history import prune
from dbtorch.service.history.log_text import MOST_IN_JSON
from dbtorch.service.run import cancel, uploading
from dbtorch.service.schedule.timetable import MOST_MISSED
from dbtorch.testing.store import MemoryStore
from tests.pages import PAGES, ROOT, prose

WORDS = {
    word: number
    for number, word in enumerate(
        ["no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"half": 1 / 2, "three quarters": 3 / 4, "thousand": 1000, "first": 1, "an": 1}

BREAKER = Breaker()
RULES = Rules()
SERVE = serve.ServeOptions()
HISTORY = inspect.signature(Store.durations).parameters["last"].default

#: A page, what it says with its number in a group, and the number; times in the sentence's unit.
SAID = [
    # production
    ("production", r"its lease expires after (\d+) seconds", LEASE_LIFETIME.total_seconds()),
    ("production", r"starts nothing more after (half) of the lifetime", HELD_BACK),
    ("production", r"cancels the run after (three quarters)", ENDED),
    ("production", r"`--wait` waits, (a) day at most", common_options._A_DAY / 86_400),
    ("production", r"`grace` plus (\w+) seconds", serve._AFTER_GRACE),
    ("production", r"up to (\d+) runs that ended", prune._AT_ONCE),
    ("production", r"waits there for at most (\d+) seconds", uploading.PATIENCE),
    # scheduling
    ("scheduling", r"`--max-runs` \((\d+)\)", SERVE.max_runs),
    ("scheduling", r"on loopback, port (\d+)", SERVE.port),
    ("scheduling", r"could not start within (a) minute", ON_TIME / timedelta(minutes=1)),
    ("scheduling", r"the newest `max_catchup` \((\d+)\)", RULES.max_catchup),
    ("scheduling", r"more than a (thousand) are missed", MOST_MISSED),
    ("scheduling", r"begun (\w+) times without an end", MOST_CLAIMS),
    ("scheduling", r"it waits for (an) hour first", ROLLOUT / timedelta(hours=1)),
    ("scheduling", r"when it has not for (\w+) minutes", http._STUCK / 60),
    # recover
    ("recover", r"waits up to (\d+) seconds for the result", cancel.PATIENCE),
    ("recover", r"The history keeps ([\d,]+) characters", MOST),
    # steps
    ("steps", r"at most (\d+) KB", MAX_OUTPUT / 1024),
    ("steps", r"and (\d+) means there was nothing to do", SKIP_STATUS),
    ("steps", r"One of more than (\d+) MB fails", request._MAX_BODY / 1024**2),
    ("steps", r"one of fewer than (\w+) characters", SHORTEST),
    # failures
    ("failures", r"When (\w+) different dbt nodes fail", BREAKER.failures),
    ("failures", r"`transient` within (a) minute", BREAKER.window / 60),
    ("failures", r"After (\d+) seconds it runs one node as a probe", BREAKER.pause),
    ("failures", r"In the (first) hour, failed probes", BREAKER.patience / 3600),
    ("failures", r"starts it up to (\w+) times", MAX_DEATHS),
    # freshness
    ("freshness", r"the median of the `last` (\d+) runs", LAST),
    ("freshness", r"the median of its last (\w+) successes", HISTORY),
    ("freshness", r"at least (\d+) %", timekeeper.SURE * 100),
    ("freshness", r"at least every (\d+) seconds", timekeeper._SELDOM),
    # alerts
    ("alerts", r"waits at most (\w+) seconds for messages", alerting.PATIENCE),
    ("alerts", r"seconds up to (\w+) minutes", LONGEST_WAIT / 60),
    ("alerts", r"after (half) an hour if only a person", HOPELESS_WAIT / 3600),
    ("alerts", r"After `remind_after` \((\w+) days\)", REMIND_AFTER / 86_400),
    ("alerts", r"by the next run, within (a) day", TRIED_FOR / timedelta(days=1)),
    # output, configuration
    ("output", r"At most the last (\d+) MB of the log", MOST_IN_JSON / 1e6),
    ("configuration", r"UTF-8, at most (\d+) MB", MAX_BYTES / 1e6),
]


@pytest.mark.parametrize(("page", "said", "number"), SAID, ids=[f"{p}: {s}" for p, s, _ in SAID])
def test_a_number_on_a_page_is_that_of_the_code(page: str, said: str, number: float) -> None:
    (found,) = set(re.findall(said, " ".join(prose(f"docs/{page}.md").split())))
    assert (WORDS[found] if found in WORDS else float(found.replace(",", ""))) == number


def test_stopping_by_hand_takes_no_longer_than_a_pod_has() -> None:
    """What `production` asks for beside `grace` covers what a run takes after a signal."""
    assert signals._AFTER_GRACE < serve._AFTER_GRACE


# ---------------------------------------------------------------- serve


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text in a piece of code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def column(heading: str) -> set[str]:
    """What is in backticks in the first column of the table below a line of docs/scheduling.md."""
    text = prose("docs/scheduling.md")
    table = text[text.index(heading) :].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    return {name for cell in first for name in re.findall(r"`(\w+)", cell)}


def test_every_metric_is_on_the_page_and_no_other() -> None:
    families = Metrics(ServeState(), MemoryStore()).collect()
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }
    assert column("| metric | what |") == exposed


def test_every_event_of_serve_is_on_the_page_and_no_other() -> None:
    calls = [
        node
        for path in (ROOT / "dbtorch" / "schedule").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("write", "_say")
        if node.args
    ]
    said = {text for call in calls for text in texts(call.args[0])}
    assert column("| event | what |") == {text for text in said if re.fullmatch("[a-z_]+", text)}


def test_reasons_of_skipped_times_are_all_on_the_pages() -> None:
    for page in ("scheduling", "output"):
        text = prose(f"docs/{page}.md")
        assert [reason for reason in SkipReason if f"`{reason}`" not in text] == []


# ---------------------------------------------------------------- variables

#: What our processes say to each other; nobody sets it.
BETWEEN_US = re.compile(r"DBTORCH_(ENDS_WHAT_IS_LEFT|STANDBY|SUPERVISOR|TICK\w*)")
#: What `adapters/steps` makes the names of.
TO_STEPS = {
    f"DBTORCH_{one}"
    for one in ("CONTEXT", "TARGET_NAME", "TARGET_TYPE", "TARGET_DATABASE", "TARGET_PATH")
}


def test_every_variable_is_on_a_page_and_no_other() -> None:
    variable = re.compile(r"(?<!_)DBTORCH_[A-Z_]*[A-Z]\b")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "dbtorch").rglob("*.py")]
    read = {name for source in sources for name in variable.findall(source)}
    pages = [path for name, path in PAGES.items() if name.count("/") == 1 and "docs/" in name]
    shown = {name for page in pages for name in variable.findall(page.read_text(encoding="utf-8"))}
    assert [name for name in sorted(read - shown) if not BETWEEN_US.fullmatch(name)] == []
    assert shown <= read | TO_STEPS
