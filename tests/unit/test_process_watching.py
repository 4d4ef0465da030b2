"""What dbt's answer depends on, as far as files say it."""

from dbtorch.adapters.dbt.process.project.inputs import env_vars, watched


def test_what_is_watched_is_what_dbt_reads(tmp_path):
    project = {"model-paths": ["transform"], "packages-install-path": "vendor"}
    profiles = [tmp_path / folder / "profiles.yml" for folder in ("here", "elsewhere")]
    found = watched(project, tmp_path, profiles)
    below = {str(tmp_path / name) for name in ("transform", "vendor", "seeds", "dbt_project.yml")}
    assert below | set(map(str, profiles)) <= set(found)  # also one that is not there yet
    assert str(tmp_path / "models") not in found


def test_variables_are_found_where_files_name_them(tmp_path):
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "deep" / "one.sql").write_text("{{ env_var( 'FIRST' ) }}")
    (tmp_path / "models" / "schema.yml").write_text("x: \"{{ env_var('SECOND', 1) }}\"")
    (tmp_path / "models" / "data.csv").write_text("env_var('NOT')")
    (tmp_path / "profiles.yml").write_text('{{ env_var("THIRD") }}')
    names = [str(tmp_path / name) for name in ("models", "profiles.yml", "missing")]
    assert env_vars(names) == ("FIRST", "SECOND", "THIRD")
