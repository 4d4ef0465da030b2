"""Real servers over one history: killed outright, ended, their clocks wrong."""

import signal

import pytest

from tests.serving.farm import Farm, a_project, check, schedule
from tests.waiting import wait_for

#: Servers that are killed; benchmarks/failover.py does it a hundred times.
ROUNDS = 3


@pytest.mark.postgres
def test_three_servers_with_wrong_clocks_share_the_work_and_outlive_kill_9(tmp_path, postgres_url):
    folder = a_project(tmp_path, 6, period=2)
    with Farm(folder, postgres_url, skews=(0.0, 30.0, -30.0)) as farm:
        for _ in range(3):
            farm.start()
        for _ in range(ROUNDS):
            farm.await_runs(6)
            farm.kill_one()
            farm.start()
        farm.await_runs(6)
        farm.end()
        assert check(farm, 2.0) >= 6 * (ROUNDS + 1)


def test_what_a_server_that_is_ended_had_under_way_the_next_one_goes_on_with(tmp_path, sqlite_url):
    with Farm(a_project(tmp_path, 1), sqlite_url, takes=3600) as farm:
        first = farm.start()
        wait_for(lambda: any(tick.run_id for _, tick in farm.store.ticks()))
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        (begun,) = [tick for _, tick in farm.store.ticks(limit=1000) if tick.run_id]
        assert (begun.state, begun.token) == ("queued", "")
        farm.servers.clear()
        farm.environ["TAKES"] = "0.1"
        farm.start()
        farm.await_runs(2)
        farm.end()
        assert farm.store.run(begun.run_id).state == "success"
        assert '"exit_code": 0' in farm.logs()
        check(farm, 1.0)


def test_a_broken_dbtorch_yml_leaves_schedules_alone_and_a_mended_one_is_used(tmp_path, sqlite_url):
    with Farm(a_project(tmp_path, 1), sqlite_url) as farm:
        server = farm.start()
        farm.await_runs(1)
        good = (tmp_path / "dbtorch.yml").read_text()
        (tmp_path / "dbtorch.yml").write_text("pipelines: [")
        wait_for(lambda: "reload_failed" in farm.logs())
        rows = len(farm.store.ticks(limit=1000))
        wait_for(lambda: len(farm.store.ticks(limit=1000)) > rows)  # by the schedule that was there
        (tmp_path / "dbtorch.yml").write_text(f"{good}  p1: {{schedule: {schedule()}}}\n")
        wait_for(lambda: any(key.pipeline == "p1" for key, _ in farm.store.ticks(limit=1000)))
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: farm.logs().count('"reloaded"') == 2)
        (tmp_path / "dbtorch.yml").unlink()  # says as little as one that is broken
        wait_for(lambda: farm.logs().count('"reload_failed"') == 2)
        farm.end()
        check(farm, 1.0)
