"""What the reading commands print of a history, with a clock, colours and a zone that are given."""

from dbtorch.adapters.clock import SystemClock
from dbtorch.cli.text.log import log_json, log_text
from dbtorch.cli.text.run import run_json_text, run_text
from dbtorch.cli.text.runs import runs_json, runs_text
from dbtorch.service.history.logs import find_log
from dbtorch.service.history.run import show_run
from dbtorch.service.history.runs import list_runs


def runs(store, *, format="text", echo, clock=None, colours=None, zone=None, is_alive=None, **some):
    found = list_runs(store, is_alive=is_alive, **some)
    now = (clock or SystemClock()).now()
    narrowed = {*some} - {"limit"}
    text = runs_text(found, now=now, narrowed=bool(narrowed), colours=colours, zone=zone)
    echo(runs_json(found) if format == "json" else text)
    return 0


def show(store, run, *, format="text", echo, clock=None, is_alive=None, **how):
    found = show_run(store, run, clock=clock, is_alive=is_alive)
    for line in [run_json_text(found)] if format == "json" else run_text(found, **how):
        echo(line)
    return 0


def logs(store, run, node, *, format="text", echo, **which):
    found = find_log(store, run, node, **which)
    for text in [log_json(found)] if format == "json" else log_text(found):
        echo(text)
    return 0
