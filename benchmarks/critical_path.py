"""How close a run comes to the shortest time its graph allows.

Random chains and fans of models that sleep in Postgres. No run can be shorter than the critical
path, nor than all the sleep divided by the threads; `dbtorch run` knows the durations from an
earlier run. The bound counts sleep alone, so what dbt itself takes for a node is overhead, and the
start-up is what a run of one model takes that does not sleep.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from measure import (
    Target,
    Usage,
    give_up,
    in_turns,
    parser,
    print_medians,
    spend,
    verdict,
    walls,
    workshop,
)
from project import POSTGRES, Model, write_project

from dbtorch.core.model.graph import Graph, Kind, Node

IDLE = Model(name="idle")


def chains_and_fans(seed: int) -> list[Model]:
    """Eight chains, some with a link to another one, and three fans that are gathered again."""
    chance = random.Random(seed)
    names = [f"m{number:03d}" for number in range(200)]
    chance.shuffle(names)  # so that the order of names says nothing
    models: list[Model] = []

    def add(*parents: str) -> str:
        model = Model(name=names.pop(), parents=parents, seconds=chance.uniform(0.5, 3.0))
        models.append(model)
        return model.name

    for _ in range(8):
        last = add()
        for _ in range(chance.randint(3, 10)):
            others = [model.name for model in models if model.name != last]
            last = add(
                last, *(chance.sample(others, 1) if others and chance.random() < 0.1 else ())
            )
    for _ in range(3):
        hub = chance.choice(models).name
        add(*(add(hub) for _ in range(chance.randint(4, 10))))
    return models


def bounds(models: list[Model], threads: int) -> tuple[float, float]:
    """Seconds of the critical path, and of all the work divided by the threads."""
    seconds = {model.name: model.seconds for model in models}
    graph = Graph(
        [Node(id=model.name, kind=Kind.MODEL, name=model.name) for model in models],
        [(parent, model.name) for model in models for parent in model.parents],
    )
    return max(graph.longest_paths(seconds).values()), sum(seconds.values()) / threads


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--graphs", type=int, default=2, help="random graphs to try; default 2")
    options.add_argument("--threads", type=int, default=8)
    options.add_argument("--postgres", help="URL of a server; without it PGHOST and so on say")
    given = options.parse_args()
    ratios: dict[str, list[float]] = {"dbt build": [], "dbtorch run": []}
    with workshop(given.folder) as folder, database(given.postgres) as environ:
        for seed in range(given.graphs):
            models = chains_and_fans(seed)
            path, share = bounds(models, given.threads)
            print(
                f"\ngraph {seed + 1}: {len(models)} models, critical path {path:.1f} s, "
                f"work / {given.threads} threads {share:.1f} s"
            )
            sides: dict[str, partial[Usage]] = {}
            commands = {"dbt build": [*given.dbt, "build"], "dbtorch run": [*given.dbtorch, "run"]}
            for name, command in commands.items():
                project = write_project(
                    folder / f"graph{seed}_{command[-1]}",
                    [*models, IDLE],
                    profile=POSTGRES,
                    threads=given.threads,
                )
                sides |= sides_of(name, command, project, environ)
            for name in commands:
                sides[name]()  # parses, and lets dbtorch learn the durations
            taken = in_turns(sides, given.rounds)
            print_medians(taken)
            for name, found in ratios.items():
                shortest = max(path, share) + walls(taken[f"{name}, start-up"])
                found.append(walls(taken[name]) / shortest)
                print(f"{name}: {found[-1]:.3f} x of {shortest:.1f} s")
    print(f"\nover {given.graphs} graphs: dbt build {median(ratios['dbt build']):.3f} x its bound")
    worst = max(ratios["dbtorch run"])
    return verdict(
        [Target(name="dbtorch run, worst graph, x its bound", value=worst, limit=1.10)],
        check=given.check,
    )


def sides_of(
    name: str, command: list[str], project: Path, environ: Mapping[str, str]
) -> dict[str, partial[Usage]]:
    """A run of everything that sleeps, and one of nothing but the start-up."""
    sleeping = [*command, "--exclude", IDLE.name]
    idle = [*command, "--select", IDLE.name]
    return {
        name: partial(spend, sleeping, cwd=project, environ=environ),
        f"{name}, start-up": partial(spend, idle, cwd=project, environ=environ),
    }


@contextlib.contextmanager
def database(url: str | None) -> Iterator[dict[str, str]]:
    """A database of our own; answers the variables that lead to it."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if url is None and "PGHOST" not in os.environ:
        give_up("name a Postgres server with --postgres URL, or with PGHOST and its like")
    name = f"dbtorch_bench_{secrets.token_hex(4)}"
    variables = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    said = conninfo_to_dict(url or "")
    environ = {variables[key]: str(said[key]) for key in variables if said.get(key)}
    with psycopg.connect(url or "", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield {**environ, "PGDATABASE": name}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
