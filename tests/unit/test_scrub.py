"""Whatever form a secret is written in, in whatever text, it is not shown."""

from __future__ import annotations

import base64
import html
import json
import shlex
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.failures.message import plain
from dbtorch.core.failures.scrub import (
    HIDDEN,
    SHORTEST,
    Scrubber,
    is_secret_name,
    named_secrets,
    passwords_of,
    secrets_of,
    url_secrets,
)

#: Its lines are nowhere else; the last one is as short as the last of a key may be.
PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n".format(
    "\n".join(
        ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "a+b/c" * 12, "Zz9="]
    )
)

KINDS = {
    "plain": "hunter-2-hunter",
    "quotes": 'it\'s "quoted" \\ here',
    "umlauts": "schlüssel-für-alles-ß",
    "url": "p@ss/w&rd?=+ %41#x",
    "html": '<b>&"it\'s"</b>',
    "pem": PEM,
    "pem_crlf": PEM.replace("\n", "\r\n"),
    "json": json.dumps({"type": "service_account", "private_key": PEM, "id": 1}),
    "json_lines": json.dumps({"type": "service_account", "private_key": PEM}, indent=2),
    "padded": "  spaces-around-it  ",
    "words": "correct-horse   battery-staple\tand-more",
    "dsn": "postgresql://ana:hunter%2F2hunter@db.example:5432/shop",
}

#: What somebody may make of a text.
WRITERS = {
    "as it is": str,
    "json": json.dumps,
    "json, no ascii": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"a": text})),
    "repr": repr,
    "repr of more": lambda text: repr(text + "'"),
    "repr of more still": lambda text: repr(text + "'\""),
    "bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "quote_plus": quote_plus,
    "quote small": lambda text: (
        quote(text, safe="").lower() if text == text.lower() else quote(text, safe="")
    ),
    "html": html.escape,
    "sql": lambda text: text.replace("'", "''"),
    "csv": lambda text: text.replace('"', '""'),
    "shell": shlex.quote,
    "bash -x": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "hex": lambda text: text.encode().hex(),
    "bytea": lambda text: "\\x" + text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 urlsafe": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "one line": lambda text: " ".join(text.split()),
    "blanks for breaks": lambda text: text.replace("\r\n", " ").replace("\n", " "),
    "no breaks": lambda text: text.replace("\r", "").replace("\n", ""),
    "breaks of Windows": lambda text: text.replace("\r", "").replace("\n", "\r\n"),
    "breaks in words": lambda text: text.replace("\r", "").replace("\n", "\\n"),
    "indented": lambda text: "\n".join(f"    | {line}" for line in text.splitlines()),
}


def pieces(secret: str) -> list[str]:
    """What must not be seen of it: any nine characters of it in a row, but those of a frame."""
    lines = [line.strip() for line in secret.splitlines()]
    telling = [line for line in lines if not line.startswith("-----") and len(line) >= 9]
    return [line[at : at + 9] for line in telling for at in range(len(line) - 8)]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_is_hidden_however_it_is_written(kind: str, writer: str) -> None:
    secret = KINDS[kind]
    said = f"cannot read: {WRITERS[writer](secret)}; and that is that"
    shown = Scrubber([secret])(said)
    assert HIDDEN in shown
    assert shown.startswith("cannot read: ")
    assert shown.endswith("; and that is that")
    assert not [
        piece for piece in pieces(secret) if piece in shown and piece not in "cannot read: "
    ]


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "someone-else:"])
@pytest.mark.parametrize("after", ["", "x", "xy"])
def test_a_secret_in_the_middle_of_something_in_base64_is_hidden(before: str, after: str) -> None:
    secret = "a-password-of-some-length"
    said = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    shown = Scrubber([secret])(f"Basic {said}")
    left = shown.replace("Basic ", "").replace(HIDDEN, "\0")
    # what is left are bits that it shares with what is around it
    assert all(len(part) <= len(before) * 2 + 4 for part in left.split("\0"))


def test_secrets_that_overlap_are_hidden_as_one() -> None:
    hide = Scrubber(["abcdef", "defghi", "abcd"])
    assert hide("x abcdefghi y abcd z") == "x ***** y ***** z"
    assert hide("abcdefabcd") == "**********"


def test_the_longest_is_hidden_first() -> None:
    assert Scrubber(["abcd", "abcdef"])("abcdef") == HIDDEN


