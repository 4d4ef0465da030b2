"""docs/steps.md quotes the sample project as it is."""

from __future__ import annotations

import re
from pathlib import Path

from dbtorch.core.checks.idempotency import LOAD_COLUMNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "steps.md").read_text()

QUOTES = re.findall(r"```python\n# from (\S+)\n(.*?)```", PAGE, re.DOTALL)


def test_quoted_code_is_the_samples() -> None:
    assert {Path(file).stem for file, _ in QUOTES} == {"partition_overwrite", "merge", "swap"}
    for file, code in QUOTES:
        assert code in (ROOT / file).read_text(), file


def test_columns_that_are_left_out_are_all_named() -> None:
    assert all(f"`{column}`" in PAGE for column in LOAD_COLUMNS)
