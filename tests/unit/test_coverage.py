"""Which partitions are built: random histories against a reference that looks at each hour."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.coverage import Asked, Built, Entry, Status, statuses
from dbtorch.core.schedule.partition import Partition

BEGIN, HOUR = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1)
SPAN = 24  # hours that anything is about
NODES = ("model.shop.a", "model.shop.b", "step.load")
RUN = "pipeline.daily"
DRIVEN = "driven"


def at(hours):
    return BEGIN + hours * HOUR


def entry(node, start, end, built=Built.DONE, when=100, checksum="1", run_id="r"):
    return Entry(
        node_id=node,
        interval=Interval(None if start is None else at(start), at(end)),
        built=built,
        run_id=run_id,
        checksum=checksum,
        at=at(when),
    )


def of_length(hours):
    return [
        Partition(f"{start:02}", Interval(at(start), at(start + hours)))
        for start in range(0, SPAN, hours)
    ]


def asked(**values):
    checksums = dict.fromkeys(NODES, "1")
    return Asked(**{"checksums": checksums, "drives": DRIVEN.__eq__, **values})


# -------------------------------------------------------------------- the reference


def reference(partitions, entries, question):
    """For each partition its status, and whether it is late: hour by hour, node by node."""
    return [_reference(place, partitions, entries, question) for place, _ in enumerate(partitions)]


def _reference(place, partitions, entries, question):
    one = partitions[place]
    single, since = {}, []
    for node in (*([question.run] if question.run else []), *question.checksums):
        hours = [
            _last(entries, node, at(hour))
            for hour in range(SPAN)
            if one.start <= at(hour) < one.end
        ]
        single[node] = _of_hours(hours, question.checksums.get(node, ""))
        since += [entry.at for entry in hours if entry]
    if question.run and single[question.run] not in ("done", "stale"):
        status = single[question.run]
    else:
        if question.run:
            for node, found in single.items():
                if found == "missing":
                    single[node] = "done" if node.startswith("step.") else "stale"
        order = ["running", "failed", "missing", "stale", "done"]
        status = next((word for word in order if word in single.values()), "missing")
    newer = [other.end for other in partitions[place + 1 : place + 1 + question.lookback]]
    late = status in ("stale", "done") and any(min(since) < end for end in newer if since)
    return ("late" if late and status == "done" else status, late)


def _last(entries, node, hour):
    mine = [
        entry
        for entry in entries
        if entry.node_id == node
        and (entry.interval.start is None or entry.interval.start <= hour)
        and hour < entry.interval.end
    ]
    return max(mine, key=lambda entry: entry.at, default=None)


def _of_hours(hours, checksum):
    written = [entry for entry in hours if entry]
    if any(entry.built == "running" and entry.run_id == DRIVEN for entry in written):
        return "running"
    if any(entry.built != "done" for entry in written):
        return "failed"
    if len(written) < len(hours) or not written:
        return "missing"
    if checksum and any(entry.checksum and entry.checksum != checksum for entry in written):
        return "stale"
    return "done"


# -------------------------------------------------------------------- random histories


@st.composite
def histories(draw):
    """What was written, each at a time of its own; intervals of all lengths, some for ever back."""
    count = draw(st.integers(0, 12))
    times = draw(st.permutations(range(count)))
    found = []
    for number in range(count):
        start = draw(st.integers(0, SPAN - 1))
        length = draw(st.integers(1, SPAN))
        found.append(
            entry(
                draw(st.sampled_from((*NODES, RUN))),
                draw(st.sampled_from((start, start, start, None))),
                min(SPAN, start + length),
                draw(st.sampled_from((*Built, Built.DONE, Built.DONE))),
                times[number] * 3 - 2,
                draw(st.sampled_from(("1", "1", "2", ""))),
                draw(st.sampled_from((DRIVEN, "gone"))),
            )
        )
    return found


@given(
    history=histories(),
    length=st.sampled_from((1, 2, 3, 6, 12, 24)),
    lookback=st.integers(0, 5),
    run=st.sampled_from(("", RUN)),
    nodes=st.sets(st.sampled_from(NODES)),
)
@example(history=[], length=6, lookback=2, run="", nodes=set())
def test_a_ledger_says_what_a_slow_one_says(history, length, lookback, run, nodes):
    partitions = of_length(length)
    question = asked(checksums=dict.fromkeys(sorted(nodes), "1"), lookback=lookback, run=run)
    found = statuses(partitions, history, question)
    assert [one.partition for one in found] == partitions
    wanted = reference(partitions, history, question)
    assert [(one.status.value, one.late) for one in found] == wanted


# -------------------------------------------------------------------- each for itself


def status(*entries, **values):
    (found,) = statuses([of_length(6)[1]], entries, asked(checksums={NODES[0]: "1"}, **values))
    return found


def test_a_partition_is_done_when_all_of_it_was_built_last():
    assert status().status is Status.MISSING
    assert status(entry(NODES[0], 6, 11)).status is Status.MISSING  # an hour is left
    assert status(entry(NODES[0], 6, 11), entry(NODES[0], 11, 12)).status is Status.DONE
    assert status(entry(NODES[0], None, 24)).status is Status.DONE


def test_what_was_written_last_counts():
    done = entry(NODES[0], 6, 12, when=50)
    failed = entry(NODES[0], 0, 7, Built.FAILED, when=60)
    assert status(done, failed).status is Status.FAILED
    assert status(done, entry(NODES[0], 0, 7, Built.FAILED, when=40)).status is Status.DONE
    assert status(done, failed, entry(NODES[0], 6, 7, when=70)).status is Status.DONE


def test_a_run_that_nobody_drives_any_more_has_failed():
    assert status(entry(NODES[0], 6, 12, Built.RUNNING, run_id=DRIVEN)).status is Status.RUNNING
    assert status(entry(NODES[0], 6, 12, Built.RUNNING)).status is Status.FAILED


def test_a_model_that_was_added_since_is_other_code():
    whole = entry(RUN, 6, 12, checksum="")
    assert status(whole, run=RUN).status is Status.STALE
    assert status(whole, entry(NODES[0], 6, 12), run=RUN).status is Status.DONE
    assert status(entry(NODES[0], 6, 12), run=RUN).status is Status.MISSING


def test_late_data_is_built_again_after_each_of_the_partitions_that_follow():
    day = of_length(6)
    built = [entry(NODES[0], 6 * n, 6 * n + 6, when=6 * n + 6) for n in range(4)]
    question = asked(checksums={NODES[0]: "1"}, lookback=2)
    found = statuses(day, built, question)
    assert [one.status.value for one in found] == ["late", "late", "late", "done"]
    again = [entry(NODES[0], 6 * n, 6 * n + 6, when=25) for n in range(1, 3)]
    found = statuses(day, [*built, *again], question)
    assert [one.status.value for one in found] == ["late", "done", "done", "done"]
