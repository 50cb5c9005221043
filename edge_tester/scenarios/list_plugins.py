"""List the plugins: ``edge-tester list``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import msgspec

from edge_tester.core import registry
from edge_tester.core.backends import available, backend, install_command, missing_packages
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint, path_of, summary_of
from edge_tester.scenarios._program import guard


class Row(msgspec.Struct, frozen=True):
    """One plugin, and whether it can be used here.

    Attributes
    ----------
    role, name : str
    status : str
        ``installed``, ``missing`` (packages of it) or ``broken``.
    path : str
        Dotted path of the class, or what a broken plugin is behind.
    summary : str
        What it is.
    missing : tuple of str
        Import names of packages that are not installed.
    install : str
        Command that installs them.
    reason : str
        Why it cannot be imported, if it is broken.
    """

    role: str
    name: str
    status: str
    path: str
    summary: str = ""
    missing: tuple[str, ...] = ()
    install: str = ""
    reason: str = ""


def rows(roles: Sequence[str]) -> list[Row]:
    """Return a row for every plugin of some roles."""
    return [_row(role, name, place) for role in roles for name, place in names_of(role)]


def names_of(role: str) -> list[tuple[str, str]]:
    """Return short names and places of a role, in alphabetic order."""
    return sorted(registry.names(role).items())


def _row(role: str, name: str, place: str) -> Row:
    cls = registry.loadable(role, name)
    if cls is None:
        return Row(role, name, "broken", place, reason=registry.broken(role, name) or "")
    missing = tuple(missing_packages(cls.packages))
    status, install = ("missing", install_command(missing, cls)) if missing else ("installed", "")
    return Row(role, name, status, path_of(cls), summary_of(cls), missing, install)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester list",
        description="List the plugins, whether what they need is installed here, and what would "
        "install it.",
        epilog=f"Roles: {', '.join(registry.ROLES)}.",
        allow_abbrev=False,
    )
    parser.add_argument("roles", nargs="*", metavar="ROLE", help="roles to list; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")
    chosen = parser.parse_args(arguments)
    for role in chosen.roles:
        if role not in registry.ROLES:
            raise OptionError(f"There is no role {role!r}{hint(role, registry.ROLES)}")
    found = rows(chosen.roles or list(registry.ROLES))
    if chosen.json:
        print(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _show(found)


def _show(found: Sequence[Row]) -> None:
    width = max((len(row.name) for row in found), default=0)
    role = ""
    for row in found:
        if row.role != role:
            role = row.role
            print(role)
        mark = {"installed": "+", "missing": "-", "broken": "!"}[row.status]
        about = {
            "installed": row.summary,
            "missing": f"needs {', '.join(row.missing)}: {row.install}",
            "broken": f"broken: {row.reason}",
        }[row.status]
        print(_cut(f"  {mark} {row.name:<{width}}  {about}"))
    print("+ ready; - something is not installed; ! cannot be imported. --json tells all.")


def _cut(line: str) -> str:
    """Return a line that fits a terminal; in a file or pipe nothing is cut."""
    if not sys.stdout.isatty() or not available("rich"):
        return line
    columns: int = backend("rich.console", "edge-tester").Console().width
    return line if len(line) <= columns else f"{line[: columns - 3]}..."


if __name__ == "__main__":
    sys.exit(guard(main))
