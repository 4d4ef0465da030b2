"""What a supervisor is put together from."""

from types import SimpleNamespace

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.run_files import RunFiles
from dbtorch.service.wiring.steps import build_steps


def test_each_supervisor_of_a_run_has_a_folder_of_its_own_for_its_steps(tmp_path):
    """What is left of a killed one goes with it, while the next one may be at work in the run's."""
    tmp_path.joinpath("dbtorch.yml").write_text('version: 1\nsteps: {hello: {command: "true"}}\n')
    project = SimpleNamespace(config=load(tmp_path), python="python")
    run_context = SimpleNamespace(outputs={})

    def folder_of_steps():
        files = RunFiles(tmp_path / ".dbtorch", "r1")
        steps = build_steps(project, None, files, run_context, lambda event: None)
        steps.close()
        return steps._work_dir

    killed, next_one = folder_of_steps(), folder_of_steps()

    assert killed.parent == next_one.parent == tmp_path / ".dbtorch" / "runs" / "r1" / "steps"
    assert killed != next_one


def test_what_a_killed_supervisor_told_its_steps_is_gone_with_the_next_one(tmp_path):
    told = tmp_path / ".dbtorch" / "runs" / "r1" / "steps" / "0badcafe" / "step.hello.1" / "told"
    told.parent.mkdir(parents=True)
    told.touch()
    project = SimpleNamespace(config=load(tmp_path), python="python")

    build_steps(
        project, None, RunFiles(tmp_path / ".dbtorch", "r1"), SimpleNamespace(), lambda event: None
    )

    assert not told.exists()