@pytest.mark.parametrize("blank", ["", " ", "\n", "   \n  ", "a", "abc", "  abc "])
def test_what_is_blank_or_short_is_no_secret(blank: str) -> None:
    text = "a sentence\n with   blanks, and abc"
    assert Scrubber([blank])(text) == text
    assert not Scrubber([blank])
    assert len("abc") < SHORTEST


def test_a_secret_that_was_cut_before_is_hidden_to_its_end() -> None:
    hide = Scrubber(["0123456789abcdef", PEM])
    assert hide("it is 0123456789ab") == "it is *****"
    assert hide("it is 0123") == "it is 0123"
    assert hide("key " + PEM[:60]) == "key *****"
    assert b"".join(hide.stream([b"it is 0123", b"456789ab"])) == b"it is *****"


def test_a_number_that_is_a_secret_is_hidden_and_json_stays_json() -> None:
    hide = Scrubber(["12345", "s3cret!"])
    said = {"pin": 12345, "other": 123456, "s3cret!": ["12345", None, True, 1.5]}
    shown = {"pin": HIDDEN, "other": 123456, HIDDEN: [HIDDEN, None, True, 1.5]}
    assert hide.json(said) == shown


def test_secrets_are_the_values_of_dbts_variables_and_the_password_of_postgres() -> None:
    environ = {
        "DBT_ENV_SECRET_A": "long one",
        "DBT_ENV_SECRET": "four",
        "DBT_ENV_SECRET_B": " ",
        "DBT_ENV_SECRET_C": "abc",
        "B": "bbbbb",
        "PGPASSWORD": "pg-pass",
    }
    assert set(secrets_of(environ)) == {"long one", "four", "pg-pass"}
    assert set(secrets_of({"DBT_ENV_SECRET_X": {"a": ["deep-one", 12345]}})) == {
        "deep-one",
        "12345",
    }


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://ana:hunter2@db/shop", {"hunter2"}),
        ("postgresql://ana:hun%40ter2@db/shop", {"hun%40ter2", "hun@ter2"}),
        ("postgresql://ana:p/a@s?s@db/shop", {"p/a@s?s"}),  # as people write it
        ("ana:hunter2@db/shop?x=1", {"hunter2"}),  # no scheme
        ("postgresql://db/shop?user=a&password=hunter2", {"hunter2"}),
        ("https://api.example/x?api_key=abc1&token=t%2B1&page=2", {"abc1", "t%2B1", "t+1"}),
        ("https://api.example:8443/users/ana@example.com", set()),
        ("https://api.example/users?mail=ana@example.com", set()),
        ("sqlite:///somewhere.db", set()),
        ("", set()),
    ],
)
def test_what_is_secret_of_a_url(url: str, found: set[str]) -> None:
    assert set(passwords_of(url)) == found


def test_settings_are_secret_by_their_names() -> None:
    said = {
        "Authorization": "Bearer x",
        "X-Api-Key": "k",
        "api_token": "t",
        "Idempotency-Key": "no",
        "Content-Type": "no",
        "nested": {"client_secret": "s", "keys": "no", "password": ["p", 1]},
        "webhook_url": "w",
        "private_key_path": "no",
        "secrets": [{"type": "no", "secret": "deep"}],
    }
    assert set(named_secrets(said)) == {"Bearer x", "k", "t", "s", "p", "1", "w", "deep"}
    assert not is_secret_name("keyboard")


