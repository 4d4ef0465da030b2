"""What jinja makes of the macros that come with dbt: the same in every process, and most of a first parse.

A parse reads each of five hundred macros twice, and a build compiles those that it calls. All three are
functions of a text alone. A zygote has called them, and a copy looks up what they answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

#: Blocks that dbt looks for in a file of macros.
_BLOCKS = frozenset({"macro", "materialization", "test", "data_test"})


def remember() -> None:
    """Read and compile dbt's own macros, and let dbt find that from now on."""
    from dbt_common.clients import jinja
    from dbt_common.clients.jinja import MacroFuzzEnvironment

    read = jinja.extract_toplevel_blocks
    blocks: dict[str, list[Any]] = {}
    for text in _files():
        warned: list[object] = []
        found = read(text, set(_BLOCKS), collect_raw_data=False, warning_callback=warned.append)
        if not warned:
            blocks[text] = found
    environment = jinja.get_environment()
    macros = dict.fromkeys(block.full_block for found in blocks.values() for block in found)
    trees = {text: _with_calls(environment.parse(text)) for text in macros}
    codes: dict[str, CodeType] = {text: environment.compile(trees[text]) for text in macros}

    def extract_toplevel_blocks(text: str, *args: Any, **more: Any) -> list[Any]:
        wanted = more.get("allowed_blocks"), more.get("collect_raw_data")
        if not args and wanted == (_BLOCKS, False) and text in blocks:
            return list(blocks[text])
        return read(text, *args, **more)

    jinja.extract_toplevel_blocks = extract_toplevel_blocks
    MacroFuzzEnvironment.parse = _known(MacroFuzzEnvironment.parse, trees)
    MacroFuzzEnvironment.compile = _known(MacroFuzzEnvironment.compile, codes)


def _files() -> Iterator[str]:
    """The text of every file of macros, as dbt reads it."""
    import dbt.include
    from dbt_common.clients.system import load_file_contents

    for folder in dbt.include.__path__:
        for path in sorted(Path(folder).glob("*/macros/**/*.sql")):
            yield load_file_contents(str(path), strip=True)


def _known(real: Callable[..., Any], known: dict[str, Any]) -> Callable[..., Any]:
    """A method that looks up what it would answer."""

    def method(self: Any, source: Any, *args: Any, **more: Any) -> Any:
        if not args and not more and type(source) is str and source in known:
            return known[source]
        return real(self, source, *args, **more)

    return method


def _with_calls(tree: Any) -> Any:
    """A tree of which all calls have been found: dbt looks for these once more."""
    from jinja2.nodes import Call

    find_all = tree.find_all
    calls = tuple(find_all(Call))
    tree.find_all = lambda wanted: iter(calls) if wanted is Call else find_all(wanted)
    return tree
