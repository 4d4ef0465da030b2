"""`dbtorch alerts test`: an example of every alert to where it would go; notifiers of others, too."""

from pathlib import Path

import pytest

from dbtorch.cli.commands.alerts import test as alerts_test
from dbtorch.core.alerts.alert import AlertEvent
from dbtorch.core.alerts.routing import USUAL
from dbtorch.core.alerts.text import TEST
from dbtorch.core.errors import ConfigError, UsageError
from tests.slack_server import TOKEN, Slack, broken, slack_server
from tests.unit.loopback import serving

#: A notifier of another package: it writes lines into a file.
PAGER = """\
from pathlib import Path
from dbtorch.adapters.notify.base import NotifierError
from dbtorch.core.alerts.outbox import Style

def place(settings):
    return settings["team"]

def preview(delivery):
    return f"would page about {delivery.entry.key}"

class Pager:
    style = Style.STREAM

    def __init__(self, path):
        self.path = Path(path)

    def deliver(self, delivery, thread):
        with self.path.open("a") as file:
            file.write(f"{delivery.entry.address} {delivery.entry.body['alert']['event']}\\n")
        return {}

def open(settings):
    if "file" not in settings:
        raise NotifierError("alerts.pager needs a file")
    return Pager(settings["file"])
"""


@pytest.fixture
def server():
    with slack_server() as found:
        yield found


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages, one of which brings notifiers."""
    site = tmp_path / "site-packages"
    info = site / "acme_pager-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_pager.py").write_text(PAGER)
    (site / "acme_half_pager.py").write_text("def place(settings): ...\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pager\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dbtorch.notifiers]\npager = acme_pager\nhalf = acme_half_pager\n"
    )
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Answers the exit code of `alerts test` with these alerts, and what it says."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    monkeypatch.setenv("ALERTS_TOKEN", TOKEN)

    def run(alerts: str, *, dry_run: bool = False) -> tuple[int, list[str]]:
        said: list[str] = []
        text = f"defaults: {{owner: ana}}\npipelines: {{daily: {{}}}}\nalerts: {alerts}\n"
        (tmp_path / "dbtorch.yml").write_text(text)
        monkeypatch.setattr("dbtorch.cli.commands.alerts.echo", said.append)
        code = alerts_test.callback(dry_run=dry_run, pipeline=None, project_dir=str(tmp_path))
        return code, said

    return run


def bot(server: Slack, more: str = "") -> str:
    token = "\"{{ env_var('ALERTS_TOKEN') }}\""
    return f"{{slack: {{token: {token}, channel: '#data', api_url: '{server.url}'}}{more}}}"


def test_an_example_of_each_goes_where_it_would_go(trial, server: Slack) -> None:
    every = ", ".join(AlertEvent)
    spec = (
        ", owners: {ana: {slack: '#data', mention: ana@example.com}, ops: '#ops'}"
        f", rules: [{{events: [{every}]}}]"
    )
    code, said = trial(bot(server, spec))
    assert (code, said) == (
        0,
        ["a run -> slack:#data: sent"]
        + [f"{event} -> slack:#data: sent" for event in AlertEvent]
        + ["a run -> slack:#ops: sent", "failed -> slack:#ops: sent"],
    )
    card, other = server.top_level()
    details = server.thread(card["ts"])
    assert [len(AlertEvent), 1] == [len(details), len(server.thread(other["ts"]))]
    assert all(str(one["blocks"]).count(TEST) == 1 for one in (card, *details))
    assert all(one["text"].startswith(TEST) for one in (card, *details))
    assert "<@U0000ANA>" in details[0]["text"]


def test_a_dry_run_prints_what_would_be_sent_and_sends_nothing(trial, server: Slack) -> None:
    code, said = trial(bot(server), dry_run=True)
    assert code == 0
    assert [line for line in said if "->" in line] == [
        "a run -> slack:#data",
        *(f"{event} -> slack:#data" for event in AlertEvent if event in USUAL),
    ]
    assert "0 rows, usually about 12,000" in "\n".join(said)
    assert server.calls == []


def test_an_incoming_webhook_and_a_webhook_are_tried_out(trial, server: Slack) -> None:
    with serving() as other:
        other.says("/in", 204)
        code, said = trial(
            f"{{slack: {{webhook_url: '{server.webhook_url}'}}, webhook: {{url: '{other.url}/in',"
            " secret: s}, rules: [{events: failed}]}"
        )
        assert all("dbtorch-signature" in headers for _, _, headers, _ in other.requests)
        assert len(other.requests) == 2  # a check that blocks has failed
    assert code == 0
    assert sorted(line.partition(" ->")[0] for line in said) == ["check"] * 2 + ["failed"] * 2
    assert len(server.messages) == 2


def test_what_cannot_be_sent_is_said(trial, server: Slack, monkeypatch) -> None:
    server.trouble = [broken]
    code, said = trial(bot(server, ", rules: [{events: failed}]"))
    assert code == 1
    assert said[0] == "a run -> slack:#data: not sent, Slack answers status 500"
    monkeypatch.delenv("ALERTS_TOKEN")
    code, said = trial(bot(server))
    assert code == 1
    assert [line.partition(",")[0] for line in said] == ["slack: off"]


@pytest.mark.usefixtures("packages")
def test_a_notifier_of_another_package_is_one_of_them(trial, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    rule = "rules: [{events: [failed, stale]}]"
    code, said = trial(f"{{pager: {{team: night, file: '{pages}'}}, {rule}}}")
    assert (code, pages.read_text().splitlines()) == (
        0,
        ["night failed", "night stale", "night check"],
    )
    code, said = trial(f"{{pager: {{team: night, file: '{pages}'}}, {rule}}}", dry_run=True)
    assert any("would page about example-" in line for line in said)
    assert trial("{pager: {team: night}}") == (1, ["pager: off, alerts.pager needs a file"])
    code, said = trial("{half: {}}")
    assert code == 1
    assert said[0].endswith("has no function 'preview'")


@pytest.mark.usefixtures("packages")
def test_a_notifier_that_nobody_brings_is_a_mistake(trial) -> None:
    with pytest.raises(ConfigError, match='unknown key "pagr" in alerts; did you mean "pager"'):
        trial("{pagr: {team: night}}")


def test_without_notifiers_there_is_nothing_to_try(trial) -> None:
    with pytest.raises(UsageError, match="alerts are not configured"):
        trial("{owners: {ana: '#data'}}")
