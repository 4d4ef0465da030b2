"""Where dbts write that are at work at the same time."""

from dbtorch.adapters.dbt.process.places import Place, Places


def test_nobody_writes_where_somebody_else_does(tmp_path):
    own = Place(tmp_path / "target")
    places = Places(own, tmp_path / "beside")
    first, second, third = (places.take() for _ in range(3))
    assert first == own
    assert len({place.target_path for place in (first, second, third)}) == 3
    places.give_back(second)
    assert places.take() == second
    places.give_back(first)
    assert places.take() == own


def test_the_own_one_is_left_alone_where_it_is_not_wanted(tmp_path):
    places = Places(Place(tmp_path / "target"), tmp_path / "beside")
    other = places.take(own=False)
    assert other.target_path.is_dir()
    assert other.log_path is not None
    assert places.take() == Place(tmp_path / "target")


def test_what_was_compiled_elsewhere_is_found_where_people_look(tmp_path):
    places = Places(Place(tmp_path / "target"), tmp_path / "beside")
    other = places.take(own=False)
    (other.target_path / "compiled").mkdir()
    (other.target_path / "compiled" / "a.sql").write_text("select 1")
    places.give_back(other)
    assert (tmp_path / "target" / "compiled" / "a.sql").read_text() == "select 1"
    places.close()
    assert not (tmp_path / "beside").exists()
