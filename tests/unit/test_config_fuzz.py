"""Whatever a file holds, it is a configuration or an error that a person can read."""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.adapters.config.sections import SECTIONS
from dbtorch.core.errors import ConfigError, UsageError
from dbtorch.service.project.project import open_project
from tests.waiting import PATIENCE

_KEYS = sorted({key.name for section in SECTIONS for key in section.keys})
_EXAMPLES = [key.example for section in SECTIONS for key in section.keys if key.example]
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=10)
    | st.sampled_from(["30s", "m:f", "0 6 * * *", "UTC", "{{ env_var('X') }}", *_EXAMPLES])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
_FILES = st.dictionaries(st.sampled_from([key.name for key in SECTIONS[0].keys]), _VALUES)
_SOUP = st.lists(
    st.sampled_from([*_KEYS, *_EXAMPLES, *"\n\t\r:-,[]{}&*!|>'\"%@`#?<a1~=", "  ", "<<: *a", "&a "])
    | st.characters(codec="utf-8"),
    max_size=40,
).map("".join)


def _problems(read):
    """What a reader complains about; it may raise nothing else."""
    try:
        read()
    except ConfigError as error:
        assert str(error)  # noqa: PT017  # most inputs are wrong, some are not
        return error.problems
    return ()


def _survives(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dbtorch.yml").write_bytes(content)
        for problem in _problems(lambda: load(Path(folder))):
            assert problem.startswith("dbtorch.yml:")
            assert "\n" not in problem
            problem.encode()


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes(content):
    _survives(content)


@given(_SOUP)
@settings(deadline=None, max_examples=300)
def test_any_text(text):
    _survives(text.encode())


@given(_FILES)
@settings(deadline=None)
def test_any_values_under_known_keys(data):
    _survives(yaml.safe_dump(data, allow_unicode=True).encode())


@given(_VALUES)
@settings(deadline=None)
def test_any_meta(value):
    meta = {"dbtorch": value}
    read = partial(settings_of, meta, node="model.a.b", file="a.yml", project_dir=Path("nowhere"))
    assert all("model.a.b" in problem for problem in _problems(read))


def _repeated(first, each):
    """Lines of which every one stands for nine of the one before."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 12):
        inner = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {each.format(inner=inner, level=level)}")
    return "\n".join(lines)


#: A few lines that would take gigabytes or hours.
_BOMBS = {
    "a billion laughs": _repeated("[lol, lol]", "[{inner}]"),
    "a billion merges": _repeated("{x: 1}", "{{<<: [{inner}], k{level}: 1}}"),
    "a long text repeated": f"a: &a {'x' * 400_000}\nb: [{','.join(['*a'] * 50_000)}]",
    "nested lists": "[" * 400_000,
    "nested mappings": "{a: " * 200_000,
    "nested by indentation": "\n".join("  " * level + "a:" for level in range(600)),
    "nested items": "- " * 400_000,
    "inside of itself": "a: &a [*a]",
    "a number": f"version: {'9' * 900_000}",
    "a number to the base of 60": f"version: {':'.join(['59'] * 200_000)}",
    "a tag": f"!{'t' * 900_000} a",
    "an object": "a: !!python/object/apply:os.system [touch pwned]",
    "many documents": "---\n" * 200_000,
    "half a character": 'a: "\\ud800"',
}

#: Reads the file named by its arguments, with little memory and time.
_READER = """
import resource, sys
from pathlib import Path
from dbtorch.adapters.config.loading import load
from dbtorch.core.errors import ConfigError
from dbtorch.core.errors import UsageError
from dbtorch.service.project.project import open_project

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
try:
    open_project(sys.argv[1]) if sys.argv[2] == "dbt_project.yml" else load(Path(sys.argv[1]))
except (ConfigError, UsageError) as error:
    print(error)
"""


@pytest.mark.parametrize("file", ["dbtorch.yml", "dbt_project.yml"])
@pytest.mark.parametrize("bomb", _BOMBS)
def test_a_bomb_is_a_sentence(bomb, file, tmp_path):
    (tmp_path / file).write_text(_BOMBS[bomb])
    done = subprocess.run(
        [sys.executable, "-c", _READER, tmp_path, file],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (said, *_) = done.stdout.splitlines()
    assert file in said
    assert len(said) < 500
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: shop", "shop"),
        ("vars: {name: other}\nname: 'shop'\n", "shop"),
        ("models: {shop: {name: x}}\nconfig: [name]\nname: shop", "shop"),
        ("'': x\nname: shop", "shop"),
        ("name:\n  deep: x\n", ""),
        ("- name: shop", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_project_is_read(text, name, tmp_path):
    (tmp_path / "dbt_project.yml").write_text(text)
    if name:
        assert open_project(str(tmp_path)).name == name
        return
    with pytest.raises(UsageError, match="the project has no name"):
        open_project(str(tmp_path))
