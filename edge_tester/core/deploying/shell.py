"""What bringing the package to another machine needs of a link: commands run there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, Protocol


class Answer(NamedTuple):
    """What came of a command on another machine.

    Attributes
    ----------
    status : int
        With which it ended.
    output : str
        What it wrote to standard output.
    errors : str
        What it wrote to standard error.
    """

    status: int
    output: str
    errors: str


class Shell(Protocol):
    """Runs scripts on another machine as its user does, without anybody at a keyboard."""

    @property
    def place(self) -> str:
        """Who and where, for people: ``pi@raspberrypi``."""

    def run(
        self,
        script: str,
        arguments: Sequence[str] = (),
        content: BinaryIO | None = None,
        limit_s: float = 60.0,
    ) -> Answer:
        """Run a script of POSIX sh; what is there of it ends with this side.

        Parameters
        ----------
        script : str
        arguments : sequence of str
            ``$0``, ``$1`` and so on.
        content : binary file, optional
            Its standard input, which stays open after that until the script ends.
        limit_s : float
            Time that it may take.

        Raises
        ------
        UnreachableError
            The machine cannot be reached, lets nobody in, or the link was lost.
        """


class Deploys:
    """A subclass must give a shell on the target: a mixin beside the role of runtime protocols."""

    def shell(self) -> Shell:
        """Return a shell on the target."""
        raise NotImplementedError
