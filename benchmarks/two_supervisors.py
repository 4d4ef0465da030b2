"""Two supervisors started at once on one pipeline: how often exactly one of them runs.

In turns both are `dbtorch run`, and both are `dbtorch retry` of one failed run; the second starts
up to a fifth of a second after the first. One of the two must execute the step and end well, the
other must be refused, and the step must have been executed once.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from measure import Target, parser, verdict, workshop
from project import Model, write_project

#: Long enough for both to have started: on a busy machine that takes seconds.
STEP = "echo once >> {witness}; test ! -e {fail} && sleep 4"

REFUSED = 2


def main() -> int:
    options = parser(__doc__, rounds=100)
    options.add_argument("--database-url", help="history on a server; default: beside the project")
    options.add_argument("--seed", default=os.urandom(4).hex(), help="the same delays again")
    given = options.parse_args()
    chance = random.Random(given.seed)
    where = urlsplit(given.database_url).scheme if given.database_url else "sqlite"
    print(f"history: {where}, seed {given.seed}")
    with workshop(given.folder) as folder:
        pair = Pair(folder, given.dbtorch, given.database_url)
        good = 0
        for number in range(1, given.rounds + 1):
            wrong = pair.race(retry=number % 2 == 0, delay=chance.uniform(0, 0.2))
            good += not wrong
            print(f"round {number:3}  {wrong or 'exactly one ran'}", flush=True)
    return verdict(
        [Target(name=f"rounds of {given.rounds} in which exactly one ran", value=good,
                limit=given.rounds, at_least=True)],
        check=given.check,
    )  # fmt: skip


class Pair:
    """A project, and two supervisors that want to run it."""

    def __init__(self, folder: Path, dbtorch: list[str], url: str | None) -> None:
        self._project = write_project(folder / "project", [Model(name="m")], threads=1)
        self._witness = folder / "once.txt"
        self._fail = folder / "fail"
        self._dbtorch = dbtorch
        self._store = ["--database-url", url] if url else []
        command = STEP.format(witness=self._witness, fail=self._fail)
        steps = {"steps": {"one": {"command": command, "opens_database": False}}}
        (self._project / "dbtorch.yml").write_text(json.dumps(steps))
        self._witness.write_text("")

    def race(self, *, retry: bool, delay: float) -> str:
        """One round; answers what went wrong, and nothing if exactly one ran."""
        command = "run"
        if retry:
            self._fail.touch()
            self._start("run", *self._store).communicate()
            self._fail.unlink()
            command = "retry"
        self._witness.write_text("")
        first = self._start(command, *self._store)
        time.sleep(delay)
        second = self._start(command, *self._store)
        said = [process.communicate()[0] for process in (first, second)]
        codes = sorted((first.returncode, second.returncode))
        times = len(self._witness.read_text().splitlines())
        if codes == [0, REFUSED] and times == 1:
            return ""
        return f"exit codes {codes}, executed {times} times\n{'---'.join(said)}"

    def _start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._dbtorch, *words],
            cwd=self._project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


if __name__ == "__main__":
    sys.exit(main())
