"""A file that another dbt is just writing."""

import json
import os
import threading

import msgspec
import pytest

from dbtorch.adapters.dbt import being_written
from dbtorch.adapters.dbt.being_written import decoded

OLD = 1_000_000_000.0


@pytest.mark.parametrize("decode", [json.loads, msgspec.json.decode])
@pytest.mark.parametrize("cut", ["", '{"nodes": [1, '])
def test_a_file_that_is_cut_is_read_once_it_is_whole(tmp_path, decode, cut):
    file = tmp_path / "manifest.json"
    file.write_text(cut)
    looked = threading.Event()

    def look(content):
        try:
            return decode(content)
        finally:
            looked.set()

    def write():
        looked.wait()
        file.write_text('{"nodes": [1, 2]}')

    writer = threading.Thread(target=write)
    writer.start()
    assert decoded(file, look) == {"nodes": [1, 2]}
    writer.join()


def test_one_that_nobody_writes_any_more_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(being_written, "_LOOK", 3600)  # nobody waits
    file = tmp_path / "manifest.json"
    file.write_text("{")
    os.utime(file, (OLD, OLD))
    with pytest.raises(ValueError, match="Expecting"):
        decoded(file, json.loads)


def test_one_that_stays_cut_is_refused_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(being_written, "_TAKES", 0.2)
    file = tmp_path / "manifest.json"
    file.write_text("{")
    with pytest.raises(msgspec.DecodeError):
        decoded(file, msgspec.json.decode)


def test_one_that_is_whole_and_another_thing_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(being_written, "_LOOK", 3600)
    file = tmp_path / "manifest.json"
    file.write_text("[]")
    with pytest.raises(msgspec.ValidationError):
        decoded(file, msgspec.json.Decoder(dict[str, int]).decode)
