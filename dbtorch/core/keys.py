"""How a field is written in a user's YAML: said on the field, read by ``adapters.config``.

The type of such a field is its annotation, so its module does not postpone annotations.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated


class Between:  # no dataclass, as every run would make one
    """Bounds of a whole number, both included."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most


class Besides:
    """A word of an enumeration that cannot be chosen here."""

    def __init__(self, word: StrEnum) -> None:
        self.word = word


#: Seconds, written as a number or as ``1h30m``; a limit is longer than nothing.
Duration = Annotated[float, "duration"]
Limit = Annotated[float, "limit"]

#: Text in which ``env_var`` is filled in when the file is read.
EnvText = Annotated[str, "env_var"]

#: Text that may be empty, such as a description.
FreeText = Annotated[str, "free text"]


def key(
    doc: str, *, name: str = "", default: str = "", example: str = "", within: str = ""
) -> dict[str, dict[str, str]]:
    """Metadata of a field that a key fills.

    ``doc`` is Markdown, ``name`` the key's where it is not the field's, ``default`` as the
    documentation shows it where that is not the field's own, ``example`` a value in YAML, and
    ``within`` the key that it stands under where that is no field by itself.
    """
    said = {"doc": doc, "name": name, "default": default, "example": example, "within": within}
    return {"key": said}
