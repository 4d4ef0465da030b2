"""Postgres: one history for several machines. The only module that knows psycopg."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.install_command import install_command
from dbtorch.core.errors import StoreError, StoreUnreachable

if TYPE_CHECKING:
    import psycopg

#: As a shell has to be given it. Not our extra, which brings a dbt as well.
_DRIVER = "'psycopg[binary]'"

#: Seconds to wait for a server that does not answer.
CONNECT_TIMEOUT = 5

#: What is said to the network, so that a server that is gone without a word is noticed: seconds of
#: silence, seconds between questions and how many, milliseconds without an acknowledgement.
_NETWORK = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 12_000,
}

#: How long one statement waits for who has locked a table, how long it takes, and how long a
#: transaction waits for us. For each transaction anew: a pooler gives each another connection.
_LIMITS = (
    "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '{statement}';"
    " SET LOCAL idle_in_transaction_session_timeout = '30s'"
)


class PostgresDriver:
    """Implements `Driver` over psycopg 3."""

    begin_read = (
        f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_LIMITS.format(statement='60s')}"
    )
    begin_write = f"BEGIN; {_LIMITS.format(statement='15s')}"
    take_time: str | None = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'"
    lock_rows = "FOR SHARE"
    concatenate = "string_agg"
    now = """
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00'
    """
    # Not to_regclass: its cache still says no after another process has made the table.
    has_table = """
        SELECT 1 FROM pg_catalog.pg_tables
        WHERE tablename = :name AND schemaname = ANY (current_schemas(false))
    """
    lock_schema: str | None = "SELECT pg_advisory_xact_lock(748230157)"  # any number of our own
    waits_for_others = True
    settle = None  # the server does what there is to do

    def __init__(self, url: str) -> None:
        """Raise `StoreError` when psycopg is missing or the address cannot be read."""
        self.name = without_password(url)
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise StoreError(
                f"{self.name} needs the Postgres driver:"
                f" {install_command(sys.executable, [_DRIVER])}"
            ) from error
        self.error: type[Exception] = psycopg.Error
        try:
            self._parameters: dict[str, Any] = conninfo_to_dict(url)
        except psycopg.Error:
            # Not chained and not quoted: libpq's text can hold a part of the password.
            raise StoreError(_unreadable(self.name)) from None
        if not re.fullmatch(r"[\d,]*", str(self._parameters.get("port", ""))):
            raise StoreError(_unreadable(self.name))
        self._parameters.setdefault("connect_timeout", CONNECT_TIMEOUT)
        self._parameters.setdefault("application_name", "dbtorch")
        self._parameters = {**_NETWORK, **self._parameters}

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Connect to the server. Raises `StoreError`."""
        import psycopg
        from psycopg.rows import dict_row

        try:
            # Nothing is prepared: behind a pooler the next statement may go to another server.
            return psycopg.connect(
                **self._parameters, autocommit=True, row_factory=dict_row, prepare_threshold=None
            )
        except psycopg.Error as error:
            told = self._no_connection(error)
            for_good = any(sign in told for sign in _FOR_GOOD)
            raise (StoreError if for_good else StoreUnreachable)(told) from error

    def sql(self, text: str) -> str:
        """Text with ``%(name)s`` for ``:name``."""
        return _translated(text)

    def lost(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether the server or the network hung up."""
        return connection.closed

    def moved(self) -> bool:
        """Never: a server that is another one hangs up first."""
        return False

    def passes(self, error: Exception) -> bool:
        """Whether somebody else was in the way: a lock, a deadlock, a server that starts."""
        return str(getattr(error, "sqlstate", None) or "").startswith(_PASSING)

    def explain(self, error: Exception) -> str:
        """What the server answered, and what to do."""
        state = getattr(error, "sqlstate", None) or ""
        for prefix, advice in _ADVICE.items():
            if state.startswith(prefix):
                return f"the run history in {self.name} does not work ({_line(error)}): {advice}"
        return f"the run history in {self.name} does not work: {_line(error)}"

    def _no_connection(self, error: Exception) -> str:
        text = self._hide(_line(error))
        for sign, advice in _CONNECTING.items():
            if sign in text:
                return f"cannot connect to {self.name} ({text}): {advice}"
        return f"cannot connect to {self.name} ({text}): check the address and the server"

    def _hide(self, text: str) -> str:
        password = self._parameters.get("password")
        return text.replace(password, "***") if password else text


def without_password(url: str) -> str:
    """The address as a person may read it; rather too short than with a piece of a password."""
    scheme, _, rest = url.partition("://")
    if "@" in rest:  # the last one: an unescaped password can hold more of them
        user, _, rest = rest.rpartition("@")
        scheme += "://" + user.partition(":")[0] + "@"
    else:
        scheme += "://"
    return scheme + rest.partition("?")[0].partition("#")[0]


@lru_cache(maxsize=256)
def _translated(text: str) -> str:
    return re.sub(r":([a-z]\w*)", r"%(\1)s", text)


def _line(error: Exception) -> str:
    """What matters of libpq's several lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _unreadable(name: str) -> str:
    return (
        f"the address {name} cannot be read: it looks like postgresql://user:password@host:5432/db,"
        " and special characters in it are percent-encoded (@ is %40, / is %2F)"
    )


#: What libpq or the server says when there is no connection -> what to do.
_CONNECTING = {
    "password authentication failed": "check user and password",
    "no password supplied": "put the password into the address or into PGPASSWORD",
    "pg_hba.conf": "the server does not let this user in from this machine; ask who runs it",
    'role "': "check the user",
    'database "': "create the database first, or check its name",
    "refused": "check host and port, and that the server runs",
    "timeout": "check host and port, and the network between",
    "translate host name": "check the host",
    "resolve": "check the host",
    "too many clients": "wait for others to close their connections, or let the server have more",
}

#: Those of them that somebody has to mend.
_FOR_GOOD = tuple(_CONNECTING)[:5]

#: How an SQLSTATE begins of what may go through a moment later.
_PASSING = ("40", "53300", "55P03", "57014", "57P01", "57P02", "57P03")

#: How an SQLSTATE begins -> what to do.
_ADVICE = {
    "42501": "the user needs the right to create and write tables there",
    "3F": "create the schema first",
    "25006": "this server takes no writes; use the primary",
    "55P03": "somebody has locked a table of the history; find out who (pg_locks), then try again",
    "57014": "the server takes too long; find out what it does (pg_stat_activity), then try again",
    "53100": "make room on the server's disk",
    "57P": "the server is going down; try again when it is back",
    "08": "check the network and the server, then try again",
}
