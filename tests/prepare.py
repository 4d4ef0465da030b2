"""Makes the environments that tests use before any of them waits for one: ``python -m tests.prepare``.

Says what came of each. Where ``CI`` is set, one that cannot be had is an error: what CI passes must
have been tested with every dbt.
"""

from __future__ import annotations

import os
import sys

from tests.dbt2 import RECIPE, dbt_2
from tests.environments import DBT_1_10, DBT_1_12, Unavailable, dbt_1
from tests.orchestrators import AIRFLOW_3, DAGSTER_1, PREFECT_3


def main() -> int:
    missing = False
    makers = {
        DBT_1_10: lambda: dbt_1(DBT_1_10).executable,
        DBT_1_12: lambda: dbt_1(DBT_1_12).executable,
        RECIPE: lambda: dbt_2().executable,
        **{one.recipe: one.prepare for one in (AIRFLOW_3, DAGSTER_1, PREFECT_3)},
    }
    for recipe, make in makers.items():
        try:
            print(f"{recipe}: {make()}", flush=True)
        except Unavailable as reason:
            missing = True
            print(f"{recipe}: tests that need it are skipped: {reason}", file=sys.stderr)
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
