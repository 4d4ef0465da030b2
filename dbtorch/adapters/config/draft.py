"""The text of a new ``dbtorch.yml``: examples in comments, made of what a project has.

Lines of an example begin with ``# `` and explanations with ``## ``, so that taking away the
``# `` of any example, or of all of them, leaves a file that works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbtorch.adapters.config.survey import Survey
from dbtorch.core.text.pages import address

_MOST = 20  # examples of a kind; nobody reads more


def draft(found: Survey) -> str:
    """The whole file."""
    parts = [_head(found), _engine(found), _DEFAULTS, _POOLS, _steps(found), _pipelines(found)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _head(found: Survey) -> str:
    return f"""\
## dbtorch for the dbt project {found.name}. It needs none of this: `dbtorch run` runs everything.
## To use an example take away the "# " in front of its lines and of the section's first line.
## `{address("configuration")}` has all keys; `dbtorch validate` checks what you wrote.
version: 1
"""


def _engine(found: Survey) -> str:
    if found.profiles_dir is None:
        note, folder = "your profiles.yml is not in this project; say where if dbt misses it", "."
    else:
        note, folder = f"a profiles.yml is in {found.profiles_dir}", found.profiles_dir
    return f"""\
## How dbt is started: its interpreter, when dbtorch has an environment of its own, and its
## profiles ({note}).
# engine:
#   python: .venv/bin/python
#   profiles_dir: {folder}
"""


_DEFAULTS = """\
## For every node and step that says nothing of its own, in its step or in `meta: {dbtorch: …}`.
## Failures that may pass are retried; broken SQL and failing tests are not.
# defaults:
#   retry: {retries: 2, delay: 30s, max_delay: 10m}
#   timeout: 1h
"""

_POOLS = """\
## Slots of each pool: how many of the nodes and steps that say `pool: ingestion` run at once.
# pools:
#   ingestion: 2
"""


_STEPS = """\
## What happens besides dbt. Models that read a source wait for the step that produces it, and
## for nothing else; a step waits for what is listed under `after`."""


def _steps(found: Survey) -> str:
    lines = [_STEPS, "# steps:"]
    lines += [line for part in _ingestion(found) for line in part.splitlines()]
    lines += [line for part in _downstream(found) for line in part.splitlines()]
    return "\n".join(lines)


def _ingestion(found: Survey) -> Iterator[str]:
    owners = [owner for owner in found.groups.values() if re.fullmatch(r"[\w .@+-]+", owner)]
    owner = owners[0] if owners else "data-eng"
    if not found.sources:
        yield f"""\
##   The YAML in {found.model_path} declares no source. Once it does, the step that loads one says
##   `produces: ["source:NAME"]`, and the models that read it wait for the step.
"""
    sources = dict(list(found.sources.items())[:_MOST])
    for source, tables in sources.items():
        has = f" ({', '.join(tables[:3])}{', …' if len(tables) > 3 else ''})" if tables else ""
        module = source.replace("-", "_")
        yield f"""\
##   Fills the source {source}{has}.
#   ingest_{source}:
#     python: ingestion.{module}:load
#     produces: ["source:{source}"]
#     retries: 3
#     owner: "{owner}"
#     runbook: docs/runbooks/ingest_{source}.md
"""


def _downstream(found: Survey) -> Iterator[str]:
    exposures = dict(list(found.exposures.items())[:_MOST])
    for exposure, type in exposures.items():
        what = type if type.isalpha() else "exposure"
        yield f"""\
##   Refreshes the {what} {exposure} when the models under it are done.
#   refresh_{exposure}:
#     http:
#       url: "{{{{ env_var('BI_URL') }}}}/refresh/{exposure}"
#       method: POST
#     after: ["exposure:{exposure}"]
#     when: "{{{{ env_var('BI_URL', '') }}}}"
"""
    if not exposures:
        yield f"""\
##   Runs when everything below {found.model_path} is done.
#   notify:
#     command: [echo, "{found.name} is up to date"]
#     after: ["path:{found.model_path}"]
"""


def _pipelines(found: Survey) -> str:
    return f"""\
## Named parts of the project, for `dbtorch run --pipeline daily`.
# pipelines:
#   daily:
#     description: Every morning.
#     select: ["path:{found.model_path}"]
#     schedule: {{cron: "0 6 * * *", timezone: UTC}}
"""
