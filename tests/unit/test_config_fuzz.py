"""Whatever a file holds, it is a configuration or an error that a person can read."""

import tempfile
from functools import partial
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.adapters.config import ConfigError, load, settings_of
from dbtorch.adapters.config.keys import SECTIONS

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
