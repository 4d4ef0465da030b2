"""What is said of each node, level over level, and the policy that it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dbtorch.core.config import Config, StepSpec
from dbtorch.core.model.freshness import GateSettings
from dbtorch.core.model.gate import Require
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.measure import relation_of
from dbtorch.core.model.policy import OnFailure, Policy, Retry
from dbtorch.core.model.wait import Wait
from dbtorch.core.plan import LOOKS, STEPS, THREADS
from dbtorch.core.settings import Settings


class Levels:
    """Options over what is said of a node itself, over its pipeline's settings and the defaults."""

    def __init__(
        self,
        config: Config,
        steps: Mapping[str, StepSpec],
        nodes: Mapping[str, Settings],
        *,
        overrides: Settings,
        pipeline: Settings,
    ) -> None:
        """``steps`` by name; ``nodes`` is what dbt nodes say of themselves, by id."""
        self._config = config
        self._steps = steps
        self._nodes = nodes
        self._overrides = overrides
        self._below = pipeline.over(config.defaults)
        required = (
            Settings() if config.freshness is None else Settings(require=config.freshness.require)
        )
        self._below_built = required.over(self._below)
        self._usual: dict[tuple[bool, int, bool], Policy] = {}  # where nothing is said of a node

    def retry(self) -> Retry:
        """The retry policy where nothing is said of a node."""
        return self._overrides.over(self._below).retry()

    def own(self, node: Node) -> Settings:
        """What is said of this very node."""
        if node.kind is Kind.STEP:
            return self._steps[node.name].settings
        said = self._nodes.get(relation_of(node.id), _NOTHING)
        return said.over(_said_to_dbt(node)) if node.on_error else said

    def of(self, node: Node) -> Settings:
        """What holds for a node."""
        said = self.own(node)
        if node.kind is Kind.SOURCE and self._config.freshness is not None:
            gate = (said.gate or GateSettings()).over(self._config.freshness.of(node.name))
            return self._overrides.over(replace(said, gate=gate)).over(self._below)
        if said.gate is not None and (
            self._config.freshness is not None or node.kind is Kind.CHECK
        ):
            said = replace(said, gate=None)  # a gate is in front of sources, and nothing else
        return self._overrides.over(said).over(self._below_built)

    def policy(self, node: Node, *, engine: bool, whole: int) -> Policy:
        """The policy of a node; ``whole`` is how many threads a step takes from dbt."""
        if self.own(node) is not _NOTHING or node.kind in _GATED:
            return self._policy(node, engine=engine, whole=whole)
        usual = (engine, whole, node.kind is Kind.UNIT_TEST)
        if usual not in self._usual:  # most nodes have this one
            self._usual[usual] = self._policy(node, engine=engine, whole=whole)
        return self._usual[usual]

    def _policy(self, node: Node, *, engine: bool, whole: int) -> Policy:
        said = self.of(node)
        wait = self._wait(node)
        slots = {THREADS: 1} if engine else {STEPS: 1} if wait is None else {LOOKS: 1}
        if self._is_far(node):  # it costs this machine nothing
            slots = {}
        if whole:
            slots[THREADS] = whole
        if said.pool:
            slots[said.pool] = 1
        return Policy(
            retry=said.retry(),
            timeout=said.timeout,
            priority=_usual_priority(node) if said.priority is None else said.priority,
            slots=slots,
            on_failure=OnFailure(said.on_failure or OnFailure.BLOCK),
            gate=said.gate.gate() if said.gate is not None else None,
            wait=wait,
            require=said.require or Require.ANY,
            deadline=said.deadline,
        )

    def _wait(self, node: Node) -> Wait | None:
        spec = self._steps.get(node.name) if node.kind is Kind.STEP else None
        return spec.wait if spec is not None else None

    def _is_far(self, node: Node) -> bool:
        spec = self._steps.get(node.name) if node.kind is Kind.STEP else None
        return spec is not None and bool(spec.queue)

    def apart(self, nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> frozenset[str]:
        """Nodes that need a dbt of their own: what it gets together has its order and its pools.

        The unit tests of such a model are not given to dbt with others either.
        """
        nodes = list(nodes)
        found = {node.id for node in nodes if _is_apart(self.own(node))}
        unit_tests = {node.id for node in nodes if node.kind is Kind.UNIT_TEST}
        return frozenset(
            found | {test for test, model in edges if test in unit_tests and model in found}
        )


_NOTHING = Settings()

#: Priority of unit tests: they are quick, and what they refuse need not be built.
_FIRST = 1


def _usual_priority(node: Node) -> int:
    return _FIRST if node.kind is Kind.UNIT_TEST else 0


#: Kinds of nodes that are, or may be, a gate.
_GATED = (Kind.SOURCE, Kind.CHECK)


def _is_apart(said: Settings) -> bool:
    return bool(said.pool or said.priority or said.timeout is not None)


def _said_to_dbt(node: Node) -> Settings:
    """What dbt's own config says of a model (dbt 1.12's ``on_error``)."""
    known = {"continue": OnFailure.CONTINUE, "skip_children": OnFailure.BLOCK}
    return Settings(on_failure=known.get(node.on_error))
