"""The comparison: what must be equal between `dbt build` and `dbtorch run`, and what may differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.parity.reference import BuildResult, NodeResult, RunResult, Shown
from tests.parity.warehouse import Relation

#: dbt's status -> the states that say the same.
STATES: Mapping[str, frozenset[str]] = {
    "success": frozenset({"success"}),
    "pass": frozenset({"success"}),
    "no-op": frozenset({"success"}),  # exposures and saved queries: nothing to execute
    "warn": frozenset({"warn"}),
    "error": frozenset({"failed"}),
    "fail": frozenset({"failed"}),
    "partial success": frozenset({"failed"}),  # some batches of a microbatch model failed
    "runtime error": frozenset({"failed"}),
    "skipped": frozenset({"upstream_failed", "skipped"}),
}

_GREEN = ("success", "warn", "reused")

#: Kinds that dbt has no results for: its own ends and dbtorch's additions.
_NOT_DBTS = ("source", "step", "session", "check")


def differences(build: BuildResult, run: RunResult) -> list[str]:
    """Everything in which a run differs from the build, one sentence each."""
    return [
        *_exit_codes(build, run),
        *_artifact_differences(build, run),
        *_state_differences(build, run),
        *_incomplete_records(run),
    ]


def early_end_differences(full: BuildResult, run: RunResult) -> list[str]:
    """The same for `--fail-fast`, against a build that went on to its end.

    Which nodes were not reached depends on the order among equals; nothing else may differ.
    """
    problems = [*_incomplete_records(run)]
    if run.exit_code != 1:
        problems.append(f"exit code {run.exit_code} although a node failed")
    if not any(result.status in ("error", "fail") for result in run.results or ()):
        problems.append("run_results.json has no node that failed")
    statuses, found = full.statuses(), run.statuses()
    # an ephemeral model that was not reached is skipped, one that was has no result
    unequal = (statuses.keys() ^ found.keys()) - full.facts.ephemeral
    if unequal:
        problems.append(f"run_results.json has other ids: {sorted(unequal)}")
    for id, status in statuses.items():
        if found.get(id, "skipped") not in (status, "skipped"):
            problems.append(f"{id}: run_results.json says {found[id]}, in full it is {status}")
        state = run.shown[id].state if id in run.shown else "not shown"
        if state not in STATES[found.get(id, "skipped")]:
            problems.append(f"{id}: {state}, but run_results.json says {found.get(id)}")
    return problems


def build_differences(one: BuildResult, other: BuildResult) -> list[str]:
    """The same between two builds by dbt itself: what a comparison must not complain about."""
    return [*_exit_codes(one, other), *_artifact_differences(one, other)]


def warehouse_differences(
    expected: Mapping[str, Relation], found: Mapping[str, Relation]
) -> list[str]:
    """Everything in which two warehouses differ, one sentence each."""
    problems = [f"{name}: relation is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name}: dbt has no such relation" for name in sorted(found.keys() - expected)]
    for name in sorted(expected.keys() & found.keys()):
        one, other = expected[name], found[name]
        if one.kind != other.kind:
            problems.append(f"{name}: is a {other.kind}, dbt built a {one.kind}")
        if one.columns != other.columns:
            problems.append(f"{name}: has columns {other.columns}, dbt's are {one.columns}")
        if one.rows != other.rows:
            lost = [row for row in one.rows if row not in other.rows]
            surplus = [row for row in other.rows if row not in one.rows]
            problems.append(
                f"{name}: has {len(other.rows)} rows, dbt's {len(one.rows)};"
                f" lacks {lost[:3]}, has instead {surplus[:3]}"
            )
    return problems


def _exit_codes(build: BuildResult, run: BuildResult) -> Iterator[str]:
    if (build.exit_code == 0) != (run.exit_code == 0):
        yield f"exit code {run.exit_code}, dbt's is {build.exit_code}"


# ------------------------------------------------------------------ run_results.json


def _artifact_differences(build: BuildResult, run: BuildResult) -> Iterator[str]:
    if build.results is None:
        # dbt gave up before it wrote any; the run may be more talkative, but not greener
        green = [result.id for result in run.results or () if result.status in ("success", "pass")]
        yield from (f"{id}: green, but dbt wrote no results" for id in green if _is_node(id))
        return
    if run.results is None:
        yield "run_results.json is missing"
        return
    if build.facts.nodes != run.facts.nodes:
        unequal = sorted(build.facts.nodes ^ run.facts.nodes)
        yield f"manifest.json has other nodes: {unequal[:5]}"
    for name in sorted(build.about.keys() | run.about.keys()):
        mine, theirs = run.about.get(name, "missing"), build.about.get(name, "missing")
        if mine != theirs:
            yield f"{name} is {mine}, dbt's is {theirs}"
    yield from _result_differences(build, run)


def _is_node(id: str) -> bool:
    return not id.startswith("operation.")


def _result_differences(build: BuildResult, run: BuildResult) -> Iterator[str]:
    expected, found = _by_id(build), _by_id(run)
    tolerated = _undecided(build) & _undecided(run)
    for id in sorted(expected.keys() | found.keys()):
        mine, theirs = found.get(id, []), expected.get(id, [])
        if len(mine) != len(theirs):
            yield f"{id}: {len(mine)} entries in run_results.json, dbt's has {len(theirs)}"
        elif id not in tolerated:
            for one, other in zip(theirs, mine, strict=True):
                yield from _field_differences(one, other)


def _by_id(build: BuildResult) -> dict[str, list[NodeResult]]:
    found: dict[str, list[NodeResult]] = defaultdict(list)
    for result in build.results or ():
        found[result.id].append(result)
    return found


def _field_differences(expected: NodeResult, found: NodeResult) -> Iterator[str]:
    if expected.status != found.status:
        # everything else follows from it
        yield (
            f"{expected.id}: run_results.json says {found.status} ({found.message}),"
            f" dbt's {expected.status} ({expected.message})"
        )
        return
    names = ("failures", "message", "relation", "compiled", "code", "response", "batches", "rest")
    for name in names:
        if name == "message" and expected.status == "skipped":
            continue  # of several causes dbt names the last one to fail, if it is ephemeral
        one, other = getattr(expected, name), getattr(found, name)
        if one != other:
            yield f"{expected.id}: {name} in run_results.json is {other!r}, dbt's is {one!r}"


def _undecided(build: BuildResult) -> set[str]:
    """Unit tests beside one that failed: dbt skips those it has not come to yet, in any order."""
    statuses = build.statuses()
    siblings: dict[str, list[str]] = defaultdict(list)
    for test, model in build.facts.tested.items():
        if test in statuses:
            siblings[model].append(test)
    return {
        test
        for tests in siblings.values()
        if len(tests) > 1 and any(statuses[test] in ("fail", "error") for test in tests)
        for test in tests
    }


# ------------------------------------------------------------------ dbtorch's own record


def _state_differences(build: BuildResult, run: RunResult) -> Iterator[str]:
    statuses = build.statuses()
    tolerated = _undecided(build) & _undecided(run)
    for id, status in sorted(statuses.items()):
        node = run.shown.get(id)
        if node is None:
            yield f"{id}: dbtorch shows no such node, dbt says {status}"
        elif node.state not in STATES[status] and id not in tolerated:
            yield f"{id}: {node.state} ({node.reason}), dbt says {status}"
    for id, node in sorted(run.shown.items()):
        if id not in statuses and not _may_be_surplus(node, build):
            yield f"{id}: {node.state}, dbt does not report it"
    if run.state == "success" and build.exit_code != 0:
        yield f"the run is a {run.state}, dbt's exit code is {build.exit_code}"


def _may_be_surplus(node: Shown, build: BuildResult) -> bool:
    if node.kind in _NOT_DBTS:
        return True
    if node.kind == "operation" and build.results is None:
        return True  # hooks that worked before one of them made dbt give up
    if node.kind == "operation" or build.results is None:
        return node.state not in _GREEN
    return node.id in build.facts.ephemeral


def _incomplete_records(run: RunResult) -> Iterator[str]:
    """A record that would leave somebody without an answer."""
    for node in run.shown.values():
        if node.state in ("skipped", "upstream_failed", "cancelled") and not node.reason:
            yield f"{node.id}: {node.state} without a reason"
        if node.state == "failed" and node.attempts and not node.attempts[-1]["message"]:
            yield f"{node.id}: failed without a message"
        if node.state not in (*_GREEN, "failed", "skipped", "upstream_failed", "cancelled"):
            yield f"{node.id}: still {node.state} although the run is over"
        if node.state == "upstream_failed" and node.attempts:
            yield f"{node.id}: upstream_failed, but it was tried"
