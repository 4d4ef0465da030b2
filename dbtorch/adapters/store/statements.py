"""The SQL of the store, one text for both databases."""

from __future__ import annotations

RUN_COLUMNS = (
    "run_id", "pipeline", "project", "target", "logical_date", "data_interval_start",
    "data_interval_end", "state", "started_at", "finished_at", "run_type", "command", "dbt_args",
    "dbtorch_version", "dbt_version", "adapter", "manifest_hash", "git_commit", "git_dirty",
    "host", "pid", "edges", "options",
)  # fmt: skip

NODE_COLUMNS = (
    "run_id", "node_id", "ordinal", "kind", "name", "path", "materialized", "owner", "runbook",
    "node_group", "checksum",
)  # fmt: skip


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(columns)


def _values(columns: tuple[str, ...]) -> str:
    return ", ".join(f":{column}" for column in columns)


def _excluded(columns: tuple[str, ...], *, but: tuple[str, ...]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns if column not in but)


# ------------------------------------------------------------------ a run begins and ends

# A run that is resumed keeps the time it first started at.
PUT_RUN = f"""
    INSERT INTO dbtorch_runs ({_names(RUN_COLUMNS)}) VALUES ({_values(RUN_COLUMNS)})
    ON CONFLICT (run_id) DO UPDATE SET
    {_excluded(RUN_COLUMNS, but=("run_id", "started_at"))}
"""

NODE_IDS = "SELECT node_id FROM dbtorch_run_nodes WHERE run_id = :run_id"

PUT_NODE = f"""
    INSERT INTO dbtorch_run_nodes ({_names(NODE_COLUMNS)}, state)
    VALUES ({_values(NODE_COLUMNS)}, 'pending')
    ON CONFLICT (run_id, node_id) DO UPDATE SET
    {_excluded(NODE_COLUMNS, but=("run_id", "node_id"))}
"""

# Nodes that a resumed run no longer has come last.
MOVE_NODE = """
    UPDATE dbtorch_run_nodes SET ordinal = ordinal + :places
    WHERE run_id = :run_id AND node_id = :node_id
"""

END_RUN = """
    UPDATE dbtorch_runs SET state = :state, finished_at = :at WHERE run_id = :run_id
"""

# ------------------------------------------------------------------ changes

RUN_SERIES = "SELECT project, target FROM dbtorch_runs WHERE run_id = :run_id"

CHANGE_NODE = """
    UPDATE dbtorch_run_nodes
    SET state = :state, reason = :reason, updated_at = :at, retry_at = :retry_at
    WHERE run_id = :run_id AND node_id = :node_id
"""

LAST_TRANSITION = """
    SELECT coalesce(max(ordinal), 0) AS ordinal FROM dbtorch_transitions WHERE run_id = :run_id
"""

ADD_TRANSITION = """
    INSERT INTO dbtorch_transitions
        (run_id, ordinal, node_id, attempt, before, state, at, reason)
    VALUES (:run_id, :ordinal, :node_id, :attempt, :before, :state, :at, :reason)
"""

# Hooks count from one again when a run is resumed; the attempt before gives way.
OPEN_ATTEMPT = """
    INSERT INTO dbtorch_attempts
        (run_id, node_id, number, project, target, state, queued_at, started_at)
    VALUES (:run_id, :node_id, :attempt, :project, :target, :state, :at, :started_at)
    ON CONFLICT (run_id, node_id, number) DO UPDATE SET
        state = excluded.state, queued_at = excluded.queued_at, started_at = excluded.started_at,
        finished_at = NULL, failure_class = NULL, message = '', rows_affected = NULL,
        output = 'null', details = '{}'
"""

START_ATTEMPT = """
    UPDATE dbtorch_attempts SET state = 'running', started_at = :at
    WHERE run_id = :run_id AND node_id = :node_id AND number = :attempt
"""

# ``attempt`` counts those that stay.
UNDO_ATTEMPT = """
    DELETE FROM dbtorch_attempts
    WHERE run_id = :run_id AND node_id = :node_id AND number > :attempt
"""

