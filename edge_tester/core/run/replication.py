"""How replicates share the samples: fresh processes, each with its own part of them."""

from __future__ import annotations

import contextlib
import math
import time

from edge_tester.core.results.words import plural
from edge_tester.core.run.batches import Batch
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.measuring import Share
from edge_tester.core.run.plan import Measurement
from edge_tester.core.statistics.sequential import precise_enough, replicates_needed
from edge_tester.core.tensors import Array

REPLICATES = 5
"""Replicates where nobody says how many: with fewer, intervals are wide."""
# Below it, a median says little of its process.
_LEAST_INFERENCES = 10
# Loads may take this part of what the samples take, or this long where they take little.
_LOAD_SHARE, _LOADS_S = 0.1, 5.0
# What an inference costs beside its own time, over a link.
_OVERHEAD_NS = 60_000


class Replication:
    """Decides, before each replicate, what it runs.

    Parameters
    ----------
    measurement : Measurement
    feed : Feed
    stateful : bool
        Whether the model keeps a state: then its samples are not divided.
    single : bool
        Whether there is no fresh process to be had.

    Attributes
    ----------
    done : int
        Replicates that have begun.
    remark : str or None
        Why there are fewer than usual, or whether the precision was reached.
    """

    def __init__(
        self, measurement: Measurement, feed: Feed, *, stateful: bool, single: bool
    ) -> None:
        self.done = 0
        self.remark: str | None = None
        self._measurement = measurement
        self._feed = feed
        self._stateful = stateful
        self._chosen = measurement.replicates is not None
        self._count = measurement.replicates or REPLICATES
        self._own_left = feed.indices
        self._inferences = max(feed.inferences(feed.indices), measurement.min_count)
        self._duration_ns = math.ceil(measurement.min_duration_s * 1e9)
        if single:
            self._count = 1
        elif not self._chosen:
            self._settle_by_samples()
        if stateful:
            self._inferences *= self._count
        self._medians_ns: list[float] = []
        self._begun_s = time.monotonic()
        self._further = Share(feed.indices[:0])
        self._running: Share | None = None

    @property
    def more(self) -> bool:
        """Whether another replicate is to come."""
        return self.done < self._count or self._reaches_on()

    def heard(self, median_ns: float) -> str | None:
        """Take the median latency of a replicate; say it if many more are to come."""
        self._medians_ns.append(median_ns)
        self._running = None
        wanted = self._measurement.precision
        if wanted is None or self.done < self._count:
            return None
        if not self._reaches_on():
            reached = precise_enough(self._medians_ns, wanted / 100)
            self.remark = (
                f"Measured until the median latency was known to {wanted:g} %: "
                f"{plural(self.done, 'replicate')}."
                if reached
                else f"After {self._measurement.max_duration_s:g} s and "
                f"{plural(self.done, 'replicate')} the median latency is not known to {wanted:g} "
                "%: --max-duration-s gives it longer."
            )
        elif self.done == self._count:
            needed = replicates_needed(self._medians_ns, wanted / 100)
            about = f"about {needed - self.done:,}" if needed else "very many"
            return f"Known to {wanted:g} % takes {about} more replicates"
        return None

    def first(self) -> Batch:
        """Return what the replicate that now begins runs first."""
        own = self._own_left[: self._feed.size]
        again = not len(own)
        indices = self._feed.indices[: self._feed.size] if again else own
        with contextlib.closing(self._feed.batches(indices, again=again)) as batches:
            return next(batches)

    def next(self, inference_ns: int, load_s: float) -> Share:
        """Return what the replicate that now begins runs.

        Parameters
        ----------
        inference_ns : int
            About how long an inference takes.
        load_s : float
            How long a replicate took until then [s].
        """
        if self.done >= self._count:
            self.done += 1
            # What it would give back was taken from nothing.
            self._running = Share(self._feed.indices[:0])
            return self._further._replace(replicate=self.done - 1)
        self._settle_by_load(inference_ns, load_s)
        left = self._count - self.done
        share = Share(
            self._own(left),
            max(1, math.ceil(self._inferences / left)),
            math.ceil(self._duration_ns / left),
            self.done,
        )
        self.done += 1
        self._running = share
        self._further = share._replace(indices=self._feed.indices[:0])
        self._inferences -= share.inferences
        self._duration_ns -= share.duration_ns
        return share

    def repeat(self, answered: int) -> None:
        """Have the replicate that was begun last run again, without what it has answered.

        Parameters
        ----------
        answered : int
            Samples that were answered so far, by all replicates.
        """
        own = self._feed.indices[answered:]
        if self._running is not None:
            share, self._running = self._running, None
            before = len(own) - len(self._own_left)
            done = self._feed.inferences(share.indices[: len(share.indices) - before])
            left = max(0, share.inferences - done)
            self.done -= 1
            self._inferences += left
            self._duration_ns += share.duration_ns * left // max(1, share.inferences)
        self._own_left = own

    def _reaches_on(self) -> bool:
        measurement = self._measurement
        if measurement.precision is None or len(self._medians_ns) < self.done:
            return False
        if time.monotonic() - self._begun_s > measurement.max_duration_s:
            return False
        return not precise_enough(self._medians_ns, measurement.precision / 100)

    def _own(self, left: int) -> Array:
        """Return the samples of the next replicate, of which so many are left."""
        whole = self._feed.inferences(self._own_left)
        # A state begins anew: the first one answers all samples, the others run all of them again.
        inferences = whole if self._stateful else math.ceil(whole / left)
        count = inferences * self._feed.size
        own, self._own_left = self._own_left[:count], self._own_left[count:]
        return own

    def _settle_by_samples(self) -> None:
        if self._stateful:
            self._count = 1
            self._say("the model keeps a state, and its samples belong together")
            return
        most = max(1, self._inferences // _LEAST_INFERENCES)
        if not self._duration_ns and most < self._count:
            self._count = most
            self._say(f"there are {plural(self._inferences, 'inference')} to share")

    def _settle_by_load(self, inference_ns: int, load_s: float) -> None:
        further = self._count - 1 - self.done
        if self._chosen or not further:
            return
        expected_s = self._inferences * (inference_ns + _OVERHEAD_NS) / 1e9
        expected_s = max(expected_s, self._duration_ns / 1e9)
        affordable = int(max(_LOADS_S, further * _LOAD_SHARE * expected_s) / max(load_s, 1e-9))
        if affordable < further:
            self._count = self.done + 1 + affordable
            self._say(
                f"one takes {load_s:.1f} s until it begins, and all that is left about "
                f"{expected_s:.1f} s"
            )

    def _say(self, why: str) -> None:
        self.remark = (
            f"{plural(self._count, 'replicate')} instead of {REPLICATES}: {why}; "
            "--replicates N measures N."
        )
