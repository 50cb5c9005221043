"""A token that host and target share: each proves that it has it, and it is never sent.

The host proves first, by HMAC (RFC 2104) with SHA-256 over its HELLO, which has a random number,
and over one of the target's. So a proof fits one conversation and cannot be used again; one of
the host never fits for the target. Frames are authenticated with a third value of this kind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.runtimeprotocol import RuntimeProtocol

# Where a token is taken from if no file is named.
VARIABLE = "EDGE_TESTER_TOKEN"
NONCE_BYTES = 32
# As text: at least 128 bits in hexadecimal digits. Who reads along can try short ones.
_LEAST_CHARACTERS = 32
_MAKE = "`edge-tester keys token PATH` makes one"
_HOST, _TARGET, _FRAMES = b"edge_tester 2 host", b"edge_tester 2 target", b"edge_tester 2 frames"


def new_nonce() -> str:
    """Return 256 random bits in hexadecimal digits."""
    return os.urandom(NONCE_BYTES).hex()


class Proofs:
    """What two sides with one token say in one conversation.

    Parameters
    ----------
    token : str
    hello : bytes
        Payload of the host's HELLO, with its random number.
    nonce : str
        The target's random number.

    Attributes
    ----------
    host, target : str
        Proof of each side, 64 hexadecimal digits.
    frame_key : bytes
        32 bytes that nobody else knows.
    """

    def __init__(self, token: str, hello: bytes, nonce: str) -> None:
        # Late, here and below: they bring a library of some megabytes, for those with a token.
        import hashlib
        import hmac

        about = hashlib.sha256(hello).digest() + hashlib.sha256(nonce.encode()).digest()
        self.host, self.target = (
            hmac.new(token.encode(), label + about, hashlib.sha256).hexdigest()
            for label in (_HOST, _TARGET)
        )
        self.frame_key = hmac.new(token.encode(), _FRAMES + about, hashlib.sha256).digest()


def same(proof: str, other: str) -> bool:
    """Compare two proofs in a time that says nothing of what is alike."""
    import hmac

    return hmac.compare_digest(proof.encode(), other.encode())


def fitting(tokens: Sequence[str], hello: bytes, nonce: str, proof: str) -> Proofs | None:
    """Return the proofs of the token that the host has proven to have, None if it has none."""
    made = [Proofs(token, hello, nonce) for token in tokens]
    # A list: which one fits takes no less time either.
    found = [one for one in made if same(one.host, proof)]
    return found[0] if found else None


def read_tokens(path: Path | None) -> list[str]:
    """Return the tokens of a file, or the one of the environment; empty if there are none.

    Parameters
    ----------
    path : Path or None
        One token per line; lines that begin with ``#`` are for people. None takes that of the
        environment variable ``EDGE_TESTER_TOKEN``.

    Raises
    ------
    OptionError
        The file cannot be read, others may read it, or a token is too short.
    """
    if path is None:
        found = os.environ.get(VARIABLE, "").strip()
        where = f"The environment variable {VARIABLE}"
        if len(found.split()) > 1:
            raise OptionError(
                f"{where} has several words, and must be one token: a file may have several, one "
                "per line (--token-file)."
            )
        return [_checked(found, where)] if found else []
    try:
        others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise OptionError(f"The token file {path} cannot be read: {reason}; {_MAKE}.") from error
    if others:
        raise OptionError(f"Others may read or write the token file {path}: chmod 600 {path}")
    words = [line.strip() for line in lines]
    found_all = [_checked(word, f"{path}") for word in words if word and not word.startswith("#")]
    if not found_all:
        raise OptionError(f"The token file {path} has no token; {_MAKE}.")
    return found_all


def no_token() -> OptionError:
    """Return what to raise where a target would be open to everybody from now on."""
    return OptionError(f"There is no token any more: the old ones stay valid; {_MAKE}.")


def _checked(token: str, where: str) -> str:
    if len(token) < _LEAST_CHARACTERS:
        raise OptionError(
            f"{where} has a token of {len(token)} characters; it needs at least "
            f"{_LEAST_CHARACTERS}, so that nobody finds it by trying; {_MAKE}."
        )
    return token


class TokenProtocol(RuntimeProtocol):
    """A link whose ends prove to each other that they have the same token."""

    token_file: Path | None = option(
        None,
        help="File with the token that host and target share, for the target several, one per "
        f"line; by default that of the environment variable {VARIABLE}",
    )

    mac: bool = option(
        False,
        help="Authenticate every frame by the token: nothing on the way can change what is said; "
        "a target takes no others then",
    )

    @property
    def authenticates_frames(self) -> bool:
        """Whether frames carry a code that only the two sides can make."""
        return self.mac

    def tokens(self) -> list[str]:
        """Return the tokens that are valid now; a host uses the first.

        Raises
        ------
        OptionError
            They cannot be read, or there are none for ``mac``.
        """
        found = read_tokens(self.token_file)
        if self.mac and not found:
            raise OptionError(
                f"{type(self).__name__}.mac authenticates frames with a key that comes from a "
                f"token: give --token-file, or {VARIABLE}."
            )
        return found
