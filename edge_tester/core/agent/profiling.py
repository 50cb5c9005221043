"""The target's side of PROFILE: time per operator, never of inferences that are timed."""

from __future__ import annotations

import struct

from edge_tester.core.agent.bench import Bench
from edge_tester.core.errors import RemoteProtocolError, TargetError
from edge_tester.core.profiles import Profiles
from edge_tester.core.results.profile import Profile
from edge_tester.core.runtime import Runtime
from edge_tester.core.wire import frames, payloads


def can_profile(runtime: Runtime) -> bool:
    """Tell whether a runtime tells the time of each operator."""
    return isinstance(runtime, Profiles)


def profile_of(runtime: Runtime, bench: Bench, content: memoryview) -> bytes:
    """Return the answer to PROFILE.

    Parameters
    ----------
    runtime : Runtime
        With a model.
    bench : Bench
        Has the slot that is named.
    content : memoryview
        Payload of the request.

    Raises
    ------
    TargetError
        The runtime cannot, or tells more than an answer holds.
    RemoteProtocolError
        The request breaks the protocol.
    Exception
        What the runtime raises.
    """
    if not isinstance(runtime, Profiles):
        raise TargetError(
            "unsupported", f"{type(runtime).__name__} does not tell the time per operator."
        )
    try:
        number, count = payloads.PROFILE.unpack(content)
    except struct.error as error:
        raise RemoteProtocolError(f"A PROFILE of {len(content)} bytes: {error}.") from error
    if not 1 <= count <= payloads.PROFILE_INFERENCES_LIMIT:
        raise RemoteProtocolError(
            f"A PROFILE has 1 to {payloads.PROFILE_INFERENCES_LIMIT} inferences, got {count}."
        )
    found = bench.profile(number, lambda inputs: runtime.profile(inputs, count))
    if not isinstance(found, Profile):
        raise TypeError(
            f"{type(runtime).__name__}.profile() must give a Profile, got {found!r:.99}"
        )
    answer = payloads.encode(found)
    if len(answer) > frames.PROFILE_LIMIT_BYTES:
        raise TargetError(
            "runtime",
            f"{type(runtime).__name__} tells of {len(found.operators)} operators in {len(answer)} "
            f"bytes; an answer has at most {frames.PROFILE_LIMIT_BYTES}.",
        )
    return answer
