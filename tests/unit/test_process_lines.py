"""Lines as dbt 2.0.0rc196 and dbt-core 1.11.16 print them, shortened by keys that nobody reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dbtorch.adapters.dbt.process.dbt_cli import event_lines as lines
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import (
    Began,
    Built,
    Done,
    Line,
    Lines,
    LogMessage,
    Planned,
)
from dbtorch.adapters.dbt.process.dbt_cli.values import moment, status


def at(time: str) -> datetime:
    """A time of the day on which the lines were recorded, in UTC."""
    return datetime.fromisoformat(f"2026-11-21T{time}").replace(tzinfo=UTC)


BINDER = (
    "Runtime Error in model broken (models/broken.sql)\n"
    '  Binder Error: Referenced column "nothing_of_this_name" not found in FROM clause!\n'
    '  Candidate bindings: "letter"'
)

YEARS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2022, 2023, 2024, 2027)]

LINES = [
    # dbt 2: what it is about to build of a microbatch model
    (
        rb"""{"data":{"node_info":{"unique_id":"model.shop.years"}},"info":{"code":"","level":"debug","msg":"Executing microbatch model model.shop.years with 5 batches (start=2022-01-01 00:00:00 UTC, end=2027-01-01 00:00:00 UTC)","name":"Generic","ts":"2026-11-30T01:28:49.392914Z"}}""",
        Planned(unique_id="model.shop.years", windows=((YEARS[0], YEARS[3]),)),
    ),
    # dbt 2: ... and that there is nothing to build
    (
        rb"""{"data":{"node_info":{"unique_id":"model.shop.years"}},"info":{"code":"","level":"debug","msg":"Microbatch model model.shop.years has no batches to process (start=2027-01-01 00:00:00 UTC, end=2027-01-01 00:00:00 UTC)","name":"Generic","ts":"2026-11-30T01:28:49.392914Z"}}""",
        LogMessage(
            unique_id="model.shop.years",
            level="debug",
            text="Microbatch model model.shop.years has no batches to process"
            " (start=2027-01-01 00:00:00 UTC, end=2027-01-01 00:00:00 UTC)",
        ),
    ),
    # our teller around dbt 1: the same, batch by batch
    (
        rb"""{"info": {"name": "MicrobatchesPlanned", "level": "debug", "msg": ""}, "data": {"windows": [["2022-01-01T00:00:00+00:00", "2023-01-01T00:00:00+00:00"], ["2023-01-01T01:00:00+01:00", "2024-01-01T00:00:00+00:00"]], "node_info": {"unique_id": "model.shop.years"}}}""",
        Planned(
            unique_id="model.shop.years",
            windows=((YEARS[0], YEARS[1]), (YEARS[1], YEARS[2])),
        ),
    ),
    (
        rb"""{"info": {"name": "MicrobatchBuilt", "level": "debug", "msg": ""}, "data": {"window": ["2022-01-01T00:00:00+00:00", "2023-01-01T00:00:00+00:00"], "node_info": {"unique_id": "model.shop.years"}}}""",
        Built(unique_id="model.shop.years", window=(YEARS[0], YEARS[1])),
    ),
    # dbt 2: a node begins
    (
        rb"""{"data":{"node_info":{"node_finished_at":"","node_started_at":"2026-11-21T19:02:14.415641Z","node_status":"started","unique_id":"model.shop.broken"}},"info":{"code":"Q024","level":"debug","msg":"Began running node model.shop.broken","name":"NodeStart","ts":"2026-11-21T19:02:14.415647Z"}}""",
        Began(unique_id="model.shop.broken", at=at("19:02:14.415641")),
    ),
    # dbt 2: ... and gets its turn, which is not said again
    (
        rb"""{"data":{"node_info":{"node_finished_at":"","node_started_at":"2026-11-21T19:02:14.428213Z","node_status":"executing","unique_id":"model.shop.broken"}},"info":{"code":"Q031","level":"debug","msg":"Started running model main.broken","name":"NodeExecuting","ts":"2026-11-21T19:02:14.428219Z"}}""",
        None,
    ),
    # dbt 2: a result line is for the log, NodeFinished follows
    (
        rb"""{"data":{"execution_time":1.1093426942825317,"node_info":{"node_finished_at":"2026-11-21T19:02:15.524983Z","node_started_at":"2026-11-21T19:02:14.415641Z","node_status":"error","unique_id":"model.shop.broken"},"status":"error"},"info":{"code":"Q012","level":"info","msg":"    Failed [  1.11s] model main.broken (table)","name":"LogModelResult","ts":"2026-11-21T19:02:15.525003Z"}}""",
        LogMessage(
            unique_id="model.shop.broken",
            level="info",
            text="    Failed [  1.11s] model main.broken (table)",
        ),
    ),
    # dbt 2: skipped, after it has begun
    (
        rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:15.525587Z","node_started_at":"2026-11-21T19:02:15.525316Z","node_status":"skipped","unique_id":"model.shop.child"},"run_result":{"execution_time":0.00027096501435153186,"status":"skipped"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node model.shop.child","name":"NodeFinished","ts":"2026-11-21T19:02:15.525630Z"}}""",
        Done(
            unique_id="model.shop.child",
            status="skipped",
            started_at=at("19:02:15.525316"),
            ended_at=at("19:02:15.525587"),
        ),
    ),
    # dbt 2: with dbt State, a model that need not be built; some versions capitalise it
    (
        rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:14.482119Z","node_started_at":"2026-11-21T19:02:14.414364Z","node_status":"reused","unique_id":"model.shop.still_fresh"},"run_result":{"execution_time":0.0677,"status":"Reused"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node model.shop.still_fresh","name":"NodeFinished","ts":"2026-11-21T19:02:14.482183Z"}}""",
        Done(
            unique_id="model.shop.still_fresh",
            status="reused",
            started_at=at("19:02:14.414364"),
            ended_at=at("19:02:14.482119"),
        ),
    ),
    # dbt 2: an ephemeral model, selected or not
    (
        rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:14.482119Z","node_started_at":"2026-11-21T19:02:14.414364Z","node_status":"no-op","unique_id":"model.shop.inlined"},"run_result":{"execution_time":0.06775455921888351,"status":"no-op"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node model.shop.inlined","name":"NodeFinished","ts":"2026-11-21T19:02:14.482183Z"}}""",
        Done(
            unique_id="model.shop.inlined",
            status="no-op",
            started_at=at("19:02:14.414364"),
            ended_at=at("19:02:14.482119"),
        ),
    ),
    # dbt 2: a test has failures and no message
    (
        rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:14.576032Z","node_started_at":"2026-11-21T19:02:14.543581Z","node_status":"fail","unique_id":"test.shop.only_a_is_accepted.d061d357a5"},"run_result":{"execution_time":0.03245088830590248,"num_failures":1,"status":"fail"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node test.shop.only_a_is_accepted.d061d357a5","name":"NodeFinished","ts":"2026-11-21T19:02:14.576086Z"}}""",
        Done(
            unique_id="test.shop.only_a_is_accepted.d061d357a5",
            status="fail",
            started_at=at("19:02:14.543581"),
            ended_at=at("19:02:14.576032"),
            failures=1,
        ),
    ),
    # dbt 2: a unit test
    (
        rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:14.540645Z","node_started_at":"2026-11-21T19:02:14.427819Z","node_status":"fail","unique_id":"unit_test.shop.shouted.shouts_wrongly"},"run_result":{"execution_time":0.11282619088888168,"num_failures":1,"status":"fail"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node unit_test.shop.shouted.shouts_wrongly","name":"NodeFinished","ts":"2026-11-21T19:02:14.540725Z"}}""",
        Done(
            unique_id="unit_test.shop.shouted.shouts_wrongly",
            status="fail",
            started_at=at("19:02:14.427819"),
            ended_at=at("19:02:14.540645"),
            failures=1,
        ),
    ),
    # dbt 2: a hook has no times but that of the line
    (
        rb"""{"data":{"execution_time":0.009146611206233501,"node_info":{"node_status":"success","unique_id":"operation.shop.shop-on-run-end-0"},"status":"success"},"info":{"code":"Q033","level":"info","msg":"OK hook: operation.shop.shop-on-run-end-0","name":"LogHookEndLine","ts":"2026-11-21T19:02:15.902824Z"}}""",
        Done(
            unique_id="operation.shop.shop-on-run-end-0",
            status="success",
            started_at=at("19:02:15.893677"),
            ended_at=at("19:02:15.902824"),
        ),
    ),
    # dbt 2: said of a parent, and again of each child
    (
        rb"""{"data":{"run_result":{"execution_time":1.1093426942825317,"status":"error"},"status":"error","unique_id":"model.shop.broken"},"info":{"code":"Z033","level":"debug","msg":"Marking children of model.shop.broken as skipped","name":"MarkSkippedChildren","ts":"2026-11-21T19:02:15.525059Z"}}""",
        None,
    ),
    # dbt 1: a seed, with rows
    (
        rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:11.438798", "node_started_at": "2026-11-21T19:03:10.978359", "node_status": "success", "unique_id": "seed.shop.letters"}, "run_result": {"adapter_response": {"_message": "INSERT 2", "code": "INSERT", "rows_affected": 2.0}, "execution_time": 0.44849205, "message": "INSERT 2", "num_failures": 0, "status": "success"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node seed.shop.letters", "name": "NodeFinished", "ts": "2026-11-21T19:03:11.444308Z"}}""",
        Done(
            unique_id="seed.shop.letters",
            status="success",
            started_at=at("19:03:10.978359"),
            ended_at=at("19:03:11.438798"),
            message="INSERT 2",
            rows=2,
        ),
    ),
    # dbt 1: an error with its text
    (
        rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:11.949290", "node_started_at": "2026-11-21T19:03:11.457120", "node_status": "error", "unique_id": "model.shop.broken"}, "run_result": {"adapter_response": {}, "execution_time": 0.48828888, "message": "Runtime Error in model broken (models/broken.sql)\n  Binder Error: Referenced column \"nothing_of_this_name\" not found in FROM clause!\n  Candidate bindings: \"letter\"", "num_failures": 0, "status": "error"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.broken", "name": "NodeFinished", "ts": "2026-11-21T19:03:11.951125Z"}}""",
        Done(
            unique_id="model.shop.broken",
            status="error",
            started_at=at("19:03:11.457120"),
            ended_at=at("19:03:11.949290"),
            message=BINDER,
        ),
    ),
    # dbt 1: a test
    (
        rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:12.508922", "node_started_at": "2026-11-21T19:03:12.306980", "node_status": "fail", "unique_id": "test.shop.only_a_is_accepted.d061d357a5"}, "run_result": {"adapter_response": {"_message": "OK"}, "execution_time": 0.19355607, "message": "Got 1 result, configured to fail if != 0", "num_failures": 1, "status": "fail"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node test.shop.only_a_is_accepted.d061d357a5", "name": "NodeFinished", "ts": "2026-11-21T19:03:12.514286Z"}}""",
        Done(
            unique_id="test.shop.only_a_is_accepted.d061d357a5",
            status="fail",
            started_at=at("19:03:12.306980"),
            ended_at=at("19:03:12.508922"),
            message="Got 1 result, configured to fail if != 0",
            failures=1,
        ),
    ),
    # dbt 1: a unit test, in colours
    (
        rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:12.818908", "node_started_at": "2026-11-21T19:03:12.511556", "node_status": "fail", "unique_id": "unit_test.shop.shouted.shouts_wrongly"}, "run_result": {"adapter_response": {"_message": "OK"}, "execution_time": 0.30342984, "message": "\n\n\u001b[32mactual\u001b[0m differs from \u001b[31mexpected\u001b[0m:\n\n\u001b[0;1m@@\u001b[0m \u001b[33m,\u001b[0m\u001b[0;1mletter\u001b[0m\r\n\u001b[32;1m+++\u001b[0m\u001b[33m,\u001b[0m\u001b[32;1mZ\u001b[0m\r\n\u001b[31;1m---\u001b[0m\u001b[33m,\u001b[0m\u001b[31;1mq\u001b[0m\r\n\n", "num_failures": 1, "status": "fail"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node unit_test.shop.shouted.shouts_wrongly", "name": "NodeFinished", "ts": "2026-11-21T19:03:12.823350Z"}}""",
        Done(
            unique_id="unit_test.shop.shouted.shouts_wrongly",
            status="fail",
            started_at=at("19:03:12.511556"),
            ended_at=at("19:03:12.818908"),
            message="actual differs from expected:\n\n@@ ,letter\r\n+++,Z\r\n---,q",
            failures=1,
        ),
    ),
    # dbt 1: skipped, without an end
    (
        rb"""{"data": {"node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.263976", "node_status": "skipped", "unique_id": "model.shop.child"}, "run_result": {"adapter_response": {}, "execution_time": 0.0, "message": "", "num_failures": 0, "status": "skipped"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.child", "name": "NodeFinished", "ts": "2026-11-21T19:03:12.277197Z"}}""",
        Done(unique_id="model.shop.child", status="skipped", started_at=at("19:03:12.263976")),
    ),
    # dbt 1: an ephemeral model
    (
        rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:11.910404", "node_started_at": "2026-11-21T19:03:11.879128", "node_status": "success", "unique_id": "model.shop.inlined"}, "run_result": {"adapter_response": {}, "execution_time": 0.028396368, "message": "", "num_failures": 0, "status": "success"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.inlined", "name": "NodeFinished", "ts": "2026-11-21T19:03:11.910706Z"}}""",
        Done(
            unique_id="model.shop.inlined",
            status="success",
            started_at=at("19:03:11.879128"),
            ended_at=at("19:03:11.910404"),
        ),
    ),
    # dbt 1: a hook
    (
        rb"""{"data": {"execution_time": 0.010089, "node_info": {"node_finished_at": "2026-11-21T19:03:13.390475", "node_started_at": "2026-11-21T19:03:13.380386", "node_status": "success", "unique_id": "operation.shop.shop-on-run-end-0"}, "status": "success"}, "info": {"code": "Q033", "level": "info", "msg": "1 of 1 OK hook: shop.on-run-end.0 .............................................. [\u001b[32mOK\u001b[0m in 0.01s]", "name": "LogHookEndLine", "ts": "2026-11-21T19:03:13.390706Z"}}""",
        Done(
            unique_id="operation.shop.shop-on-run-end-0",
            status="success",
            started_at=at("19:03:13.380386"),
            ended_at=at("19:03:13.390475"),
        ),
    ),
    # dbt 1: said of a node at the end
    (
        rb"""{"data": {"msg": "Runtime Error in model broken (models/broken.sql)\n  Binder Error: Referenced column \"nothing_of_this_name\" not found in FROM clause!\n  Candidate bindings: \"letter\"", "node_info": {"node_finished_at": "", "node_started_at": "", "node_status": "None", "unique_id": "model.shop.broken"}}, "info": {"code": "Z024", "level": "error", "msg": "  Runtime Error in model broken (models/broken.sql)\n  Binder Error: Referenced column \"nothing_of_this_name\" not found in FROM clause!\n  Candidate bindings: \"letter\"", "name": "RunResultError", "ts": "2026-11-21T19:03:13.470764Z"}}""",
        LogMessage(unique_id="model.shop.broken", level="error", text="  " + BINDER),
    ),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_a_line_is_read(line: bytes, expected: Line | None) -> None:
    assert Lines().read(line) == expected


#: dbt 2 says why, then that it is done.
WHY = rb"""{"data":{"node_info":{"unique_id":"model.shop.broken"}},"info":{"code":"","level":"error","msg":"[error] [DbDriverFailed (dbt1308)]: Database Error in model broken (target/run/shop/models/broken.sql)\n  Binder Error: Referenced column \"nothing_of_this_name\" not found in FROM clause!\n  Candidate bindings: \"letter\"\n  \n  LINE 10:       select nothing_of_this_name as letter from \"warehouse\".\"main\"....\n                        ^\n  (in run/shop/models/broken.sql:1:11)","name":"Generic","ts":"2026-11-21T19:02:15.524739Z"}}"""
FINISHED = rb"""{"data":{"node_info":{"node_finished_at":"2026-11-21T19:02:15.524983Z","node_started_at":"2026-11-21T19:02:14.415641Z","node_status":"error","unique_id":"model.shop.broken"},"run_result":{"execution_time":1.1093426942825317,"status":"error"}},"info":{"code":"Q025","level":"debug","msg":"Finished running node model.shop.broken","name":"NodeFinished","ts":"2026-11-21T19:02:15.525055Z"}}"""


def test_dbt_2_says_why_a_node_failed_in_a_line_before() -> None:
    reader = Lines()

    said = reader.read(WHY)
    done = reader.read(FINISHED)

    assert isinstance(said, LogMessage)
    assert (said.unique_id, said.level) == ("model.shop.broken", "error")
    assert said.text.startswith(
        "[error] [DbDriverFailed (dbt1308)]: Database Error in model broken"
    )
    assert isinstance(done, Done)
    assert (done.status, done.code) == ("error", "dbt1308")
    assert done.message.startswith(
        "Database Error in model broken (target/run/shop/models/broken.sql)"
    )
    assert done.message.endswith("(in run/shop/models/broken.sql:1:11)")


#: dbt 1 starts and finishes each batch as if it were the model.
MICROBATCH = [
    rb"""{"data": {"node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.606290", "node_status": "started", "unique_id": "model.shop.daily_partly"}}, "info": {"code": "Q024", "level": "debug", "msg": "Began running node model.shop.daily_partly", "name": "NodeStart", "ts": "2026-11-21T19:03:12.606413Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.606290", "node_status": "started", "unique_id": "model.shop.daily_partly"}}, "info": {"code": "Q011", "level": "info", "msg": "22 of 28 START sql microbatch model main.daily_partly .......................... [RUN]", "name": "LogStartLine", "ts": "2026-11-21T19:03:12.609413Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.612879", "node_status": "started", "unique_id": "model.shop.daily_partly"}}, "info": {"code": "Q024", "level": "debug", "msg": "Began running node model.shop.daily_partly", "name": "NodeStart", "ts": "2026-11-21T19:03:12.612990Z"}}""",
    rb"""{"data": {"batch_index": 1, "node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.612879", "node_status": "started", "unique_id": "model.shop.daily_partly"}}, "info": {"code": "Q045", "level": "info", "msg": "Batch 1 of 2 START batch 2026-01-01 of main.daily_partly ............................. [RUN]", "name": "LogStartBatch", "ts": "2026-11-21T19:03:12.613616Z"}}""",
    rb"""{"data": {"batch_index": 1, "execution_time": 0.31723046, "node_info": {"node_finished_at": "2026-11-21T19:03:12.936986", "node_started_at": "2026-11-21T19:03:12.612879", "node_status": "success", "unique_id": "model.shop.daily_partly"}, "status": "OK"}, "info": {"code": "Q046", "level": "info", "msg": "Batch 1 of 2 OK created batch 2026-01-01 of main.daily_partly ........................ [\u001b[32mOK\u001b[0m in 0.32s]", "name": "LogBatchResult", "ts": "2026-11-21T19:03:12.937462Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:12.936986", "node_started_at": "2026-11-21T19:03:12.612879", "node_status": "success", "unique_id": "model.shop.daily_partly"}, "run_result": {"adapter_response": {"_message": "OK"}, "execution_time": 0.31723046, "message": "OK", "num_failures": 0, "status": "success"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.daily_partly", "name": "NodeFinished", "ts": "2026-11-21T19:03:12.952213Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "", "node_started_at": "2026-11-21T19:03:12.967762", "node_status": "started", "unique_id": "model.shop.daily_partly"}}, "info": {"code": "Q024", "level": "debug", "msg": "Began running node model.shop.daily_partly", "name": "NodeStart", "ts": "2026-11-21T19:03:12.967925Z"}}""",
    rb"""{"data": {"batch_index": 2, "execution_time": 0.115948915, "node_info": {"node_finished_at": "2026-11-21T19:03:13.095325", "node_started_at": "2026-11-21T19:03:12.967762", "node_status": "error", "unique_id": "model.shop.daily_partly"}, "status": "error"}, "info": {"code": "Q046", "level": "error", "msg": "Batch 2 of 2 ERROR creating batch 2026-01-02 of main.daily_partly .................... [\u001b[31mERROR\u001b[0m in 0.12s]", "name": "LogBatchResult", "ts": "2026-11-21T19:03:13.096029Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:13.095325", "node_started_at": "2026-11-21T19:03:12.967762", "node_status": "error", "unique_id": "model.shop.daily_partly"}, "run_result": {"adapter_response": {}, "execution_time": 0.115948915, "message": "ERROR", "num_failures": 1, "status": "error"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.daily_partly", "name": "NodeFinished", "ts": "2026-11-21T19:03:13.097283Z"}}""",
    rb"""{"data": {"execution_time": 0.49484587, "node_info": {"node_finished_at": "2026-11-21T19:03:13.104800", "node_started_at": "2026-11-21T19:03:12.606290", "node_status": "partial success", "unique_id": "model.shop.daily_partly"}, "status": "PARTIAL SUCCESS (1/2)"}, "info": {"code": "Q012", "level": "info", "msg": "22 of 28 PARTIALLY created sql microbatch model main.daily_partly .............. [\u001b[33mPARTIAL SUCCESS (1/2)\u001b[0m in 0.49s]", "name": "LogModelResult", "ts": "2026-11-21T19:03:13.105473Z"}}""",
    rb"""{"data": {"node_info": {"node_finished_at": "2026-11-21T19:03:13.104800", "node_started_at": "2026-11-21T19:03:12.606290", "node_status": "partial success", "unique_id": "model.shop.daily_partly"}, "run_result": {"adapter_response": {}, "execution_time": 0.49484587, "message": "PARTIAL SUCCESS (1/2)", "num_failures": 0, "status": "partial success"}}, "info": {"code": "Q025", "level": "debug", "msg": "Finished running node model.shop.daily_partly", "name": "NodeFinished", "ts": "2026-11-21T19:03:13.109063Z"}}""",
]


def test_a_batch_of_a_microbatch_model_is_not_the_model() -> None:
    reader = Lines()

    found = [line for line in map(reader.read, MICROBATCH) if not isinstance(line, LogMessage)]

    id = "model.shop.daily_partly"
    start, end = at("19:03:12.606290"), at("19:03:13.104800")
    assert [line for line in found if line is not None] == [
        Began(unique_id=id, at=start),
        Done(
            unique_id=id,
            status="partial success",
            started_at=start,
            ended_at=end,
            message="PARTIAL SUCCESS (1/2)",
        ),
    ]


#: What is no line of dbt's log, and what is kept of it.
GARBLED = [
    # a complaint about options, on stderr
    (b"error: unexpected argument '--x' found\n", "error: unexpected argument '--x' found"),
    # not UTF-8
    (b"\xff\xfe text", "\ufffd\ufffd text"),
    # JSON, but nobody's event
    (b'{"a": 1}', '{"a": 1}'),
    (b"[1, 2]", "[1, 2]"),
    (b"17", "17"),
    # broken off
    (b'{"info": {"name": "NodeFin', '{"info": {"name": "NodeFin'),
    # of another type
    (b'{"info": {"name": 5}, "data": {}}', '{"info": {"name": 5}, "data": {}}'),
    # a node that is not named
    (
        b'{"info": {"name": "NodeStart"}, "data": {}}',
        '{"info": {"name": "NodeStart"}, "data": {}}',
    ),
    # a result that is none
    (
        b'{"info": {"name": "NodeFinished"}, "data": {"node_info": {"unique_id": "a"}, "run_result": {"status": 1}}}',
        '{"info": {"name": "NodeFinished"}, "data": {"node_info": {"unique_id": "a"}, "run_result": {"status": 1}}}',
    ),
]


@pytest.mark.parametrize(("line", "text"), GARBLED)
def test_what_is_no_line_of_a_log_is_kept_as_text(line: bytes, text: str) -> None:
    assert Lines().read(line) == LogMessage(unique_id=None, level="warn", text=text)


def test_of_a_huge_line_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_BYTES", 5_000)

    said = Lines().read(b"x" * 5_001)

    assert said == LogMessage(
        unique_id=None, level="warn", text="x" * 2_000 + "… (a line of 5001 bytes)"
    )


def test_an_empty_line_says_nothing() -> None:
    assert Lines().read(b"\n") is None


#: As either dbt writes them, in events, run_results.json and sources.json.
STATUSES = {
    "Warn": "warn",
    "runtime error": "runtime error",
    "RuntimeError": "runtime error",
    "NoOp": "no-op",
    "no_op": "no-op",
    "partial success": "partial success",
    "PartialSuccess": "partial success",
    "something new": "something new",
}


@pytest.mark.parametrize(("said", "means"), STATUSES.items())
def test_statuses_are_written_as_dbt_1_does(said: str, means: str) -> None:
    assert status(said) == means


@pytest.mark.parametrize("said", ["", "yesterday", None, 5, "9999-12-31T23:59:59-12:00"])
def test_a_time_that_is_none(said: object) -> None:
    assert moment(said) is None


def note(name: str, data: str) -> bytes:
    """What dbt 1 prints of an event of a node whose meta it cannot write."""
    why = "Failed to parse node_info field: Failed to parse meta field: bad argument type"
    text = f"[{name}]: Unable to parse logging event dictionary. {why}. Dictionary: {data}"
    info = {"name": "Note", "level": "warn", "msg": text, "ts": "2026-11-22T08:16:30.2Z"}
    return json.dumps({"info": info, "data": {"msg": text}}).encode()


#: As dbt-core 1.11.16 writes it; ``on:`` is YAML's word for true, and a date is no text either.
NODE = (
    "{'node_path': 'a.sql', 'unique_id': 'model.shop.a', 'node_status': 'error',"
    " 'node_started_at': '2026-11-21T19:02:14.5', 'node_finished_at': '2026-11-21T19:02:15.5',"
    " 'meta': {'retry': {True: {'code': 1}}, 'since': datetime.date(2026, 1, 1)},"
    " 'node_relation': {'database': 'shop'}, 'node_checksum': '40'}"
)


def test_what_dbt_1_cannot_write_it_says_in_python() -> None:
    reader = Lines()
    empty = (
        b'{"data": {}, "info": {"name": "%s", "level": "debug", "msg": "Finished running node "}}'
    )
    assert reader.read(note("NodeStart", f"{{'node_info': {NODE}}}")) == Began(
        unique_id="model.shop.a", at=at("19:02:14.5")
    )
    assert reader.read(empty % b"NodeStart") is None
    sql = note("SQLQuery", f"{{'sql': 'select \\'a\\'\\n', 'node_info': {NODE}}}")
    assert reader.read(sql) == LogMessage(
        unique_id="model.shop.a", level="debug", text="select 'a'"
    )
    # what is in it is no data: it is known by its result
    result = f"{{'status': <RunStatus.Error: 'error'>, 'node_info': {NODE}}}"
    assert reader.read(note("LogModelResult", result)) is None
    ran = "{'status': 'error', 'message': 'Binder Error: \"x\"', 'adapter_response': {}}"
    finished = f"{{'node_info': {NODE}, 'run_result': {ran}}}"
    assert reader.read(note("NodeFinished", finished)) == Done(
        unique_id="model.shop.a",
        status="error",
        started_at=at("19:02:14.5"),
        ended_at=at("19:02:15.5"),
        message='Binder Error: "x"',
    )
    assert reader.read(empty % b"NodeFinished") is None
    # another node has no such meta
    other = b"""{"data":{"node_info":{"unique_id":"model.shop.b"}},"info":{"name":"NodeStart"}}"""
    assert reader.read(other) == Began(unique_id="model.shop.b", at=None)


@pytest.mark.parametrize(
    "data", ["{", "{1: 2", "{'a': nothing}", "{}", "{'node_info': 1}", "{b'': 1}"]
)
def test_a_note_that_cannot_be_read_says_nothing_of_a_node(data: str) -> None:
    found = Lines().read(note("NodeFinished", data))
    assert not isinstance(found, Began | Done)


def told(name: str, level: str = "debug", status: str = "") -> bytes:
    about: dict[str, object] = {"node_info": {"unique_id": "model.shop.years"}}
    if status:
        about["run_result"] = {"status": status}
    info = {"name": name, "level": level, "msg": "no", "ts": "2026-11-21T01:00:00Z"}
    return json.dumps({"info": info, "data": about}).encode()


@pytest.mark.parametrize(
    ("names", "unrendered"),
    [
        (("NodeCompiling", "error", "NodeExecuting"), True),  # as dbt 2 does
        (("NodeCompiling", "error"), True),
        (("NodeCompiling", "NodeExecuting", "error"), False),
        # within dbt 1 each batch is rendered and executed, the first one may be built
        (("NodeCompiling", "NodeExecuting", "NodeCompiling", "error"), False),
        (("error",), False),  # nobody says what dbt was doing
    ],
)
def test_what_failed_while_it_was_rendered_was_not_executed(
    names: tuple[str, ...], unrendered: bool
) -> None:
    reader = Lines()
    reader.read(told("NodeStart"))
    for name in names:
        reader.read(told("Generic", "error") if name == "error" else told(name))
    done = reader.read(told("NodeFinished", status="error"))
    assert isinstance(done, Done)
    assert done.unrendered is unrendered
