"""Let in who proves to have a token, and let nobody try many."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.wire import tokens
from edge_tester.core.wire.tokens import Proofs

# After so many wrong proofs of one origin within this time, its challenges come this late. With
# the few who may be in line at a time, a token of 128 bits stays out of reach; and who has one
# and shares an address with others waits no longer than that.
_FAILURES, _MEMORY_S, _PENALTY_S = 10, 60.0, 0.5
_ORIGINS = 1024


class Gate:
    """What an agent asks of its clients.

    Parameters
    ----------
    read : callable
        Returns the tokens that are valid; none lets everybody in.
    mac : bool
        Whether frames must be authenticated.
    """

    def __init__(self, read: Callable[[], Sequence[str]] = list, *, mac: bool = False) -> None:
        self._read, self.mac = read, mac
        self._tokens = list(read())
        self._failures: dict[str, list[float]] = {}

    @property
    def closed(self) -> bool:
        """Whether a proof is asked for."""
        return bool(self._tokens)

    def reload(self) -> int:
        """Read the tokens again; those who were let in stay. Return how many there are.

        Raises
        ------
        OptionError
            They cannot be read, or there are none any more; the old ones stay valid.
        """
        found = list(self._read())
        if self._tokens and not found:
            raise tokens.no_token()
        self._tokens = found
        return len(found)

    def challenge_s(self, origin: str) -> float:
        """Return when somebody of an origin may be challenged, by :func:`time.monotonic`."""
        now_s = time.monotonic()
        failed = [at for at in self._failures.get(origin, ()) if now_s - at < _MEMORY_S]
        return now_s + (_PENALTY_S if len(failed) >= _FAILURES else 0.0)

    def proofs(self, hello: bytes, nonce: str, proof: str, origin: str) -> Proofs:
        """Return what belongs to the token that was proven.

        Raises
        ------
        RemoteProtocolError
            None was.
        """
        found = tokens.fitting(self._tokens, hello, nonce, proof)
        if found is None:
            self._remember(origin)
            raise RemoteProtocolError("it has no valid token")
        return found

    def _remember(self, origin: str) -> None:
        """Keep the last failures of an origin, and the origins that failed last."""
        latest = [*self._failures.pop(origin, []), time.monotonic()]
        self._failures[origin] = latest[-_FAILURES:]
        if len(self._failures) > _ORIGINS:
            del self._failures[next(iter(self._failures))]
