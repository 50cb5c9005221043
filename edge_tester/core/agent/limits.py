"""What a client may ask of a target; its owner may set anything."""

from __future__ import annotations

from edge_tester.core.errors import OptionError
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.machine import usable_processors

# More threads than processors are of use where some of them wait; thousands are an attack.
THREADS_PER_PROCESSOR = 4


def require_threads(runtime: Runtime, owners: Runtime) -> None:
    """See that a client does not ask for more threads than this target can use.

    The processors are those that this process may use, not all that the machine has.

    Parameters
    ----------
    runtime : Runtime
        With the client's options.
    owners : Runtime
        The same with those of the target's owner, who may have set more.

    Raises
    ------
    OptionError
        It does.
    """
    processors = usable_processors() or 1
    for name in runtime.thread_options:
        asked = getattr(runtime, name, None)
        allowed = max(THREADS_PER_PROCESSOR * processors, getattr(owners, name, None) or 0)
        if asked is not None and asked > allowed:
            raise OptionError(
                f"{type(runtime).__name__}.{name} must be at most {allowed} on this target "
                f"({THREADS_PER_PROCESSOR} for each of the {processors} processors that it may "
                f"use), got {asked}."
            )
