"""What has become of a run's files at ``--artifacts-url``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """Files of one execution of a run: those that were uploaded, and those that were not."""

    url: str  # of the run, without secrets
    files: int
    left: int  # which are on the machine that executed it, and nowhere else
    error: str = ""  # why the last of them could not be; empty where there was no time
