"""What a plan asks of a runtime beyond running, and whether the runtime can do it."""

from __future__ import annotations

import contextlib

from edge_tester.core import registry
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.profiles import Profiles
from edge_tester.core.run.plan import Plan
from edge_tester.core.wire.payloads import Welcome
from edge_tester.core.wire.profiling import FEATURE


def require_profiles(plan: Plan) -> None:
    """See whether the runtime of a plan tells the time per operator, if that is wanted.

    Raises
    ------
    OptionError
        It does not; those that do are named.
    """
    if plan.measurement.profile and not isinstance(plan.runtime, Profiles):
        raise OptionError(
            f"{type(plan.runtime).__name__} cannot tell the time per operator; --profile works "
            f"with {', '.join(_names())}."
        )


def require_feature(plan: Plan, welcome: Welcome) -> None:
    """See whether the target tells the time per operator, if that is wanted.

    Raises
    ------
    OptionError
        It does not, although the runtime of this name does here.
    """
    if plan.measurement.profile and FEATURE not in welcome.features:
        raise OptionError(
            f"The target's {welcome.runtime} (edge_tester {welcome.version}) cannot tell the time "
            "per operator: run without --profile, or have a newer agent there."
        )


def _names() -> list[str]:
    found = []
    for name in registry.names("runtimes"):
        # Somebody's plugin that cannot be imported has no part in this.
        with contextlib.suppress(EdgeTesterError):
            if issubclass(registry.load("runtimes", name), Profiles):
                found.append(name)
    return found
