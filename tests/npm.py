"""Packages out of npm's registry, kept between runs of the tests."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from tests.environments import Unavailable, cache, locked, run


@functools.cache
def node_modules(package: str) -> Path:
    """The folder that a package is in. Raises `Unavailable` where there is no npm or no registry.

    ``package`` has its version, ``name@1.2.3``.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Unavailable(f"{package} needs node and npm")
    folder = cache() / package
    found = folder / "node_modules"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (found / package.partition("@")[0]).exists():
            folder.mkdir(exist_ok=True)
            quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
            run([npm, "install", *quiet, "--prefix", str(folder), package])
    return found
