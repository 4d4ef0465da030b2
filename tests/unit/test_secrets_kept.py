"""What is kept beside the history has no secrets, or is its owner's alone."""

from __future__ import annotations

import logging
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.notify import email, slack
from dbtorch.adapters.notify.base import NotifierError
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.cli.common_options import without_secrets
from dbtorch.cli.tracebacks import hide_in_tracebacks
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.service.planning.manifest_cache import ManifestCache
from dbtorch.service.project.known_secrets import profile_secrets
from dbtorch.service.run.private_context import as_started, recorded
from tests.unit.test_head_start import selected


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_its_owners(tmp_path: Path) -> None:
    assert mode(make_state_dir(tmp_path)) == 0o700


@pytest.mark.parametrize(
    ("was", "is_"), [(0o755, 0o750), (0o777, 0o770), (0o770, 0o770), (0o700, 0o700)]
)
def test_one_that_others_could_read_is_closed_to_them(tmp_path: Path, was: int, is_: int) -> None:
    folder = tmp_path / ".dbtorch"
    folder.mkdir()
    folder.chmod(was)
    assert mode(make_state_dir(tmp_path)) == is_


def test_an_answer_with_secret_vars_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").touch()
    cache = tmp_path / ".dbtorch" / "cache"
    answer = selected(tmp_path)
    ManifestCache(tmp_path, ["a"]).keep(replace(answer, vars={"DBT_ENV_SECRET_X": "s3cret!"}))
    assert not cache.exists()
    ManifestCache(tmp_path, ["a"]).keep(answer)
    assert [mode(path) for path in cache.iterdir()] == [0o600]


RECORD = RunRecord(
    run_id="r1",
    pipeline="default",
    project="shop",
    target="dev",
    logical_date=datetime(2026, 1, 1, tzinfo=UTC),
    data_interval_start=datetime(2026, 1, 1, tzinfo=UTC),
    data_interval_end=datetime(2026, 1, 2, tzinfo=UTC),
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=RunState.FAILED,
    host="here",
)

WORDS = ["--vars", "{DBT_ENV_SECRET_X: s3cret!}", "--threads", "2"]
HIDDEN = ["--vars", "{DBT_ENV_SECRET_X: *****}", "--threads", "2"]


def started(tmp_path: Path) -> tuple[RunFiles, RunRecord]:
    files = RunFiles(tmp_path / ".dbtorch", "r1")
    options = recorded({"dbt_args": WORDS, "x": 1}, files, Scrubber(["s3cret!"]))
    assert options["dbt_args"] == HIDDEN
    return files, replace(RECORD, options=options)


def test_options_are_kept_for_a_retry_and_not_in_the_history(tmp_path: Path) -> None:
    files, record = started(tmp_path)
    assert as_started(record, files, ()).options["dbt_args"] == WORDS
    assert [mode(path) for path in files.private("x").parent.iterdir()] == [0o600]


def test_options_without_secrets_are_kept_as_ever(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / ".dbtorch", "r1")
    options = recorded({"dbt_args": ["--threads", "2"]}, files, Scrubber(["s3cret!"]))
    record = replace(RECORD, options=options)
    assert as_started(record, files, ()) is record
    assert not files.private("x").parent.exists()


def test_secret_vars_may_be_given_again(tmp_path: Path) -> None:
    _, record = started(tmp_path)
    elsewhere = RunFiles(tmp_path / "elsewhere" / ".dbtorch", "r1")
    assert as_started(record, elsewhere, WORDS).options["dbt_args"] == WORDS
    for others in ((), ("--vars", "{DBT_ENV_SECRET_X: another, y: 1}")):
        with pytest.raises(UsageError, match="give the retry the same --vars again"):
            as_started(record, elsewhere, others)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"token": "xoxb-1", "channel": "C1", "api_url": "http://slack.example/"}, "slack.api_url"),
        ({"webhook_url": "http://hooks.example/x"}, "slack.webhook_url"),
    ],
)
def test_a_token_goes_over_no_network_in_clear(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(NotifierError, match=wrong):
        slack.open(settings)
    slack.open({"webhook_url": "http://127.0.0.1:1/x"})
    slack.open({"webhook_url": "https://hooks.example/x"})


def test_nor_does_a_password() -> None:
    settings = {"host": "mail.example", "from": "a@b.example", "tls": "none", "to": "a@b.example"}
    email.open(settings)
    email.open({**settings, "host": "127.0.0.1", "username": "a", "password": "b"})
    with pytest.raises(NotifierError, match=r"alerts\.email\.tls is none"):
        email.open({**settings, "username": "a", "password": "b"})


def test_secrets_of_profiles(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yml"
    assert profile_secrets(path, {}) == []
    path.write_text(
        "shop: {outputs: {dev: {password: 's3cret!', user: ana, private_key_path: /x},"
        " prod: {token: \"{{ env_var('T') }}\", secrets: [{type: s3, secret: deep}]}}}"
    )
    assert set(profile_secrets(path, {"T": "t-t-t"})) == {"s3cret!", "t-t-t", "deep"}
    path.write_text("[")
    assert profile_secrets(path, {}) == []


def test_a_reason_is_kept_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_ENV_SECRET_X", "s3cret!")
    assert without_secrets(None, None, "because of s3cret!") == "because of *****"


def test_what_python_prints_of_an_error_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = logging.StreamHandler()
    monkeypatch.setattr(logging, "lastResort", last)
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    hide_in_tracebacks(Scrubber(["s3cret!"]))
    thread = threading.Thread(target=lambda: int("s3cret!"))
    thread.start()
    thread.join()
    record = logging.LogRecord("x", logging.WARNING, "", 1, "not %s", ("s3cret!",), None)
    assert last.format(record) == "not *****"
    said = capsys.readouterr().err
    assert "invalid literal for int() with base 10: '*****'" in said
    assert "s3cret!" not in said
