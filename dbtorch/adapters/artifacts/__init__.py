"""Opening the place that an ``--artifacts-url`` names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from dbtorch.adapters.home import expanded
from dbtorch.adapters.run_files import file_safe
from dbtorch.core.errors import UsageError
from dbtorch.ports.artifacts import Artifacts

#: What a URL begins with: the name of a protocol, of several that are chained the first.
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:::|://)")


def open_artifacts(url: str, project_id: str, project_dir: Path) -> Artifacts:
    """The place of a project under a URL, or without one the URL's own; nothing is asked of it yet.

    A URL without a protocol is a folder, from the project's where it is relative; that, and
    ``file://``, need no further package. Raises `UsageError` where the URL or its package is none.
    """
    under = file_safe(project_id) if project_id else ""
    protocol = _PROTOCOL.match(url)
    if protocol is None or (protocol[1].lower() == "file" and "::" not in url):
        from dbtorch.adapters.artifacts.folder import FolderArtifacts

        if not (said := unquote(url[len("file://") :]) if protocol else url):
            raise UsageError(f"--artifacts-url {url!r} names no folder: write file:///PATH")
        return FolderArtifacts((project_dir / expanded(said)).resolve() / under)
    from dbtorch.adapters.artifacts.remote import open_remote

    return open_remote(url, protocol[1].lower(), under)
