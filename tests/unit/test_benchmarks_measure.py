"""How the benchmarks compare two sides."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")  # scripts that import each other
sys.path.insert(0, BENCHMARKS)
measure = import_module("measure")
sys.path.remove(BENCHMARKS)


def usages(*walls: float) -> list:
    return [measure.Usage(wall=wall, cpu=2 * wall) for wall in walls]


def test_a_round_that_is_slow_for_both_changes_no_ratio() -> None:
    found = measure.ratio("wall", usages(2.0, 4.0, 40.0), usages(1.0, 2.0, 20.0), limit=1.05)
    assert found.value == pytest.approx(2.0)
    assert found.error == pytest.approx(0.0)
    assert str(found).endswith("(target <= 1.05): MISSED")


def test_a_ratio_has_its_standard_error() -> None:
    ours, theirs = usages(1.0, 1.21), usages(1.0, 1.0)
    found = measure.ratio("wall", ours, theirs, limit=1.2)
    assert found.value == pytest.approx(1.1)
    assert found.error == pytest.approx(0.105, abs=0.001)  # of the logarithms, 0.19 / 2
    assert str(found) == "wall: 1.1 ± 0.1 (target <= 1.2): reached"
    assert measure.ratio("wall", usages(1.5), usages(1.0), limit=1).error == 0


def test_it_may_be_about_the_cpu() -> None:
    sides = usages(3.0), usages(2.0)
    assert measure.ratio("CPU", *sides, limit=1, of=lambda usage: usage.cpu + 1).value == 7 / 5


def test_each_side_has_its_turn_in_each_round() -> None:
    orders = []

    def side(name: str):
        def run():
            orders.append(name)
            return usages(1.0)[0]

        return run

    taken = measure.in_turns({name: side(name) for name in "abc"}, 40, quiet=True)
    rounds = ["".join(orders[i : i + 3]) for i in range(0, 120, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 1
    assert {name: len(found) for name, found in taken.items()} == {"a": 40, "b": 40, "c": 40}