@given(st.text(min_size=4, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_secret_is_hidden_in_any_text(secret: str, before: str, after: str) -> None:
    if len(secret.strip()) < SHORTEST or secret in before + after:
        return
    hide = Scrubber([secret])
    for write in (str, json.dumps, repr, ascii, quote, quote_plus, html.escape):
        try:
            said = f"{before}{write(secret)}{after}"
        except UnicodeEncodeError:
            continue
        assert HIDDEN in hide(said)


def test_other_python_can_load_it() -> None:
    """The worker's Python may be 3.9: nothing newer is in the file."""
    import ast

    import dbtorch.core.failures.scrub

    ast.parse(Path(dbtorch.core.failures.scrub.__file__).read_text(), feature_version=(3, 9))


#: What is taken out of a text that is shown, or takes no place where it is.
UNSEEN = {
    "colour": "\x1b[01;31m\x1b[K",
    "colour in one sign": "\x9b31m",
    "title": "\x1b]0;a title\x07",
    "order that does not end": "\x1b",
    "null": "\x00",
    "step back": "\b",
    "step back over a letter": "x\b",
    "carriage return": "\r",
    "unit separator": "\x1f",
    "turns around": "\u202e",
    "zero width": "\u200b",
    "soft hyphen": "\u00ad",
    "joiner": "\u2060",
    "byte order mark": "\ufeff",
    "variation": "\ufe0f",
    "tag": "\U000e0041",
    "no text": "\udcff",
}


@pytest.mark.parametrize("unseen", UNSEEN.values(), ids=UNSEEN)
def test_what_is_not_seen_hides_no_secret_from_its_scrubber(unseen: str) -> None:
    hide = Scrubber(["SuperSecretValue123"])
    for said in (
        f"login Super{unseen}Secret{unseen}Value123{unseen} refused",
        f"login {unseen.join('SuperSecretValue123')} refused",
        f"login Super{unseen}SecretVal",  # and cut off
    ):
        shown = hide(said)
        assert HIDDEN in shown
        assert not [part for part in ("Super", "Secret", "123") if part in plain(shown)]
        assert shown.startswith("login ")
        assert hide.values(said) == shown
    assert hide(f"a {unseen} b") == f"a {unseen} b"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", [name for name in UNSEEN if name != "step back over a letter"])
def test_nor_in_a_stream_wherever_it_is_cut(name: str, size: int) -> None:
    unseen = UNSEEN[name]
    text = f"login Super{unseen}SecretValue{unseen}123{unseen} refused\nü"
    raw = text.encode("utf-8", "surrogateescape")
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    shown = b"".join(Scrubber(["SuperSecretValue123"]).stream(chunks)).decode(errors="replace")
    assert shown.startswith(f"login {HIDDEN}")
    assert shown.endswith(" refused\nü")
    assert "Secret" not in shown


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_has_no_logins_of_urls(size: int) -> None:
    text = "at: once\npostgresql://joe:url\x1b[31mpw@9\x1b[m@127.0.0.1/x and http://a/b@c\n"
    chunks = [text.encode()[at : at + size] for at in range(0, len(text), size)]
    shown = b"".join(Scrubber().stream(chunks)).decode()
    assert plain(shown) == "at: once\npostgresql://*****@127.0.0.1/x and http://a/b@c\n"


def test_a_stream_says_at_once_what_begins_no_secret_and_keeps_bytes_that_are_no_text() -> None:
    said = Scrubber(["SuperSecretValue123"]).stream(iter([b"ready \xff\xfe\n", b"Super", b" man"]))
    assert list(said) == [b"ready \xff\xfe\n", b"Super man"]


def test_a_stream_waits_for_the_end_of_nothing_for_ever() -> None:
    said = Scrubber(["SuperSecretValue123"]).stream(b"\0" * 65536 for _ in range(8))
    next(said)  # it holds back no more than it needs
    begun = Scrubber(["SuperSecretValue123"]).stream([b"Super", *[b"\0" * 65536] * 4, b"."])
    assert len(b"".join(begun)) == 5 + 4 * 65536 + 1


@pytest.mark.parametrize(
    "name",
    [
        "pass",
        "DB_PASS",
        "db-pass",
        "dbPass",
        "PGPASS",
        "USER_PASS",
        "pass2",
        "PAT",
        "SNOWFLAKE_PAT",
        "githubPat",
        "SIGNING_KEY",
        "signingKey",
        "SSH_KEY",
        "sshKey",
        "PRIVATE_KEY",
        "ACCOUNT_KEY",
        "passwd",
        "PWD",
        "passphrase",
        "CREDENTIALS",
        "private_key_passphrase",
    ],
)
def test_names_that_are_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "path",
        "PATH",
        "keyfile",
        "KEYFILE",
        "primary_key",
        "private_key_path",
        "private_keyfile",
        "key",
        "keys",
        "sort_key",
        "pass_rate",
        "passRate",
        "bypass",
        "compass",
        "passenger",
        "pattern",
        "PATTERN",
        "patch",
        "dispatch",
        "SSH_KEY_FILE",
        "PGPASSFILE",
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_what_is_secret_of_urls_in_settings_and_words() -> None:
    said = {
        "PGURL": "postgresql://joe:p/a@s?s99999@127.0.0.1/x",
        "argv": ["sh", "-c", "psql 'postgresql://joe:urlpw1@db/x' && curl http://a:urlpw2@b/c"],
        "variable": "psql postgresql://joe:$PW@db/x",
        "none": "joe:nothing@home",
    }
    assert {"p/a@s?s99999", "urlpw1", "urlpw2"} == set(url_secrets(said))
