"""The times of single operators: what a runtime tells of them, on the wire and in a record.

Nothing here imports numpy, since the modules of runtimes do not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Length = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


def _about(text: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, **limits)


class OperatorTime(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of the graph that really ran, and how long an inference spent in it."""

    place: Annotated[int, _about("In the order in which they ran, from 0", ge=0, lt=1 << 31)]
    type: Annotated[str, _about("What it computes, in the runtime's own words: Conv, CONV_2D")]
    name: Annotated[str, _about("What the graph calls it; empty where it has no name")] = ""
    time_ns: Annotated[
        int, _about("Of one inference, as `statistic` says [ns]", ge=0, le=(1 << 63) - 1)
    ]
    shapes: Annotated[
        list[list[Length]] | None,
        _about("Of its outputs; null where the runtime does not tell"),
    ] = None
    dtypes: Annotated[
        list[str] | None, _about("Of its outputs; null where the runtime does not tell")
    ] = None
    delegate: Annotated[
        str | None,
        _about("What ran it: execution provider, delegate, device, kernel; null if unknown"),
    ] = None
    fused: Annotated[
        list[str],
        _about("Operators of the model's file that were made into this one, where that is told"),
    ] = []


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Time per operator, of a run of its own that has no part in any other figure."""

    tool: Annotated[str, _about("What measured the times")]
    operators: Annotated[list[OperatorTime], _about("Empty where the times are not available")] = []
    inferences: Annotated[int, _about("From how many each time was computed", ge=0)] = 0
    statistic: Annotated[
        Literal["median", "mean", "first decile"],
        _about("Of the times of one operator over the inferences"),
    ] = "median"
    differences: Annotated[
        bool,
        _about(
            "Whether a time is the difference between two beginnings of the graph, with and "
            "without the operator, and nothing that was measured by itself"
        ),
    ] = False
    resolution_ns: Annotated[
        int, _about("The smallest step that a time can have [ns]", ge=1, le=1_000_000_000)
    ] = 1
    whole_ns: Annotated[
        Length | None,
        _about("Of a whole inference of this run, where the tool tells; longer than a timed one"),
    ] = None
    unavailable: Annotated[str, _about("Why there are no times; empty where there are")] = ""
    remarks: Annotated[list[str], _about("What changes the meaning of the times, in words")] = []

    @property
    def total_ns(self) -> int:
        """Sum of the times of all operators; their shares are of it [ns]."""
        return sum(one.time_ns for one in self.operators)

    @property
    def words(self) -> str:
        """What must be known to read the times, in sentences."""
        parts = [
            f"Told by {self.tool}.",
            "Profiled in a run of its own: times of a profiled run are longer than timed ones, "
            "shares count.",
            f"Each time is the {self.statistic} of {self.inferences:,} inferences"
            + (f", in steps of {self.resolution_ns:,} ns." if self.resolution_ns > 1 else "."),
        ]
        if self.differences:
            parts.append(
                "It is a difference: how much longer the graph takes up to and with this operator "
                "than without it."
            )
        return " ".join([*parts, *self.remarks])

    def share(self, operator: OperatorTime) -> float:
        """Return the part of an operator in all of them, 0 where none took any time."""
        return operator.time_ns / self.total_ns if self.total_ns else 0.0
