"""Schedules as CronJobs of Kubernetes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from dbtorch.core.model.deadline import DeadlineAction
from dbtorch.core.model.naming import called_apart
from dbtorch.core.schedule.rules import Catchup, Overlap
from dbtorch.service.schedule.export.exported import Exported, Pipelines, Timed, unsaid

WHERE = "a CronJob"

#: A time is missed when its run could not start so long after it.
_ON_TIME = timedelta(minutes=1)

#: Between the deadline at which dbtorch cancels a run and the end of its pod.
_TO_END = 600

#: Longest name of a CronJob; that of its jobs has 11 more.
_LONGEST = 52

_POLICIES = {Overlap.CANCEL_RUNNING: "Replace", Overlap.QUEUE_ALL: "Allow"}

_JOB = """\
{notes}apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: "{cron}"
  timeZone: {zone}
  suspend: {suspend}
  concurrencyPolicy: {policy}
  startingDeadlineSeconds: {starts_within}
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
{ends_within}      backoffLimit: 2
      podFailurePolicy:
        rules:
          - action: Ignore  # the node was drained: another pod goes on
            onPodConditions:
              - type: DisruptionTarget
          - action: FailJob  # 1 a node failed, 2 configuration, 3 a source is not fresh
            onExitCodes:
              containerName: dbtorch
              operator: In
              values: [1, 2, 3]
          - action: Count  # 4 a fault of dbtorch, 137 out of memory, 143 told to end
            onExitCodes:
              containerName: dbtorch
              operator: NotIn
              values: [0, 1, 2, 3]
      template:
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          terminationGracePeriodSeconds: 60
          securityContext:
            runAsNonRoot: true
            runAsUser: 10001
            runAsGroup: 10001
            fsGroup: 10001
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: dbtorch
              image: {image}
              args: {args}
              env:
                - name: JOB_NAME
                  valueFrom:
                    fieldRef:
                      fieldPath: metadata.labels['batch.kubernetes.io/job-name']
              envFrom:
                - secretRef:
                    name: {project}  # DBTORCH_DATABASE_URL, and what profiles.yml reads
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities:
                  drop: ["ALL"]
              resources:
                requests:
                  cpu: "1"
                  memory: 1Gi
              volumeMounts:
                - name: tmp
                  mountPath: /tmp
          volumes:
            - name: tmp
              emptyDir: {{}}"""

_HEAD = "# Made by `dbtorch export kubernetes`: make it again when dbtorch.yml changes."


def cron_jobs(pipelines: Pipelines, now: datetime, *, image: str) -> Exported:
    """A CronJob for each cron expression of each pipeline; ``image`` is that of the project."""
    project = _name(pipelines.dir.name) or "dbtorch"
    names = _names(project, pipelines)
    jobs, said = [], []
    for one in pipelines.timed:
        mine = [*unsaid(one, WHERE, now, catches_up=True), *_unsaid(one)]
        said += mine
        for number, cron in enumerate(one.crons, 1):
            jobs.append(
                _JOB.format(
                    notes="".join(f"# {sentence}\n" for sentence in mine) if number == 1 else "",
                    name=names[f"{one.name}/{number}"],
                    cron=cron,
                    zone=one.schedule.timezone,
                    suspend=str(one.schedule.paused).lower(),
                    policy=_POLICIES.get(one.schedule.overlap, "Forbid"),
                    starts_within=_starts_within(one),
                    ends_within=_ends_within(one),
                    image=json.dumps(image),
                    args=json.dumps(_args(one)),
                    project=json.dumps(project),
                )
            )
    return Exported(text="\n---\n".join([_HEAD, *jobs]), unsaid=tuple(said))


def _args(one: Timed) -> list[str]:
    wait = "1d" if one.schedule.overlap is Overlap.QUEUE_ALL else "5m"
    return ["run", "--pipeline", one.name, "--run-id", "$(JOB_NAME)", "--wait", wait]


def _starts_within(one: Timed) -> int:
    """Seconds in which a time may still start: until the next, which counts for more."""
    schedule = one.schedule
    if schedule.catchup is Catchup.NONE or schedule.overlap is Overlap.SKIP:
        return int(min(_ON_TIME, one.gap / 2).total_seconds())
    window = one.gap.total_seconds()
    if schedule.catchup_window is not None:
        window = min(window, schedule.catchup_window)
    return max(10, int(window))  # Kubernetes looks every 10 s


def _ends_within(one: Timed) -> str:
    deadline = one.pipeline.deadline
    if deadline is None or one.pipeline.deadline_action is not DeadlineAction.CANCEL:
        return ""
    seconds = (deadline.within or 86_400.0) + _TO_END
    return f"      activeDeadlineSeconds: {int(seconds)}  # dbtorch cancels it before that\n"


def _unsaid(one: Timed) -> Iterator[str]:
    schedule = one.schedule
    if schedule.overlap is Overlap.SKIP and schedule.catchup is not Catchup.NONE:
        yield (
            f"pipeline {one.name}: {WHERE} skips what meets a run (overlap: skip) by catching up"
            " with nothing"
        )
    if len(one.crons) > 1:
        yield f"pipeline {one.name}: {WHERE} has one time, so there are {len(one.crons)}"


def _names(project: str, pipelines: Pipelines) -> dict[str, str]:
    """Names of CronJobs, by pipeline and number: of two that are the same one would be lost."""
    names = {
        f"{one.name}/{number}": f"{project}-{one.name}" + f"-{number}" * (len(one.crons) > 1)
        for one in pipelines.timed
        for number in range(1, len(one.crons) + 1)
    }
    return called_apart(names, _name, longest=_LONGEST)


def _name(text: str) -> str:
    """A name as Kubernetes takes it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
