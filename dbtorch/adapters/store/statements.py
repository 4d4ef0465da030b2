"""The SQL of the store, one text for both databases."""

from __future__ import annotations

RUN_COLUMNS = (
    "run_id", "pipeline", "project", "target", "logical_date", "data_interval_start",
    "data_interval_end", "state", "started_at", "finished_at",
    "resumed_at", "seconds_before", "run_type", "partial", "command",
    "dbt_args",
    "dbtorch_version", "dbt_version", "adapter", "manifest_hash", "git_commit", "git_dirty",
    "host", "pid", "edges", "options", "project_id", "place",
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


#: A run of the project that asks; one without a place is of before, and found by its name.
MINE = "(project_id = :project_id OR (place = '' AND project = :project_name))"

#: A run where a target of it builds as well.
THERE = f"({MINE} AND target = :target AND (place = :place OR place = ''))"


#: The same where no run is of before: one index finds it.
_NOW = "project_id = :project_id"


def of_now(query: str) -> str:
    """A query where no run of the project is of before."""
    return query.replace(MINE, _NOW)


def here(targets: int) -> str:
    """Condition for a run that is the project's, and where its target is here if that is known."""
    if not targets:
        return MINE
    names = ", ".join(f":target_{place}" for place in range(targets))
    places = ", ".join(f":place_{place}" for place in range(targets))
    return f"({MINE} AND (place = '' OR place IN ({places}) OR target NOT IN ({names})))"


# ------------------------------------------------------------------ a run begins and ends

# A run that is resumed keeps the time it first started at, and the command that started it.
PUT_RUN = f"""
    INSERT INTO dbtorch_runs ({_names(RUN_COLUMNS)}) VALUES ({_values(RUN_COLUMNS)})
    ON CONFLICT (run_id) DO UPDATE SET
    {_excluded(RUN_COLUMNS, but=("run_id", "started_at", "project_id", "command"))}
    WHERE dbtorch_runs.project_id = excluded.project_id
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

END_RUN = f"""
    UPDATE dbtorch_runs SET state = :state, finished_at = :at,
        dbt_warnings = coalesce(:dbt_warnings, dbt_warnings)
    WHERE run_id = :run_id AND {MINE}
"""

# What a run that ends is to be told to, besides the history of runs.
IS_OF = f"""
    SELECT CASE WHEN partition_key = '' THEN 0 ELSE 1 END AS of_partition, CASE WHEN EXISTS (
        SELECT 1 FROM dbtorch_backfill_parts p WHERE p.run_id = dbtorch_runs.run_id
    ) THEN 1 ELSE 0 END AS of_backfill
    FROM dbtorch_runs WHERE run_id = :run_id AND {MINE}
"""

# ------------------------------------------------------------------ changes

# What numbers of a run are kept under: its project and where its target builds.
RUN_SERIES = f"""
    SELECT CASE WHEN place = '' THEN project ELSE project_id END AS project,
        CASE WHEN place = '' THEN target ELSE place END AS target,
        partition_key, data_interval_start, data_interval_end, dbt_args
    FROM dbtorch_runs WHERE run_id = :run_id AND {MINE}
"""

CHANGE_NODE = """
    UPDATE dbtorch_run_nodes
    SET state = :state, reason = :reason, reason_kind = :reason_kind,
        reason_nodes = :reason_nodes, reason_text = :reason_text,
        updated_at = :at, retry_at = :retry_at
    WHERE run_id = :run_id AND node_id = :node_id
"""

LAST_TRANSITION = """
    SELECT coalesce(max(ordinal), 0) AS ordinal FROM dbtorch_transitions WHERE run_id = :run_id
"""

ADD_TRANSITION = """
    INSERT INTO dbtorch_transitions
        (run_id, ordinal, node_id, attempt, before, state, at, reason, reason_kind,
        reason_nodes, reason_text)
    VALUES (:run_id, :ordinal, :node_id, :attempt, :before, :state, :at, :reason, :reason_kind,
        :reason_nodes, :reason_text)
"""

# Hooks count from one again when a run is resumed; the attempt before gives way.
OPEN_ATTEMPT = """
    INSERT INTO dbtorch_attempts
        (run_id, node_id, number, project, target, state, queued_at, started_at)
    VALUES (:run_id, :node_id, :attempt, :project, :target, :state, :at, :started_at)
    ON CONFLICT (run_id, node_id, number) DO UPDATE SET
        state = excluded.state, queued_at = excluded.queued_at, started_at = excluded.started_at,
        finished_at = NULL, failure_class = NULL, message = '', lost = 0, rows_affected = NULL,
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
        message = :message, lost = :lost, rows_affected = :rows_affected, output = :output,
        details = :details
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

LAST_ACTION = f"""
    SELECT max(a.ordinal) AS ordinal FROM dbtorch_runs r
    LEFT JOIN dbtorch_actions a ON a.run_id = r.run_id
    WHERE r.run_id = :run_id AND {MINE} GROUP BY r.run_id
"""

HANDLE_ACTION = """
    UPDATE dbtorch_actions SET handled_at = :at
    WHERE run_id = :run_id AND ordinal = :ordinal AND handled_at IS NULL
"""

GET_ACTIONS = """
    SELECT * FROM dbtorch_actions WHERE run_id = :run_id AND ordinal > :after ORDER BY ordinal
"""

# ------------------------------------------------------------------ reading

GET_RUN = f"SELECT * FROM dbtorch_runs WHERE run_id = :run_id AND {MINE}"

GET_NODES = """
    SELECT * FROM dbtorch_run_nodes WHERE run_id = :run_id ORDER BY ordinal, node_id
"""

GET_ATTEMPTS = "SELECT * FROM dbtorch_attempts WHERE run_id = :run_id ORDER BY node_id, number"

GET_NODE_ATTEMPTS = """
    SELECT * FROM dbtorch_attempts WHERE run_id = :run_id AND node_id = :node_id ORDER BY number
"""

GET_TRANSITIONS = "SELECT * FROM dbtorch_transitions WHERE run_id = :run_id ORDER BY ordinal"

# One row of what is small of a run, and its last transition.
RUN_SEQUENCE = f"""
    SELECT state, finished_at, resumed_at, (
        SELECT coalesce(max(t.ordinal), 0) FROM dbtorch_transitions t WHERE t.run_id = :run_id
    ) AS sequence
    FROM dbtorch_runs WHERE run_id = :run_id AND {MINE}
"""

_CHANGED = """
    run_id = :run_id AND node_id IN (
        SELECT node_id FROM dbtorch_transitions WHERE run_id = :run_id AND ordinal > :after
    )
"""

CHANGED_NODES = f"SELECT * FROM dbtorch_run_nodes WHERE {_CHANGED} ORDER BY ordinal, node_id"

CHANGED_ATTEMPTS = f"SELECT * FROM dbtorch_attempts WHERE {_CHANGED} ORDER BY node_id, number"

RUNS_BY_PREFIX = f"""
    SELECT run_id FROM dbtorch_runs WHERE substr(run_id, 1, :length) = :prefix AND {MINE}
    ORDER BY started_at DESC, run_id DESC
"""


def newest(column: str, targets: int) -> str:
    """Query for something of the newest run."""
    return f"""
        SELECT {column} FROM dbtorch_runs WHERE {here(targets)}
        ORDER BY started_at DESC, run_id DESC LIMIT 1
    """


_SUMMARY = (
    "run_id, pipeline, target, logical_date, state, started_at, finished_at, resumed_at,"
    " seconds_before, run_type, partial"
)


def summaries(*, targets: int, pipeline: bool, state: bool, counts: bool) -> str:
    """Query for the newest runs, with ``counts`` a row for each state their nodes are in."""
    wanted = [here(targets), *["pipeline = :pipeline"] * pipeline, *["state = :state"] * state]
    where = "WHERE " + " AND ".join(wanted)
    if not counts:
        return f"""
            SELECT {_SUMMARY}, NULL AS node_state, 0 AS nodes FROM dbtorch_runs {where}
            ORDER BY started_at DESC, run_id DESC LIMIT :limit
        """
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
    project = :series_project AND target = :series_target AND state IN ('success', 'warn')
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


#: Characters of a time.
_TIME = 32

#: After every time that is written.
END_OF_TIME = "A"

_WHOLE_SUCCESSES = f"{THERE} AND pipeline = :pipeline AND state = 'success' AND partial = 0"

LAST_SUCCESS_END = f"""
    SELECT max(data_interval_end) AS found FROM dbtorch_runs
    WHERE {_WHOLE_SUCCESSES} AND data_interval_end < :before
"""

SUCCESSFUL_INTERVALS = f"""
    SELECT data_interval_start, data_interval_end FROM dbtorch_runs
    WHERE {_WHOLE_SUCCESSES} ORDER BY started_at, run_id
"""


# ------------------------------------------------------------------ how a project stands

# Times are of one length, so that the greatest of these names the newest run. A run of the past
# does not say how a pipeline stands.
LAST_RUNS = f"""
    SELECT {_SUMMARY} FROM dbtorch_runs WHERE run_id IN (
        SELECT substr(max(started_at || run_id), {_TIME + 1}) FROM dbtorch_runs
        WHERE {THERE} AND run_type <> 'backfill' GROUP BY pipeline, state, partial
    )
    ORDER BY started_at, run_id
"""

# Each node's last end, and its last one that says whether it is well: a run of everything may be
# followed by runs of a part. Only what came with or after it is looked at, and not without limit.
LAST_ENDS = f"""
    WITH whole (pipeline, since) AS (
        SELECT coalesce(pipeline, ''), max(started_at) FROM dbtorch_runs
        WHERE {THERE} AND partial = 0 AND state IN ('success', 'failed', 'gated')
        GROUP BY coalesce(pipeline, '')
    ), looked (run_id, started_at) AS (
        SELECT q.run_id, q.started_at FROM dbtorch_runs q
        LEFT JOIN whole ON whole.pipeline = q.pipeline
        WHERE {THERE} AND q.started_at >= coalesce(whole.since, '')
        ORDER BY q.started_at DESC, q.run_id DESC LIMIT 200
    ), ends (run_id, node_id, started_at, place) AS (
        SELECT n.run_id, n.node_id, r.started_at, row_number() OVER (
            PARTITION BY n.node_id, CASE WHEN n.state IN ('success', 'warn', 'failed', 'reused')
                THEN 1 ELSE 0 END
            ORDER BY r.started_at DESC, r.run_id DESC
        )
        FROM looked r JOIN dbtorch_run_nodes n ON n.run_id = r.run_id
        WHERE n.state NOT IN ('pending', 'queued', 'running', 'up_for_retry')
    )
    SELECT n.* FROM ends e
    JOIN dbtorch_run_nodes n ON n.run_id = e.run_id AND n.node_id = e.node_id
    WHERE e.place = 1 ORDER BY e.started_at, e.run_id
"""

# Sources are checked by the run before what reads them; looking at its last runs is enough.
LAST_CHECKS = f"""
    SELECT a.* FROM (
        SELECT n.run_id, n.node_id FROM dbtorch_run_nodes n
        WHERE n.kind = 'source' AND n.run_id IN (
            SELECT run_id FROM dbtorch_runs WHERE {THERE}
            ORDER BY started_at DESC, run_id DESC LIMIT 100
        )
    ) s CROSS JOIN dbtorch_attempts a
    WHERE a.run_id = s.run_id AND a.node_id = s.node_id AND a.finished_at IS NOT NULL
    ORDER BY a.finished_at
"""


# ------------------------------------------------------------------ of before

IS_OF_BEFORE = """
    SELECT 1 FROM dbtorch_runs
    WHERE place = '' AND project = :project_name AND target = :target LIMIT 1
"""

IS_ANY_OF_BEFORE = "SELECT 1 FROM dbtorch_runs WHERE place = '' AND project = :project_name LIMIT 1"

ADOPT_RUNS = """
    UPDATE dbtorch_runs SET project_id = :project_id, place = :place
    WHERE place = '' AND project = :project_name AND target = :target
"""


def adopt(table: str) -> str:
    """Statement that takes over what a table keeps under the names of project and target."""
    return f"""
        UPDATE {table} SET project = :project_id, target = :place
        WHERE project = :project_name AND target = :target
    """


# Told of by a dbtorch of before that went on while a newer one told of the same.
DROP_TOLD_TWICE = """
    DELETE FROM dbtorch_incidents
    WHERE project = :project_id AND target = :place AND EXISTS (
        SELECT 1 FROM dbtorch_incidents o
        WHERE o.project = :project_name AND o.target = :target
            AND o.pipeline = dbtorch_incidents.pipeline AND o.node_id = dbtorch_incidents.node_id
    )
"""

ADOPT_MESSAGES = """
    UPDATE dbtorch_outbox SET project_id = :project_id
    WHERE project_id = '' AND run_id IN (
        SELECT run_id FROM dbtorch_runs WHERE project_id = :project_id
    )
"""

MESSAGES_WITHOUT_A_RUN = "SELECT * FROM dbtorch_outbox WHERE project_id = '' AND run_id = ''"

ADOPT_MESSAGE = """
    UPDATE dbtorch_outbox SET project_id = :project_id
    WHERE notifier = :notifier AND address = :address AND message_key = :message_key
"""

# ------------------------------------------------------------------ leases

#: The very process that took it; a host name and a number come up again.
_HOLDER = "run_id = :run_id AND host = :host AND pid = :pid AND process = :process"

ADD_LEASE = """
    INSERT INTO dbtorch_leases (name, run_id, host, pid, process, acquired_at, expires_at)
    VALUES (:name, :run_id, :host, :pid, :process, :acquired_at, :expires_at)
    ON CONFLICT (name) DO NOTHING
"""

# Whoever wants to take the lease over waits until the transaction that asks this is over.
IS_HELD = f"""
    SELECT 1 FROM dbtorch_leases
    WHERE name = :name AND {_HOLDER} AND acquired_at = :acquired_at
"""

GET_LEASE = "SELECT * FROM dbtorch_leases WHERE name = :name"

LEASES_OF_RUN = "SELECT * FROM dbtorch_leases WHERE run_id = :run_id"

# Only if it is still exactly the one that was looked at.
REPLACE_LEASE = """
    UPDATE dbtorch_leases SET run_id = :run_id, host = :host, pid = :pid, process = :process,
        acquired_at = :acquired_at, expires_at = :expires_at
    WHERE name = :name AND run_id = :held_run_id AND host = :held_host AND pid = :held_pid
        AND process = :held_process AND acquired_at = :held_acquired_at
        AND expires_at = :held_expires_at
"""

RENEW_LEASE = f"""
    UPDATE dbtorch_leases SET expires_at = :expires_at WHERE name = :name AND {_HOLDER}
"""

DROP_LEASE = f"DELETE FROM dbtorch_leases WHERE name = :name AND {_HOLDER}"
