"""Put the agent onto a board and let it stay there: ``edge-tester install ssh://pi@board``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import cast

from edge_tester.core import registry
from edge_tester.core.deploying.environment import environment_for
from edge_tester.core.deploying.service import forwarding, leave, remove
from edge_tester.core.deploying.starting import ensure
from edge_tester.core.runtime import Runtime
from edge_tester.scenarios._boards import shell_at, tell
from edge_tester.scenarios._program import guard

_PORT = 12345


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 1 if the agent was left there but does not run."""
    parser = argparse.ArgumentParser(
        prog="edge-tester install",
        description="Install the agent on a board behind ssh, and leave it there as a unit of the "
        "user's systemd, on a Unix socket that only this user can open. For a single run this is "
        "not needed: --target ssh://pi@raspberrypi does all by itself, and leaves no agent "
        "running.",
        allow_abbrev=False,
    )
    parser.add_argument("address", help="such as ssh://pi@raspberrypi")
    parser.add_argument(
        "runtimes", nargs="*", help="what the agent serves; tflite unless another one is named"
    )
    parser.add_argument(
        "--bring-wheels",
        action="store_true",
        help="install packages that are fetched here, and ask no package index there",
    )
    parser.add_argument(
        "--uninstall", action="store_true", help="stop the agent there and remove all of it"
    )
    chosen = parser.parse_args(arguments)
    shell = shell_at(chosen.address)
    if chosen.uninstall:
        found = remove(shell)
        print(f"Removed from {shell.place}" if found else f"{shell.place} has nothing installed")
        return 0
    names = chosen.runtimes or ["tflite"]
    classes = [cast("type[Runtime]", registry.load("runtimes", name)) for name in names]
    environment = environment_for(classes)
    ensure(shell, environment, tell, bring=chosen.bring_wheels)
    runs = leave(shell, environment.key, names, print)
    print(
        f"To measure there, once it runs: ssh -N {forwarding(shell, _PORT)} {shell.place} &\n"
        f"  edge-tester client model.tflite --target 127.0.0.1:{_PORT}"
    )
    return 0 if runs else 1


if __name__ == "__main__":
    sys.exit(guard(main))