CLOSE_ATTEMPT = """
    UPDATE dbtorch_attempts SET state = :state, finished_at = :at, failure_class = :failure_class,
        message = :message, rows_affected = :rows_affected, output = :output, details = :details
    WHERE run_id = :run_id AND node_id = :node_id AND number = :attempt
"""

# ------------------------------------------------------------------ actions

# Nothing is added when somebody else adds one at the same moment, or for an unknown run.
ADD_ACTION = """
    INSERT INTO dbtorch_actions
        (run_id, ordinal, at, actor, action, node_id, state, reason, handled_at)
    SELECT r.run_id, :ordinal, :at, :actor, :action, :node_id, :state, :reason, :handled_at
    FROM dbtorch_runs r WHERE r.run_id = :run_id
    ON CONFLICT (run_id, ordinal) DO NOTHING
"""

LAST_ACTION = """
    SELECT max(a.ordinal) AS ordinal FROM dbtorch_runs r
    LEFT JOIN dbtorch_actions a ON a.run_id = r.run_id
    WHERE r.run_id = :run_id GROUP BY r.run_id
"""

HANDLE_ACTION = """
    UPDATE dbtorch_actions SET handled_at = :at
    WHERE run_id = :run_id AND ordinal = :ordinal AND handled_at IS NULL
"""

GET_ACTIONS = """
    SELECT * FROM dbtorch_actions WHERE run_id = :run_id AND ordinal > :after ORDER BY ordinal
"""

# ------------------------------------------------------------------ reading

GET_RUN = f"SELECT {_names(RUN_COLUMNS)} FROM dbtorch_runs WHERE run_id = :run_id"

GET_NODES = """
    SELECT * FROM dbtorch_run_nodes WHERE run_id = :run_id ORDER BY ordinal, node_id
"""

GET_ATTEMPTS = "SELECT * FROM dbtorch_attempts WHERE run_id = :run_id ORDER BY node_id, number"

GET_NODE_ATTEMPTS = """
    SELECT * FROM dbtorch_attempts WHERE run_id = :run_id AND node_id = :node_id ORDER BY number
"""

GET_TRANSITIONS = "SELECT * FROM dbtorch_transitions WHERE run_id = :run_id ORDER BY ordinal"

RUNS_BY_PREFIX = """
    SELECT run_id FROM dbtorch_runs WHERE substr(run_id, 1, :length) = :prefix
    ORDER BY started_at DESC, run_id DESC
"""

NEWEST_RUN = "SELECT run_id FROM dbtorch_runs ORDER BY started_at DESC, run_id DESC LIMIT 1"

_SUMMARY = "run_id, pipeline, target, logical_date, state, started_at, finished_at"


def summaries(*, pipeline: bool, state: bool) -> str:
    """Query for the newest runs, a row for each state their nodes are in."""
    wanted = ["pipeline = :pipeline"] * pipeline + ["state = :state"] * state
    where = "WHERE " + " AND ".join(wanted) if wanted else ""
    columns = ", ".join(f"r.{column}" for column in _SUMMARY.split(", "))
    return f"""
        SELECT {columns}, n.state AS node_state, count(n.node_id) AS nodes
        FROM (
            SELECT {_SUMMARY} FROM dbtorch_runs {where}
            ORDER BY started_at DESC, run_id DESC LIMIT :limit
        ) r
        LEFT JOIN dbtorch_run_nodes n ON n.run_id = r.run_id AND n.kind <> 'session'
        GROUP BY {columns}, n.state
        ORDER BY r.started_at DESC, r.run_id DESC, n.state
    """


_SUCCESSES = """
    project = :project AND target = :target AND state IN ('success', 'warn')
    AND started_at IS NOT NULL
"""


