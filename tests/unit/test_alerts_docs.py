"""docs/alerts.md says what the code does."""

import importlib.util
import re

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.core.alerts.alert import SEVERITIES, AlertEvent
from dbtorch.core.alerts.routing import USUAL, AlertsSpec
from tests.alerts import a_failure
from tests.unit.test_config_docs import ROOT_DIR

PAGE = ROOT_DIR / "docs" / "alerts.md"


@pytest.fixture
def page():
    return PAGE.read_text(encoding="utf-8")


def test_the_examples_are_the_codes(page):
    spec = importlib.util.spec_from_file_location("alerts_docs", ROOT_DIR / ".ci/alerts_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.updated(page) == page, "run .ci/alerts_docs.py"


def test_the_configurations_of_the_page_work(page, tmp_path):
    found = []
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        (tmp_path / "dbtorch.yml").write_text(f"version: 1\n{block}")
        found.append(load(tmp_path).alerts)
        assert "slack" in found[-1].notifiers
    _, alerts, about_targets = found
    assert about_targets.rules[1].targets == {"staging"}
    assert alerts.rules[0].events == USUAL
    assert alerts.rules[1].to == ("#incidents", "webhook")
    assert alerts.owners["marketing"].addresses == {"slack": "#marketing-data"}


def test_what_is_left_empty_is_the_usual_and_no_notifier(tmp_path):
    (tmp_path / "dbtorch.yml").write_text("alerts: {owners: {}, folders: {}, rules: []}\n")
    assert load(tmp_path).alerts == AlertsSpec()


@pytest.mark.parametrize("event", AlertEvent)
def test_every_event_is_on_the_page(page, event):
    (row,) = re.findall(rf"\| `{event.value}` \|.*\| (.*) \|", page)
    assert row.startswith(SEVERITIES[event].value)


def test_every_key_of_the_webhook_is_on_the_page(page):
    import json

    from dbtorch.adapters.notify.webhook import body_of
    from dbtorch.core.alerts.alert import to_json

    for key in json.loads(body_of({"alert": to_json(a_failure())})):
        assert f"`{key}`" in page


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("alerts: {slack: {}}", "alerts.slack needs token and channel or webhook_url"),
        ("alerts: {slack: {token: x}}", "alerts.slack needs token and channel or webhook_url"),
        ("alerts: {slak: {}}", 'unknown key "slak" in alerts; did you mean "slack"?'),
        ("alerts: {webhook: {secret: x}}", "alerts.webhook has no url"),
        ("alerts: {email: {host: x}}", "alerts.email needs host and from"),
        ("alerts: {rules: [{events: [fail]}]}", 'did you mean "failed"?'),
        ("alerts: {rules: [{to: '#x'}]}", 'alerts.rules[0].to is "#x", of the notifier slack'),
        ("alerts: {email: {host: x, from: y, tls: yes}}", "expected one of starttls, tls, none"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, written, said):
    from dbtorch.core.errors import ConfigError

    (tmp_path / "dbtorch.yml").write_text(f"version: 1\n{written}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert said in str(caught.value)
    assert str(caught.value).startswith("dbtorch.yml:2: ")
