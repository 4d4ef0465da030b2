"""What a project is called among those that share a history, on every machine alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

#: Says the id, where neither dbtorch.yml nor git can: in an image without .git.
VARIABLE = "DBTORCH_PROJECT_ID"


def project_id(folder: Path, name: str, said: str | None, environ: Mapping[str, str]) -> str:
    """What was said, or where the project is: in which repository, else in which folder.

    ``said`` is ``project_id`` of dbtorch.yml; the environment comes before it.
    """
    known = environ.get(VARIABLE, "").strip() or said
    if known:
        return known
    found = _checkout(folder)
    if found is not None:
        top, git = found
        origin = _origin(git)
        if origin:
            inside = folder.resolve().relative_to(top).as_posix().removeprefix(".")
            return f"{'/'.join(filter(None, (origin, inside)))}#{name}"
    return f"{folder.resolve()}#{name}"


def _checkout(folder: Path) -> tuple[Path, Path] | None:
    """The top of the working tree a folder is in, and where its git keeps the configuration."""
    folder = folder.resolve()
    for top in (folder, *folder.parents):
        git = top / ".git"
        if git.is_dir():
            return top, git
        if git.is_file():  # of a submodule or a further working tree: it says where
            told = _text(git).partition("gitdir:")[2].strip()
            own = top / told
            return top, own / (_text(own / "commondir").strip() or ".")
    return None


def _origin(git: Path) -> str:
    """The address of the remote `origin` as every clone has it; nothing where there is none."""
    inside = False
    for line in map(str.strip, _text(git / "config").splitlines()):
        key, _, value = line.partition("=")
        if line.startswith("["):
            inside = line.replace(" ", "").lower() == '[remote"origin"]'
        elif inside and key.strip().lower() == "url":
            return same_for_all(value.strip().strip('"'))
    return ""


def same_for_all(url: str) -> str:
    """An address without what differs from clone to clone: protocol, user, password, port."""
    _, scheme, rest = url.strip().rpartition("://")
    host, slash, path = rest.partition("/")
    if not scheme and ":" in host:  # git@host:owner/name
        host, _, path = rest.partition(":")
        slash = "/"
    host = re.sub(r":\d*$", "", host.rpartition("@")[2]).lower()
    path = path.split("?")[0].strip("/").removesuffix(".git")
    return f"{host}{slash}{path}".rstrip("/")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
