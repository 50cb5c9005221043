"""List the plugins: ``edge-tester list``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_tester.core import registry
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint, path_of, summary_of
from edge_tester.scenarios._program import guard


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    if {"-h", "--help"} & set(arguments):
        print(f"Usage: edge-tester list [ROLE ...]\n\nRoles: {', '.join(registry.ROLES)}")
        return
    for role in arguments or registry.ROLES:
        if role not in registry.ROLES:
            raise OptionError(f"There is no role {role!r}{hint(role, registry.ROLES)}")
        print(role)
        for name in registry.names(role):
            cls = registry.load(role, name)
            print(f"  {name:<18} {summary_of(cls)}\n  {'':<18} {path_of(cls)}")


if __name__ == "__main__":
    sys.exit(guard(main))
