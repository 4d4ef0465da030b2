"""What people are used to: suggestions, help in groups, columns that hold, quiet jobs."""

import io
import re
from datetime import UTC, timedelta

import pytest

from dbtorch.adapters.config.draft import draft
from dbtorch.adapters.config.survey import Survey
from dbtorch.cli.live.live_view import LiveView
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.quiet_lines import QuietLines
from dbtorch.cli.main import main
from dbtorch.cli.text.colour import PLAIN
from dbtorch.cli.text.docs import docs
from dbtorch.cli.text.summary import summary_text
from dbtorch.cli.text.table import table
from dbtorch.cli.text.words import in_the_middle
from dbtorch.core.errors import UsageError
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.testing import FixedClock
from tests.unit.printed import show
from tests.unit.story import NOON, Told, broken_shop, model, plan


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rnu", "there is no command 'rnu'; did you mean \"run\"?"),
        ("build", "there is no command 'build': `dbtorch run` builds all that `dbt build` does"),
        ("deps", "there is no command 'deps': ask dbt for that"),
        ("xyz", "there is no command 'xyz'; `dbtorch --help` lists the commands"),
    ],
)
def test_a_command_that_there_is_not_says_which_one_is_meant(word, hint, capsys):
    assert main([word]) == 2
    assert f"Error: {hint}" in capsys.readouterr().err


def headings(text):
    return re.findall(r"^([A-Z][\w' ]+):$", text, re.MULTILINE)


def test_many_options_are_in_groups_with_examples_behind_them(capsys):
    assert main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    assert headings(text)[:2] == ["What runs", "How it runs"]
    assert headings(text)[-3:] == ["More of dbt's options", "Examples", "Documentation"]
    assert "--select" in text
    assert "dbtorch docs production" in text


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("re", ["retry", "rerun", "resume", "report"]),
        ("run --store", ["--store-failures"]),
        ("logs --fo", ["--follow", "--format"]),
        ("alerts f", ["flush"]),
    ],
)
def test_a_shell_completes_commands_and_options(typed, found, monkeypatch, capsys):
    words = ["dbtorch", *typed.split()]
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_DBTORCH_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == [f"plain,{word}" for word in found]
    lines = []
    docs("command-line", echo=lines.append)
    assert "_DBTORCH_COMPLETE=bash_source dbtorch" in lines[-1]


def test_retry_lists_no_option_that_it_refuses(capsys):
    assert main(["retry", "--help"]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"--(select|exclude|vars|full-refresh|target)\b", text)
    assert "--threads" in text


def test_the_documentation_of_this_version_is_at_hand(capsys):
    lines = []
    assert docs(None, echo=lines.append) == 0
    assert any(line.startswith("configuration ") for line in lines)
    assert docs("configuration", echo=lines.append) == 0
    assert lines[-1].startswith("# Configuration: ")
    with pytest.raises(UsageError, match='did you mean "recover"'):
        docs("recove", echo=print)


def test_a_new_file_points_to_what_everybody_has_and_ends_with_a_line_break():
    text = draft(Survey(name="shop", model_path="models", profiles_dir=None))
    assert text.endswith("}\n")
    assert "`dbtorch docs configuration`" in text


def test_a_long_name_breaks_no_column():
    name = "a_test_with_a_name_that_somebody_has_generated_from_all_its_arguments_and_more"
    lines = "\n".join(table(("NODE", "STATE", "WHY"), [["short", "ok", ""], [name, "ok", "so"]]))
    head, short, long, rest = lines.splitlines()
    assert long == name
    assert short.index("ok") == rest.index("ok") == head.index("STATE")
    assert rest.index("so") == head.index("WHY")


def test_a_name_loses_its_middle_before_it_moves_what_comes_after_it():
    assert in_the_middle("x" * 60, 60) == "x" * 60
    short = in_the_middle("not_null_" + "x" * 80 + "_customer_id", 60)
    assert len(short) == 60
    assert short.startswith("not_null_x")
    assert short.endswith("x_customer_id")


def test_nodes_are_shown_in_the_order_in_which_they_ran():
    nodes = [model("c"), model("a"), model("b"), model("never")]
    edges = [(nodes[1].id, nodes[2].id), (nodes[2].id, nodes[0].id), (nodes[0].id, nodes[3].id)]
    until = NOON + timedelta(seconds=3)
    told = Told(a_plan=plan(nodes, edges), until=until, seconds={nodes[0].id: [100.0]})
    lines = []
    show(told.store, "latest", echo=lines.append, zone=UTC, is_alive=lambda run: True)
    names = [line.split()[1] for line in lines if line.startswith("model ")]
    assert names == ["a", "b", "c", "never"]


def test_a_narrow_terminal_shows_the_whole_reason_of_a_failure():
    told, stream = broken_shop(), io.StringIO()
    view = LiveView(Output(stream), FixedClock(NOON), PLAIN, size=lambda: (60, 24), zone=UTC)
    view.start(told.plan, told.record)
    view.changed(told.changes)
    view.tick(told.now)
    text = " ".join(re.sub(r"\x1b\[\w+", "", stream.getvalue()).split())
    assert 'Binder Error: column "amont" not found' in text


def test_hints_fit_a_terminal_of_80_columns():
    text = summary_text(summarize(broken_shop().kept()))
    hints = text[text.index("What to look at next") :].splitlines()
    assert max(map(len, hints)) <= 80
    assert any(line.lstrip().startswith("dbtorch retry") for line in hints)


def quietly(told):
    stream = io.StringIO()
    view = QuietLines(Output(stream), FixedClock(NOON), UTC)
    view.start(told.plan, told.record)
    for now, changes in told.turns:
        view.changed(changes)
        view.tick(now + timedelta(hours=1))
    view.note("a step is taken over", level="info")
    view.finish(summarize(told.kept()))
    return stream.getvalue()


def test_a_quiet_run_says_nothing_when_all_is_well():
    assert quietly(Told()) == ""


def test_a_quiet_run_passes_on_no_advice_of_dbt_but_that_nothing_matched():
    stream = io.StringIO()
    view = QuietLines(Output(stream), FixedClock(NOON), UTC)
    view.warned(DbtWarning.of("ModelParamUsageDeprecation", "use other words"))
    assert stream.getvalue() == ""
    view.warned(DbtWarning.of("NoNodesForSelectionCriteria", "the selection matches nothing"))
    assert "the selection matches nothing" in stream.getvalue()


def test_a_quiet_run_says_all_that_went_wrong():
    text = quietly(broken_shop())
    assert [line.split()[1] for line in text.splitlines()[:2]] == ["WARN", "FAIL"]
    assert "What to look at next" in text
