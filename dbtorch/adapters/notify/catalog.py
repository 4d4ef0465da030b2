"""Which notifiers there are: the built-in ones, and those of other packages."""

from __future__ import annotations

from dbtorch.adapters.notify import email, slack, webhook
from dbtorch.adapters.notify.base import NotifierError, NotifierType
from dbtorch.adapters.plugins import Catalog

#: Their names are keys under ``alerts``.
NOTIFIERS = Catalog[NotifierType](
    what="notifier",
    group="dbtorch.notifiers",
    built_in={"slack": slack, "webhook": webhook, "email": email},
    functions=("place", "preview", "open"),
    error=NotifierError,
)
