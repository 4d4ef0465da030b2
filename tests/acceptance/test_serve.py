"""Real servers over one history: killed outright, ended, their clocks wrong."""

import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.core.exit_codes import Exit
from tests.proxy import proxy
from tests.serving.farm import Farm, a_project, check, schedule, starts
from tests.serving.runner import running
from tests.waiting import PATIENCE, wait_for

#: Servers that are killed; benchmarks/serving.py does it a hundred times.
ROUNDS = 3


@pytest.mark.postgres
def test_three_servers_with_wrong_clocks_share_the_work_and_outlive_kill_9(tmp_path, postgres_url):
    folder = a_project(tmp_path, 4, period=4)
    with Farm(folder, postgres_url, skews=(0.0, 30.0, -30.0)) as farm:
        for _ in range(3):
            farm.start()
        for _ in range(ROUNDS):
            farm.await_runs(4)
            farm.kill_one()
            farm.start()
        farm.await_runs(4)
        farm.end()
        assert check(farm, 4.0) >= 4 * (ROUNDS + 1)
        # their clocks are wrong indeed, and lateness is the database's all the same
        wrong_by = farm.wrong_by()
        late = {
            (key.pipeline, tick.scheduled_for): (tick.claimed_at - tick.due_at).total_seconds()
            for key, tick in farm.store.ticks(limit=9999)
            if tick.claims == 1
        }
    assert max(wrong_by) - min(wrong_by) == pytest.approx(60, abs=20)
    assert min(late.values()) >= 0
    said = {name: seconds for name, seconds in starts(farm.logs()) if name in late}
    assert said == pytest.approx({name: late[name] for name in said}, abs=5)
    assert len(said) > ROUNDS


def test_what_a_server_that_is_ended_had_under_way_the_next_one_goes_on_with(tmp_path, sqlite_url):
    with Farm(a_project(tmp_path, 1), sqlite_url, takes=3600) as farm:
        first = farm.start()
        wait_for(lambda: any(tick.run_id for _, tick in farm.store.ticks()))
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE) == 0
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


@pytest.mark.postgres
def test_a_history_that_hangs_keeps_no_server_from_ending_with_its_runs(tmp_path, postgres_url):
    """Who asks it to end kills all of it a little later, with what runs."""
    there = urlsplit(postgres_url)
    with proxy(there.hostname, there.port or 5432) as between:
        user = f"{there.username}:{there.password or ''}"
        url = there._replace(netloc=f"{user}@127.0.0.1:{between.port}").geturl()
        with Farm(a_project(tmp_path, 1), url, takes=3600) as farm:
            server = farm.start()
            wait_for(lambda: any(tick.run_id for _, tick in farm.store.ticks()))
            (child,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            between.hang()
            server.terminate()
            assert server.wait(PATIENCE) == Exit.UNREACHABLE
            assert not Path(f"/proc/{child}").exists()
            farm.servers.clear()
            assert "the history hangs" in farm.logs()
            farm.store.close()
            farm.store = open_store(postgres_url, tmp_path, identity=farm.store.identity)
            (tick,) = [tick for _, tick in farm.store.ticks(limit=1000) if tick.run_id]
            assert tick.state == "started"  # and so is gone on with


def test_a_broken_dbtorch_yml_leaves_schedules_alone_and_a_mended_one_is_used(tmp_path, sqlite_url):
    farm = Farm(a_project(tmp_path, 1), sqlite_url)
    with farm, running(tmp_path, farm.store) as runner:
        farm.environ["RUNNER"] = runner
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
        (tmp_path / "dbtorch.yml").write_text(f"artifacts_url: nosuch://there\n{good}")
        wait_for(lambda: farm.logs().count('"reload_failed"') == 3)  # no run could use it
        farm.end()
        check(farm, 1.0)
