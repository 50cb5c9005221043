"""Time per operator: asked for after all that is timed, of a fresh process of the target."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from edge_tester.core.results.profile import Profile
from edge_tester.core.run import heard
from edge_tester.core.run.batches import Batch
from edge_tester.core.run.deployment import Deployment
from edge_tester.core.run.feed import Feed
from edge_tester.core.wire.profiling import profiled

# Inferences that times are computed from: as many as fit into this, but enough for a median.
_LASTING_NS = 1_000_000_000
_LEAST, _MOST = 5, 100


def profile_of(
    deployment: Deployment, feed: Feed, inference_ns: float, tell: Callable[[str], None]
) -> Profile:
    """Have a model that was deployed for this alone tell the time of its operators.

    Parameters
    ----------
    deployment : Deployment
        Of a fresh process, in which nothing is timed.
    feed : Feed
        Whose first samples are run.
    inference_ns : float
        About how long an inference takes.
    tell : callable
        Hears what is done.

    Raises
    ------
    EdgeTesterError
        The runtime failed, or what it says cannot be.
    """
    count = int(min(_MOST, max(_LEAST, _LASTING_NS / inference_ns))) if inference_ns > 0 else _LEAST
    tell("Profiling the operators, in a run of its own")
    return heard.profile_in(profiled(deployment.client, _first(feed).tensors, count))


def _first(feed: Feed) -> Batch:
    with contextlib.closing(feed.batches(feed.indices[: feed.size], again=True)) as batches:
        return next(batches)
