"""Where a session stands."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """Where a session stands. In each, somebody is waited for who is sure to come, or nobody is."""

    NEW = auto()  # nothing has been started
    LAUNCHED = auto()  # the worker imports dbt; nobody has asked for the project yet
    READING = auto()  # it reads the project, for the first time; the owner waits
    OPENED = auto()  # the owner has dbt's answer, and has not accepted it
    REREADING = auto()  # as OPENED, but the worker has died, and another one reads the project
    RECOVERING = auto()  # accepted; a worker in another one's place reads the project
    READY = auto()  # the worker takes nodes, and is not connected to the warehouse
    CONNECTING = auto()  # it connects, and runs the start hooks if nobody has
    CONNECTED = auto()  # it executes nodes
    FINISHING = auto()  # it runs the end hooks, writes dbt's artifacts and goes
    LINGERING = auto()  # the session is closed; the worker answers questions until told to go
    ENDING = auto()  # nothing is started any more; the worker, still there, is to go
    ENDED = auto()  # there is no worker, and there will be none

    @property
    def is_first_reading(self) -> bool:
        """Whether no answer of dbt has reached the owner."""
        return self in (Phase.LAUNCHED, Phase.READING)

    @property
    def is_reading(self) -> bool:
        """Whether the worker imports dbt or reads the project, and hears nothing meanwhile."""
        return self is Phase.LAUNCHED or self in AFTER_READING

    @property
    def takes_nodes(self) -> bool:
        """Whether what is started goes to the worker."""
        return self in (Phase.READY, Phase.CONNECTING, Phase.CONNECTED)

    @property
    def is_over(self) -> bool:
        """Whether nothing is started any more."""
        return self in (Phase.LINGERING, Phase.ENDING, Phase.ENDED)

    @property
    def answers(self) -> bool:
        """Whether the worker can be asked about the warehouse."""
        return self in (Phase.OPENED, Phase.READY, Phase.CONNECTED, Phase.LINGERING)


#: What follows when the worker has read the project.
AFTER_READING = {
    Phase.READING: Phase.OPENED,
    Phase.REREADING: Phase.OPENED,
    Phase.RECOVERING: Phase.READY,
}
