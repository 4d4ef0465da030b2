"""The built-in table of failure classes: every entry with what it means and where that is written.

`docs/failures.md` shows it (`.ci/failures_docs.py` writes it there).
"""

from __future__ import annotations

from dbtorch.core.failures.rules.codes import CODES
from dbtorch.core.failures.rules.exceptions import DECISIVE, EXCEPTIONS
from dbtorch.core.failures.rules.messages import MESSAGES
from dbtorch.core.failures.rules.statuses import SQLSTATES, STATUSES

#: In the order in which they are asked.
TABLE = (CODES, SQLSTATES, STATUSES, DECISIVE, EXCEPTIONS, MESSAGES)
