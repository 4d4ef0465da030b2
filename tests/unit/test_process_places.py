"""Places of dbts that are at work at the same time."""

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.target_directories import TargetDirectories, TargetDirectory

GIVEN = DbtArgs.of(("--project-dir", "p", "--target-path", "mine"))


def test_who_is_alone_has_the_projects_own_place(tmp_path):
    own = TargetDirectory(tmp_path / "target")
    places = TargetDirectories(own, tmp_path / "beside")
    for _ in range(2):
        place = places.take(1)
        assert place is places.of(1) is own
        assert place.words(GIVEN) is GIVEN
        places.leave(1)
        places.leave(1)  # nothing happens where it has none any more
    assert not (tmp_path / "beside").exists()


def test_who_comes_meanwhile_has_another_with_what_dbt_has_parsed(tmp_path):
    own = TargetDirectory(tmp_path / "target")
    own.target_path.mkdir()
    (own.target_path / "partial_parse.msgpack").write_text("parsed")
    (own.target_path / "run_results.json").write_text("of the first")
    places = TargetDirectories(own, tmp_path / "beside")
    first, second, third = (places.take(batch) for batch in (1, 2, 3))
    assert len({first, second, third}) == 3
    assert [path.name for path in second.target_path.iterdir()] == ["partial_parse.msgpack"]
    words = second.words(GIVEN).values
    assert words["--target-path"] == str(second.target_path)
    assert words["--log-path"] == str(second.log_path)
    assert words["--project-dir"] == "p"
    (second.target_path / "partial_parse.msgpack").write_text("of the second")
    places.leave(2)
    assert places.take(4) is second
    assert (second.target_path / "partial_parse.msgpack").read_text() == "of the second"
    places.leave(1)
    assert places.take(5) is first


def test_what_was_compiled_is_where_people_look_for_it(tmp_path):
    own = TargetDirectory(tmp_path / "target")
    places = TargetDirectories(own, tmp_path / "beside")
    places.take(1)
    other = places.take(2)
    for place, name in ((own, "a"), (other, "b")):
        folder = place.target_path / "compiled" / "shop"
        folder.mkdir(parents=True)
        (folder / f"{name}.sql").write_text(name)
    places.leave(2)
    compiled = own.target_path / "compiled" / "shop"
    assert sorted(path.name for path in compiled.iterdir()) == ["a.sql", "b.sql"]
    places.close()
    assert not (tmp_path / "beside").exists()


def test_the_own_one_is_left_alone_where_it_is_not_wanted(tmp_path):
    own = TargetDirectory(tmp_path / "target")
    places = TargetDirectories(own, tmp_path / "beside")
    other = places.take(1, own=False)
    assert other.target_path.is_dir()
    assert other != own
    assert places.take(2) is own
