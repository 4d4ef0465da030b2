"""Variables that dbt reads as options belong to the run that began with them."""

from dbtorch.service.project.environment import flags_of, restore, restore_flags, shaping


def test_options_of_dbt_are_kept_and_nothing_else():
    environ = {
        "DBT_FULL_REFRESH": "1",
        "DBT_ENGINE_SAMPLE": "3 days",
        "DBT_PROFILES_DIR": "/here",
        "DBT_PASSWORD": "secret",
        "DBT_ENV_SECRET_KEY": "secret",
        "DBT_LOG_LEVEL": "debug",
        "HOME": "/home",
    }
    assert shaping(environ) == {
        "DBT_FULL_REFRESH": "1",
        "DBT_ENGINE_SAMPLE": "3 days",
        "DBT_PROFILES_DIR": "/here",
    }


def test_what_the_run_began_with_stands_again():
    environ = {"DBT_TARGET": "dev", "DBT_EVENT_TIME_START": "2026-01-01", "DBT_PASSWORD": "now"}
    restore(environ, {"DBT_TARGET": "prod", "DBT_FULL_REFRESH": "1"})
    assert environ == {"DBT_TARGET": "prod", "DBT_FULL_REFRESH": "1", "DBT_PASSWORD": "now"}


def test_folders_are_those_of_this_machine():
    environ = {"DBT_PROFILES_DIR": "/here"}
    restore(environ, {"DBT_PROFILES_DIR": "/there", "DBT_TARGET_PATH": "out"})
    assert environ == {"DBT_PROFILES_DIR": "/here", "DBT_TARGET_PATH": "out"}


def project(tmp_path, flags):
    (tmp_path / "dbt_project.yml").write_text(f"name: shop\nflags: {flags}\n")
    return flags_of(tmp_path)


def test_flags_of_the_project_are_those_the_run_began_with(tmp_path):
    then = project(tmp_path, "{indirect_selection: cautious, warn_error: true, debug: true}")
    assert then == {"indirect_selection": "cautious", "warn_error": True}
    now = project(tmp_path, "{warn_error: true}")
    environ = {}
    restore_flags(environ, then, now)
    assert environ == {"DBT_INDIRECT_SELECTION": "cautious"}


def test_a_flag_that_is_new_does_not_count(tmp_path):
    now = project(tmp_path, "{indirect_selection: empty, warn_error_options: {error: all}}")
    environ = {"DBT_ENGINE_INDIRECT_SELECTION": "buildable"}  # what was said then, over the flag
    restore_flags(environ, {}, now)
    assert environ == {
        "DBT_ENGINE_INDIRECT_SELECTION": "buildable",
        "DBT_WARN_ERROR_OPTIONS": "{}",
    }


def test_a_project_that_cannot_be_read_is_dbts_to_complain_of(tmp_path):
    for text in ("flags: [", "flags: all", "- flags", "name: shop"):
        (tmp_path / "dbt_project.yml").write_text(text)
        assert flags_of(tmp_path) == {}
