"""Pages as text: templates, where everything that is put in is escaped, and what they share."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dbtorch.core.model.naming import label
from dbtorch.core.text.json_text import to_json
from dbtorch.core.text.phrases import ago, many, took
from dbtorch.web.words import SIGNS, is_link, ordered, said

_STATIC = files("dbtorch.web") / "static"


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("dbtorch.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(said=said, took=took, ordered=ordered)
    found.globals.update(SIGNS=SIGNS, is_link=is_link, many=many, ago=ago, label=label)
    return found


def render(template: str, **values: Any) -> str:
    """A page of ``templates/``."""
    return _environment().get_template(template).render(values)


def static(name: str) -> str:
    """A file of ``static/``."""
    return (_STATIC / name).read_text(encoding="utf-8")


def data(value: Any) -> Markup:
    """JSON that no markup can end, for an element that is not executed."""
    text = to_json(value)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # nothing in it is markup any more


def one_script(*names: str) -> str:
    """Modules of ``static/`` as one, each after those that it needs."""
    return "const modules = {};\n" + "\n".join(map(_block, names))


def _block(name: str) -> str:
    """A module as a block, in which nobody else's names are known."""
    text = static(name)
    exported = re.findall(
        r"^export (?:async )?(?:const|function|class) ([\w$]+)", text, re.MULTILINE
    )
    text = re.sub(
        r"^import (\{.*?\}) from \"\./(.*?)\";$",
        r'const \1 = modules["\2"];',
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f'{{\n{text}\nmodules["{name}"] = {{ {", ".join(exported)} }};\n}}'


def source_hash(text: str) -> str:
    """What a content security policy calls a script or a style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
