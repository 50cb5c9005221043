"""Make what hosts and targets know each other by: ``edge-tester keys``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.system.certificates import Authority, write_new
from edge_tester.core.wire.tokens import new_nonce
from edge_tester.scenarios._program import guard


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester keys",
        description="Make what hosts and targets know each other by. No file that exists is "
        "replaced, and only its owner can read one with a secret.",
        allow_abbrev=False,
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")
    token = kinds.add_parser(
        "token",
        help="a token that both sides have: the simplest",
        description="Write a token of 256 random bits. Bring the file to both sides, by a way "
        "that nobody reads along, and name it by --token-file.",
    )
    token.add_argument("path", type=Path, metavar="PATH", help="file to write")
    certificates = kinds.add_parser(
        "certificates",
        help="a small authority, and certificates of hosts and targets, for TLS",
        description="Make certificates in FOLDER, and its authority if it has none. A target takes "
        "--tls-certificate FOLDER/target-NAME.pem; with --tls-ca FOLDER/ca.pem it lets only hosts "
        "in that have a certificate. A host takes --tls-ca FOLDER/ca.pem and, for such a target, "
        "--tls-certificate FOLDER/host-NAME.pem. ca-key.pem stays where it is.",
    )
    certificates.add_argument("folder", type=Path, metavar="FOLDER", help="where they are kept")
    certificates.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME[,NAME...]",
        help="a target, by the host names and addresses that hosts connect to",
    )
    certificates.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="a host, by any name"
    )
    chosen = parser.parse_args(arguments)
    if chosen.kind == "token":
        write_new(chosen.path, f"{new_nonce()}\n".encode())
        print(f"{chosen.path}: a token, for --token-file on both sides")
        return 0
    authority = Authority(chosen.folder)
    print(f"{authority.path}: the authority, for --tls-ca on both sides")
    for kind, wanted in (("target", chosen.target), ("host", chosen.host)):
        for text in wanted:
            names = [name for name in text.split(",") if name]
            if not names:
                parser.error(f"--{kind} needs a name, got {text!r}")
            file = f"{kind}-{names[0].replace(':', '-').replace('/', '-')}.pem"
            path = authority.certify(file, names, server=kind == "target")
            print(f"{path}: certificate and key of the {kind} {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
