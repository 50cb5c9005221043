"""Boards that commands do something with besides measuring."""

from __future__ import annotations

import sys

from edge_tester.core.addresses import link_to
from edge_tester.core.deploying.shell import Deploys, Shell
from edge_tester.core.errors import OptionError


def shell_at(address: str) -> Shell:
    """Return a shell on the board of an address.

    Raises
    ------
    OptionError
        Nothing can be installed or looked at behind such an address.
    """
    link = link_to(address)
    if not isinstance(link, Deploys):
        raise OptionError(
            f"{address} is an agent that runs already: a board that can be logged in to is "
            "expected, such as ssh://pi@raspberrypi."
        )
    return link.shell()


def tell(text: str) -> None:
    """Say on standard error what is done, apart from what a command prints."""
    print(text, file=sys.stderr, flush=True)
