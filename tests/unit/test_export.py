"""`dbtorch export`: what other schedulers are told starts at the times that dbtorch.yml says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from croniter import croniter

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.cron import Ticks
from dbtorch.adapters.cron_fields import in_utc, plain
from dbtorch.cli.main import cli
from dbtorch.core.errors import Refused
from dbtorch.core.schedule.schedule import Schedule

BIN = Path(sys.executable).parent
DEPLOYED = Path(__file__).parents[2] / "deploy" / "kubernetes" / "cronjob.yaml"

YML = """
pipelines:
  daily:
    schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}
    deadline: 2h
    deadline_action: cancel
  weekly:
    schedule: {cron: ["30 0 * * mon", "@weekly"], timezone: Europe/Berlin, overlap: skip}
  often:
    schedule: {every: 15m, timezone: Asia/Kolkata, jitter: 1m, overlap: cancel_running}
  office:
    schedule:
      {cron: "*/10 8-18 * * 1-5", timezone: America/New_York, overlap: queue_all, catchup: all,
       end_date: 2030-01-01}
  hourly:
    schedule: {every: 6h, catchup: none, paused: true}
  by_hand: {select: "tag:x"}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "50% of shop"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "dbtorch.yml").write_text(YML)
    return folder


def exported(shop: Path, *words: str) -> Result:
    done = CliRunner().invoke(cli, ["export", *words, "--project-dir", str(shop)])
    assert done.exception is None, done.exception
    return done


def refused(shop: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["export", *words, "--project-dir", str(shop)])
    assert done.exception is not None
    assert not done.stdout
    return str(done.exception)


def schedules(shop: Path) -> dict[str, Schedule]:
    config = load(shop)
    return {name: one.schedule for name, one in config.pipelines.items() if one.schedule}


