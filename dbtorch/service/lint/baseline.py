"""A file of findings that are known, so that only new ones count."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.errors import UsageError
from dbtorch.service.lint.lint import Linted

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the command line says of it."""

    file: Path | None = None
    update: bool = False  # write what is found now

    def apart(self, found: Linted) -> Linted:
        """The same with what the file knows apart. Raises `UsageError`."""
        if self.file is None:
            if self.update:
                raise UsageError("nobody says which file is to be written: give --baseline FILE")
            return found
        if self.update and found.error is None:
            _write(self.file, found.findings)
        known = _read(self.file)
        old = tuple(one for one in found.findings if _key(one) in known)
        gone = known - {_key(one) for one in old} if found.error is None else ()
        return replace(
            found,
            findings=tuple(one for one in found.findings if _key(one) not in known),
            known=old,
            gone=tuple(sorted(gone)),
            strict=True,
        )


def _key(one: Finding) -> str:
    """What a finding is called, wherever its line has moved to."""
    return f"{one.rule} {one.id}"


def _write(path: Path, found: Iterable[Finding]) -> None:
    said = {"version": _VERSION, "findings": sorted(map(_key, found))}
    try:
        path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path) -> set[str]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["version"] == _VERSION and all(isinstance(one, str) for one in said["findings"]):
            return {*said["findings"]}
    except FileNotFoundError:
        raise UsageError(
            f"there is no baseline {path}: `dbtorch ci --lint --baseline {path} --update-baseline`"
            " writes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UsageError(f"{path} is no baseline of this version: write it with --update-baseline")