def _of_each_node(query: str) -> str:
    """Query for each node that has succeeded on a target, and what another one has ``found`` of it.

    It walks one index from node to node, so that its cost does not grow with the history.
    """
    return f"""
        WITH RECURSIVE seen (node_id) AS (
            SELECT min(node_id) FROM dbtorch_attempts WHERE {_SUCCESSES}
            UNION ALL
            SELECT (
                SELECT min(a.node_id) FROM dbtorch_attempts a
                WHERE {_SUCCESSES} AND a.node_id > seen.node_id
            )
            FROM seen WHERE seen.node_id IS NOT NULL
        )
        SELECT node_id, ({query}) AS found FROM seen WHERE node_id IS NOT NULL
    """


def intervals(last: int, *, concatenate: str) -> str:
    """Query for the intervals of each node's last successes: "start/end", the newest first.

    ``concatenate`` is the database's function that makes one text of many.
    """
    newest = f"""
        SELECT a.started_at || '/' || a.finished_at AS one FROM dbtorch_attempts a
        WHERE {_SUCCESSES} AND a.node_id = seen.node_id
        ORDER BY a.finished_at DESC LIMIT {last}
    """
    return _of_each_node(f"SELECT {concatenate}(one, ' ') FROM ({newest}) AS newest")


LAST_SUCCESSES = _of_each_node(f"""
    SELECT max(a.finished_at) FROM dbtorch_attempts a
    WHERE {_SUCCESSES} AND a.node_id = seen.node_id
""")


# ------------------------------------------------------------------ how a project stands

NEWEST_TARGET = """
    SELECT target FROM dbtorch_runs WHERE project = :project
    ORDER BY started_at DESC, run_id DESC LIMIT 1
"""

LAST_RUNS = f"""
    SELECT {_SUMMARY} FROM (
        SELECT {_SUMMARY}, row_number() OVER (
            PARTITION BY pipeline, state ORDER BY started_at DESC, run_id DESC
        ) AS place
        FROM dbtorch_runs WHERE project = :project AND target = :target
    ) AS numbered
    WHERE place = 1 ORDER BY started_at, run_id
"""

# Sources are checked by the run before what reads them; looking at its last runs is enough.
LAST_CHECKS = """
    SELECT a.* FROM dbtorch_attempts a
    JOIN (
        SELECT run_id FROM dbtorch_runs WHERE project = :project AND target = :target
        ORDER BY started_at DESC, run_id DESC LIMIT 100
    ) r ON r.run_id = a.run_id
    WHERE substr(a.node_id, 1, 7) = 'source.' AND a.finished_at IS NOT NULL
    ORDER BY a.finished_at
"""


# ------------------------------------------------------------------ leases

ADD_LEASE = """
    INSERT INTO dbtorch_leases (name, run_id, host, pid, acquired_at, expires_at)
    VALUES (:name, :run_id, :host, :pid, :acquired_at, :expires_at)
    ON CONFLICT (name) DO NOTHING
"""

# Whoever wants to take the lease over waits until the transaction that asks this is over.
IS_HELD = """
    SELECT 1 FROM dbtorch_leases
    WHERE name = :name AND run_id = :run_id AND host = :host AND pid = :pid
        AND acquired_at = :acquired_at
"""

GET_LEASE = "SELECT * FROM dbtorch_leases WHERE name = :name"

# Only if it is still exactly the one that was looked at.
REPLACE_LEASE = """
    UPDATE dbtorch_leases SET run_id = :run_id, host = :host, pid = :pid,
        acquired_at = :acquired_at, expires_at = :expires_at
    WHERE name = :name AND run_id = :held_run_id AND host = :held_host AND pid = :held_pid
        AND acquired_at = :held_acquired_at AND expires_at = :held_expires_at
"""

RENEW_LEASE = """
    UPDATE dbtorch_leases SET expires_at = :expires_at
    WHERE name = :name AND run_id = :run_id AND host = :host AND pid = :pid
"""

DROP_LEASE = """
    DELETE FROM dbtorch_leases
    WHERE name = :name AND run_id = :run_id AND host = :host AND pid = :pid
"""
