"""Whether a new run may take the place of an old one: shown, ruled out, or not to be told."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_tester.core.errors import RecordError
from edge_tester.core.record import RunRecord
from edge_tester.core.results.verdicts import compared
from edge_tester.core.statistics.comparing import Comparison
from edge_tester.core.statistics.paired import PairedAnswers

State = Literal["passed", "regression", "unknown"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a gate, and its answer.

    Attributes
    ----------
    what : str
        Such as ``Latency``.
    allowed, found : str
        For readers.
    state : str
        ``passed``: that it is worse than allowed is ruled out at 95 %. ``regression``: it is shown
        at 95 %. ``unknown``: neither.
    needs : str
        What it takes to know; empty where it is known.
    """

    what: str
    allowed: str
    found: str
    state: State
    needs: str = ""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """All answers."""

    baseline: str
    candidate: str
    checks: list[Check]

    @property
    def state(self) -> State:
        """The worst of all answers."""
        states = [one.state for one in self.checks]
        return next((s for s in ("regression", "unknown") if s in states), "passed")

    def markdown(self) -> str:
        """Return a short summary, such as for a pull request."""
        words = {
            "passed": "No regression",
            "regression": "Regression",
            "unknown": "Not known whether there is a regression",
        }
        lines = [
            f"**{words[self.state]}**: `{self.candidate}` compared with `{self.baseline}`",
            "",
            "| | Allowed | Found (95 %) | |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {one.what} | {one.allowed} | {one.found} | {one.state} |" for one in self.checks
        ]
        needs = [one.needs for one in self.checks if one.needs]
        return "\n".join([*lines, *([""] if needs else []), *needs])


def gate_of(
    baseline: RunRecord,
    candidate: RunRecord,
    *,
    max_slowdown: float,
    max_accuracy_loss: float | None,
) -> Gate:
    """Ask whether a run is worse than another by more than is allowed.

    Parameters
    ----------
    baseline, candidate : RunRecord
    max_slowdown : float
        Of the median latency, relative, such as 0.03.
    max_accuracy_loss : float or None
        From 0 to 1, such as 0.005 for half a point; None asks nothing.

    Raises
    ------
    RecordError
        The accuracies cannot be compared sample by sample.
    """
    names = [baseline.name, candidate.name]
    if names[0] == names[1]:
        names = [f"{names[0]} (baseline)", f"{names[1]} (candidate)"]
    (found,) = compared([baseline, candidate], names, 0, max_slowdown)
    checks = [_latency(found.latency, found.lacking, max_slowdown)]
    if max_accuracy_loss is not None:
        if found.answers is None:
            raise RecordError(
                "The accuracies cannot be compared: nothing shows that both runs answered about "
                "the same samples with classes."
            )
        checks.append(_accuracy(found.answers, max_accuracy_loss))
    return Gate(baseline=names[0], candidate=names[1], checks=checks)


def _latency(comparison: Comparison | None, lacking: str, allowed: float) -> Check:
    limit = f"at most {100 * allowed:g} % slower"
    if comparison is None:
        return Check(what="Latency p50", allowed=limit, found="-", state="unknown", needs=lacking)
    low, high = comparison.one_sided()
    state = _state(low - 1, high - 1, allowed)
    needs = ""
    if state == "unknown":
        needs = "Latency: " + (
            "more replicates of both would tell."
            if comparison.more is None
            else f"about {comparison.more:,} more replicates of both would tell."
        )
    found = f"{_signed(low - 1)} to {_signed(high - 1)} %"
    return Check(what="Latency p50", allowed=limit, found=found, state=state, needs=needs)


def _accuracy(answers: PairedAnswers, allowed: float) -> Check:
    low, high = answers.least_loss, answers.largest_loss
    state = _state(low, high, allowed)
    return Check(
        what="Accuracy",
        allowed=f"at most {100 * allowed:g} points less",
        found=f"{answers.now_right:,} now right, {answers.now_wrong:,} now wrong of "
        f"{answers.samples:,}; a loss of more than {100 * high:.2f} points is ruled out",
        state=state,
        needs="Accuracy: more samples would tell." if state == "unknown" else "",
    )


def _state(low: float, high: float, allowed: float) -> State:
    if high <= allowed:
        return "passed"
    return "regression" if low > allowed else "unknown"


def _signed(change: float) -> str:
    return f"{100 * change:+.2f}"
