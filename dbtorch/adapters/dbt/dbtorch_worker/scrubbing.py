"""Takes secrets out of what the worker says: the file with dbtorch's own rules is found by path."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: Standard library only, and there wherever this folder is.
_FILE = Path(__file__).resolve().parents[3] / "core" / "failures" / "scrub.py"


def _rules() -> Any:
    spec = importlib.util.spec_from_file_location("_dbtorch_scrub", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class _Hiding:
    """What is known of secrets; it grows as dbt reads the project."""

    rules = _rules()
    hide: Any = rules.Scrubber(rules.secrets_of(os.environ))


def scrub(text: str) -> str:
    """A text without the values of secrets."""
    hidden: str = _Hiding.hide.values(text)
    return hidden


def scrub_all(value: Any) -> Any:
    """JSON without the values of secrets."""
    return _Hiding.hide.json(value) if _Hiding.hide else value


def learn(secrets: Iterable[str]) -> None:
    """Hide these from now on as well."""
    _Hiding.hide = _Hiding.hide.knowing(secrets)


def learn_of_vars(words: list[str]) -> None:
    """Hide what ``--vars`` says under dbt's prefix."""
    for option, value in zip(words, words[1:]):  # noqa: B905, RUF007  # Python 3.9
        if option == "--vars" and _Hiding.rules.SECRET_PREFIX in value:
            import yaml  # dbt's own

            try:
                said = yaml.safe_load(value)
            except yaml.YAMLError:
                continue  # dbt refuses it, too
            if isinstance(said, Mapping):
                learn(_Hiding.rules.secrets_of(said))


def learn_of_credentials(credentials: Any) -> None:
    """Hide what the profile says: passwords, keys, tokens."""
    learn(_Hiding.rules.named_secrets(credentials.to_dict(omit_none=True)))