def ticks(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    return list(Ticks(schedule).between(since, until))


def ok(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


#: Around both changes of the clock, and a new year.
SPANS = [
    (datetime(2027, month, day, tzinfo=UTC), timedelta(days=9))
    for month, day in ((1, 1), (3, 9), (3, 24), (10, 27), (11, 3))
]


def test_a_crontab_starts_each_pipeline_when_its_schedule_says(shop: Path) -> None:
    done = exported(shop, "cron")
    told: dict[str, list[str]] = {}
    zones: dict[str, str] = {}
    zone = ""
    for line in done.stdout.splitlines():
        if line.startswith("CRON_TZ="):
            zone = line.removeprefix("CRON_TZ=")
        elif found := re.fullmatch(r"(# paused: )?((?:\S+ ){5})(cd .*)", line):
            paused, cron, command = found.groups()
            name = command.partition("--pipeline ")[2].split()[0]
            assert croniter.is_valid(cron)
            assert bool(paused) == (name == "hourly")
            told.setdefault(name, []).append(cron.strip())
            zones[name] = zone
            assert re.sub(r"\\%", "", command).count("%") == 0
        else:
            assert not line or line.startswith("#") or re.fullmatch(r"SHELL=\S+", line), line
    for name, schedule in schedules(shop).items():
        mine = Schedule(crons=tuple(told[name]), timezone=zones[name])
        for since, span in SPANS:
            assert ticks(mine, since, since + span) == ticks(schedule, since, since + span), name
    assert "pipeline often: jitter 1m is not in a crontab" in done.stderr
    assert "(overlap: cancel_running)" in done.stderr
    assert done.stderr.count("Warning: ") == done.stdout.count("# pipeline ")


def test_its_commands_run_in_a_shell(shop: Path) -> None:
    """As cron gives them to one, which takes the backslash of ``\\%`` away."""
    line = next(x for x in exported(shop, "cron", "-p", "daily").stdout.splitlines() if "cd " in x)
    command = line.split(" ", 5)[5].replace("\\%", "%").replace("run --pipeline", "schedule", 1)
    command = command.partition(" --quiet")[0]
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    shell = ["/bin/sh", "-c", command]
    done = subprocess.run(shell, env=environ, capture_output=True, text=True, check=True)
    assert "Europe/Berlin" in done.stdout or "06:00:00" in done.stdout
    assert line.endswith("--quiet --wait 1d")


def jobs(text: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all(text) if one}


def test_kubernetes_knows_every_field(shop: Path, tmp_path: Path) -> None:
    done = exported(shop, "kubernetes", "--image", "shop:2")
    path = tmp_path / "jobs.yaml"
    path.write_text(done.stdout)
    ok(BIN / "kubernetes-validate", "--strict", path)
    found = jobs(done.stdout)
    said = {
        name: (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"], spec["suspend"])
        for name, one in found.items()
        for spec in [one["spec"]]
    }
    assert said == {
        "50-of-shop-daily": ("Forbid", 86_400, False),
        "50-of-shop-weekly-1": ("Forbid", 60, False),
        "50-of-shop-weekly-2": ("Forbid", 60, False),
        "50-of-shop-often": ("Replace", 900, False),
        "50-of-shop-office": ("Allow", 600, False),
        "50-of-shop-hourly": ("Forbid", 60, True),
    }
    for name, schedule in schedules(shop).items():
        mine = [one["spec"] for key, one in found.items() if key.startswith(f"50-of-shop-{name}")]
        crons = Schedule(crons=tuple(one["schedule"] for one in mine), timezone=mine[0]["timeZone"])
        for since, span in SPANS:
            assert ticks(crons, since, since + span) == ticks(schedule, since, since + span), name


def test_a_cron_job_is_the_one_of_the_recipe(shop: Path) -> None:
    (recipe,) = jobs(DEPLOYED.read_text()).values()
    (made,) = jobs(exported(shop, "kubernetes", "-p", "daily", "--image", "shop:2").stdout).values()
    ours, theirs = made["spec"]["jobTemplate"]["spec"], recipe["spec"]["jobTemplate"]["spec"]
    assert ours.pop("activeDeadlineSeconds") == 2 * 3600 + 600
    assert ours["podFailurePolicy"] == theirs["podFailurePolicy"]
    assert ours["backoffLimit"] == theirs["backoffLimit"]
    pod, deployed = ours["template"]["spec"], theirs["template"]["spec"]
    (container,), (known,) = pod.pop("containers"), deployed.pop("containers")
    assert pod == deployed
    assert container["image"] == "shop:2"
    assert container["args"][:3] == ["run", "--pipeline", "daily"]
    assert container["args"][3:] == known["args"][-4:]
    for key in ("securityContext", "volumeMounts"):
        assert container[key] == known[key]


def test_github_starts_each_pipeline_by_the_clock_of_its_zone(shop: Path, tmp_path: Path) -> None:
    """Of several lines for one time the job's own look at the clock leaves the right one."""
    done = exported(shop, "github")
    path = tmp_path / "workflow.yml"
    path.write_text(done.stdout)
    ok(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)
    workflow = yaml.safe_load(done.stdout)
    crons = [one["cron"] for one in workflow[True]["schedule"]]
    assert len(crons) == len(set(crons))
    for name, schedule in schedules(shop).items():
        job = workflow["jobs"][name]
        mine = re.search(r"fromJSON\('(.*?)'\)", job["if"])
        if name == "hourly":  # paused
            assert mine is None
            continue
        assert mine is not None
        events: list[str] = json.loads(mine[1])
        assert set(events) <= set(crons)
        (due, *_) = [step.get("run", "") for step in job["steps"]]
        for since, span in SPANS:
            started = sorted(
                at
                for cron in events
                for at in ticks(Schedule(crons=(cron,)), since, since + span)
                if is_due(due, at, schedule.timezone, cron)
            )
            expected = ticks(schedule, since, since + span)
            switches = {at.date() for at in {*started} ^ {*expected}}
            assert len(switches) <= 1, (name, switches)  # the day on which the clock is set
    assert job_of(workflow, "often")["concurrency"]["cancel-in-progress"] is True
    assert "pipeline weekly: at GitHub the newest run waits" in done.stderr


def job_of(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = workflow["jobs"][name]
    return found


def is_due(script: str, at: datetime, zone: str, cron: str) -> bool:
    """What the first step of a job says, where it is a look at the clock."""
    from zoneinfo import ZoneInfo

    return "case " not in script or f'"{at.astimezone(ZoneInfo(zone)):%z} {cron}"' in script


def test_no_two_pipelines_are_one_elsewhere(shop: Path) -> None:
    """Names that others cannot tell apart, or would cut, stay apart: one would never run."""
    long = "x" * 60
    names = ["a-b", "a_b", "A_b", "w-1", "w", "true", f"{long}1", f"{long}2"]
    lines = "".join(f'  "{name}": {{schedule: "0 6 * * *"}}\n' for name in names if name != "w")
    (shop / "dbtorch.yml").write_text(
        f'pipelines:\n{lines}  w: {{schedule: {{cron: ["0 6 * * *", "30 7 * * 1"]}}}}\n'
    )
    made = list(yaml.safe_load_all(exported(shop, "kubernetes").stdout))
    called = [one["metadata"]["name"] for one in made if one]
    assert len({*called}) == len(names) + 1
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,50}[a-z0-9]", name) for name in called)
    text = exported(shop, "github").stdout
    ids = re.findall(r"^  (\w+):\n    if: ", text, re.MULTILINE)
    groups = re.findall(r"group: (\S+)", text)
    assert len({one.lower() for one in ids}) == len({one.lower() for one in groups}) == len(names)
    offered = yaml.safe_load(text)[True]["workflow_dispatch"]["inputs"]["pipeline"]["options"]
    assert {*offered} == {*names}


def test_a_folder_whose_name_says_nothing_is_one_elsewhere(shop: Path) -> None:
    for name, expected in (("仓库", "dbtorch"), ("2024", "2024")):
        shop = shop.rename(shop.with_name(name))
        (job,) = jobs(exported(shop, "kubernetes", "-p", "daily").stdout).values()
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": expected}}]
        assert job["metadata"]["name"] == f"{expected}-daily"


def test_a_zone_that_a_runner_does_not_know_is_an_error_and_not_utc(shop: Path) -> None:
    (shop / "dbtorch.yml").write_text(
        "pipelines: {old: {schedule: {cron: '0 6 * * *', timezone: US/Eastern}}}\n"
    )
    workflow = yaml.safe_load(exported(shop, "github").stdout)
    script = workflow["jobs"]["old"]["steps"][0]["run"].replace("US/Eastern", "No/Where")
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "no time zone No/Where here\n")


def test_the_look_at_the_clock_is_one_in_a_shell(shop: Path, tmp_path: Path) -> None:
    workflow = yaml.safe_load(exported(shop, "github", "-p", "daily").stdout)
    script = workflow["jobs"]["daily"]["steps"][0]["run"]
    clock = tmp_path / "date"
    clock.write_text('#!/bin/sh\necho "$OFFSET"\n')
    clock.chmod(0o755)
    said = {}
    for offset in ("+0100", "+0200"):
        for cron in ("0 5 * * *", "0 4 * * *", "by hand"):
            output = tmp_path / "output"
            output.write_text("")
            environ = {
                "PATH": f"{tmp_path}:/usr/bin:/bin",
                "OFFSET": offset,
                "CRON": cron,
                "GITHUB_OUTPUT": str(output),
            }
            subprocess.run(["bash", "-e", "-c", script], env=environ, check=True)
            said[offset, cron] = output.read_text()
    due = "due=yes\n"
    assert said == {
        ("+0100", "0 5 * * *"): due,
        ("+0100", "0 4 * * *"): "",
        ("+0200", "0 5 * * *"): "",
        ("+0200", "0 4 * * *"): due,
        ("+0100", "by hand"): due,
        ("+0200", "by hand"): due,
    }


@pytest.mark.parametrize(
    ("schedule", "scheduler", "why"),
    [
        ("{every: 90m}", "cron", "its times are not the same each day"),
        ("{every: 6h, timezone: Europe/Berlin}", "kubernetes", "not the same each day"),
        ('{cron: "@daily", blackout: ["22:00-06:00"]}', "github", "leaves out days or hours"),
        ("{cron: '0 6 * * mon#1'}", "cron", "#, ? and L are not known to every cron"),
        ("{cron: '* * * * *'}", "github", "nothing more often than every 5 minutes"),
        ("{cron: '0 0 1 * *', timezone: Europe/Berlin}", "github", "another day of the month"),
    ],
)
def test_what_would_start_at_other_times_is_refused(
    shop: Path, schedule: str, scheduler: str, why: str
) -> None:
    (shop / "dbtorch.yml").write_text(f"pipelines:\n  odd: {{schedule: {schedule}}}\n")
    said = refused(shop, scheduler)
    assert "dbtorch.yml:2: pipeline odd" in said
    assert why in said


def test_a_pipeline_without_a_schedule_is_refused(shop: Path) -> None:
    assert "pipeline by_hand has no schedule" in refused(shop, "cron", "-p", "by_hand")
    (shop / "dbtorch.yml").write_text("pipelines: {by_hand: {}}\n")
    assert "no pipeline has a schedule" in refused(shop, "github")


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("@hourly", "0 * * * *"),
        ("0 6 * jan-mar sun", "0 6 * 1-3 0"),
        ("5/20 */2 1,15 * 7", "5,25,45 */2 1,15 * 0"),
        ("0 6 * * 1-5", "0 6 * * 1-5"),
    ],
)
def test_names_and_what_is_read_in_two_ways_become_numbers(cron: str, expected: str) -> None:
    assert plain(cron) == expected


@pytest.mark.parametrize(
    ("cron", "ahead", "expected"),
    [
        ("0 6 * * *", 60, ["0 5 * * *"]),
        ("0 0 * * 1", 60, ["0 23 * * 0"]),
        ("30 22 * * 5", -300, ["30 3 * * 6"]),
        ("0 0,12 * * 1", 60, ["0 23 * * 0", "0 11 * * 1"]),
        ("0 9 * * *", 330, ["30 3 * * *"]),
        ("0 * * * *", 345, ["15 * * * *"]),
        ("0 6 1 * *", 60, ["0 5 1 * *"]),
    ],
)
def test_times_of_a_zone_in_utc(cron: str, ahead: int, expected: list[str]) -> None:
    assert in_utc(cron, ahead) == expected


def test_the_first_of_a_month_may_be_another_one_in_utc() -> None:
    with pytest.raises(Refused, match="another day of the month"):
        in_utc("30 0 1 * *", 60)
