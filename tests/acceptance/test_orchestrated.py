"""What the project that every orchestrator is held to ends in, by dbtorch's own command."""

from tests.acceptance.workspace import Workspace
from tests.orchestrated import EXPECTED, FILES, seen


def test_the_command_leaves_what_is_expected_of_all(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.dbtorch("run", code=1)
    assert seen(workspace) == EXPECTED
