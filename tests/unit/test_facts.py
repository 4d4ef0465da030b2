"""State is a value: nothing of dbtorch is found out by reading a sentence of dbtorch's."""

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import dbtorch
from dbtorch.core.model.graph import Kind
from tests.pages import ROOT

PACKAGE = Path(dbtorch.__file__).parent


@pytest.fixture(scope="module")
def sources() -> Mapping[Path, str]:
    """The text of every module."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="module")
def trees(sources: Mapping[Path, str]) -> Mapping[Path, ast.Module]:
    """What the modules parse to, which takes seconds."""
    return {path: ast.parse(text) for path, text in sources.items()}


#: What holds sentences, by the name of a variable or an attribute.
SENTENCES = {"reason", "message", "why", "remark", "sentence", "note", "error", "exception"}

#: What takes a text apart, or looks into it.
LOOKS_INTO = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "find", "index"),
    *("partition", "rpartition", "split", "rsplit", "match", "search", "fullmatch"),
}

#: What reads the words of another program, which says nothing else; or only mends how it looks.
OF_OTHERS = {
    "answers.py:outcome_of",  # keys of a message that is JSON
    "apart.py:start",  # the word that a command puts before what went wrong
    "card.py:_recovered",  # kept by an older dbtorch
    "debug.py:_connection",  # what `dbt debug` prints
    "debug.py:_trouble",  # the same
    "event_printer.py:_prepare",  # the name of a patch
    "forges.py:_is_limit",  # what a forge says of its limits
    "freshness.py:freshness_code",  # dbt's status of a source
    "freshness.py:freshness_text",  # the same
    "freshness.py:write_sources",  # the same
    "freshness.py:told",  # the same
    "lint.py:place_of_dbt",  # where dbt says that it is
    "selection.py:resolve_all",  # dbt's error without dbt's heading
    "selections.py:resolve",  # the same, of any dbt
    "sql_line.py:sql_line",  # where a warehouse found the mistake
}


TAKES_APART = LOOKS_INTO - {"match", "search", "fullmatch", "index"}


def constants_of(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Texts that modules give a name to."""
    assigned = (node for tree in trees for node in tree.body if isinstance(node, ast.Assign))
    return {
        target.id: node.value.value
        for node in assigned
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_sentence(node: ast.AST) -> bool:
    """Whether an expression is a sentence: by its name, or as a text of such a thing."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SENTENCES
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return is_sentence(inner)
    return False


def is_text(node: ast.AST) -> bool:
    """Whether an expression is a text that is written there, or a constant."""
    match node:
        case ast.Constant(value=str(text)):
            return any(map(str.isalpha, text))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return any(map(is_text, elements))
    return isinstance(node, ast.JoinedStr)


def is_prose(node: ast.AST, constants: Mapping[str, str] = {}) -> bool:
    """Whether an expression is a text of several words, or a constant that is one."""
    match node:
        case ast.Constant(value=str(text)):
            return " " in text.strip()
        case ast.Name(id=name):
            return " " in constants.get(name, "").strip()
        case ast.JoinedStr(values=parts):
            return any(map(is_prose, parts))
    return False


def reads_prose(node: ast.AST, constants: Mapping[str, str] = {}) -> bool:
    """Whether an expression finds something out by what a sentence is."""
    match node:
        case ast.Compare(left=left, comparators=others):
            sides = [left, *others]
            if any(is_prose(side, constants) for side in sides):
                return True
            return any(map(is_sentence, sides)) and any(map(is_text, sides))
        case ast.Call(func=ast.Attribute(attr=name), args=args) if name in TAKES_APART and any(
            is_prose(arg, constants) for arg in args
        ):
            return True
        case ast.Call(func=ast.Attribute(value=of, attr=name), args=args) if name in LOOKS_INTO:
            return (is_sentence(of) and any(map(is_text, args))) or (
                is_text(of) and any(map(is_sentence, args))
            )
    return False


def imported(node: ast.ImportFrom) -> Iterable[str]:
    return (alias.asname or alias.name for alias in node.names)


def found_in(tree: ast.Module, file: str, constants: Mapping[str, str]) -> set[str]:
    """Functions that read a sentence."""
    return {
        f"{file}:{function.name}"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Compare | ast.Call) and reads_prose(node, constants)
    }


@pytest.mark.parametrize(
    "written",
    [
        "change.reason == FAIL_FAST",
        "node.message.startswith('lost: the process of the run')",
        "'there is no run history' in str(error)",
        "reason.removesuffix(f' was {state}')",
        "LOST_WORDS.search(node.reason)",
        "MISSES not in note",
        "found.endswith(' runs again')",
        "text == 'no longer part of the run'",
    ],
)
def test_what_reads_a_sentence_is_noticed(written):
    assert reads_prose(ast.parse(written, mode="eval").body)


def test_nobody_reads_a_sentence_of_ours(trees):
    every = constants_of(trees.values())
    found: set[str] = set()
    for path, tree in trees.items():
        ours = constants_of([tree])
        names = {
            name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for name in imported(node)
        }
        known = {name: text for name, text in every.items() if name in names} | ours
        found |= found_in(tree, path.name, known)
    assert found - OF_OTHERS == set()


# ------------------------------------------------------------------ kinds


def spells_a_kind(node: ast.AST) -> bool:
    """Whether a text is the beginning of a node's id, as who asks an id for its kind writes it."""
    match node:
        case ast.Constant(value=str(text)):
            return any(text == f"{kind}." for kind in Kind)
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return any(text.startswith(f"{kind}.") for kind in Kind)
    return False


def test_a_kind_is_asked_of_its_node_and_not_of_the_spelling_of_an_id(trees):
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if spells_a_kind(node)
    ]
    assert found == []


def test_what_has_only_an_id_says_its_kind():
    for kind in Kind:
        assert Kind.of(f"{kind}.shop.a.b") is kind
        assert Kind.of(kind.id_of("a")) is kind
    assert Kind.of("macro.dbt.run_hooks") is None
    assert Kind.of("models.shop.a") is None
    assert Kind.of("") is None


# ------------------------------------------------------------------ one home each


@pytest.mark.parametrize(
    ("written", "home"),
    [
        ("get_close_matches", "core/text/nearest.py"),
        ("partial_parse.msgpack", "adapters/dbt/process/target_directories.py"),
        ("{self.project_id}/{pipeline}/{place}", "core/model/identity.py"),
        (".driver(run_id)", "service/history/lookup.py"),
    ],
)
def test_what_many_need_is_written_once(sources, written, home):
    places = {
        path.relative_to(PACKAGE).as_posix() for path, text in sources.items() if written in text
    }
    assert places == {home}


# ------------------------------------------------------------------ words


def test_no_word_of_the_makers_alone_is_in_the_docs_or_printed(trees):
    spec = importlib.util.spec_from_file_location("words", ROOT / ".ci" / "words.py")
    words = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(words)
    assert [*words.of_pages(), *words.of_program(trees)] == []
    # in a page it would be found, and in what is printed
    assert [*words.found("it hangs up")]
    assert [*words.of_program({ROOT / "a.py": ast.parse("print('it is told')")})]
