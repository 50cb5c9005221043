"""Which candidate to deploy: thresholds, what is known of each, and the rule that decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from edge_tester.core.results.known import Known

State = Literal["met", "exceeded", "unknown"]
Confidence = Literal["high", "medium", "low"]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a candidate may need at most; None asks nothing.

    Attributes
    ----------
    latency_p50_ms, latency_p95_ms : float or None
    power_w : float or None
        Mean while it infers.
    memory_mib, size_mib : float or None
        Peak memory of the process; the model file.
    quality_loss_points : float or None
        Accuracy lost against the source, in percentage points.
    cost : float or None
        Of putting it into the product, in whatever unit ``costs`` are given.
    """

    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    power_w: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    quality_loss_points: float | None = None
    cost: float | None = None


TITLES = {
    "latency_p50_ms": "latency p50 (ms)",
    "latency_p95_ms": "latency p95 (ms)",
    "power_w": "power (W)",
    "memory_mib": "memory (MiB)",
    "size_mib": "size (MiB)",
    "quality_loss_points": "quality loss (points)",
    "cost": "cost",
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could be deployed.

    Attributes
    ----------
    name : str
    framework : bool
        Whether it is the framework itself that runs on the device, not a conversion.
    agrees : str
        Verdict on its answers: ``alike``, ``differs`` or ``unknown``; ``source`` for the source.
    figures : dict of str to Known
        By the names of :class:`Thresholds`.
    accuracy : float or None
        0 to 1.
    measured_on : str
        The machine; empty if nothing was measured.
    on_device : bool
        Whether that is the device, not the machine that made the conversion.
    simulated : bool
        Whether its times say nothing of a device.
    """

    name: str
    framework: bool
    agrees: str
    figures: dict[str, Known]
    accuracy: float | None = None
    measured_on: str = ""
    on_device: bool = False
    simulated: bool = False


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate beside the thresholds.

    Attributes
    ----------
    name : str
    states : dict of str to str
        Of each threshold that was given: ``met``, ``exceeded`` or ``unknown``.
    fit : str
        ``met`` if all are, ``exceeded`` if one is shown to be, else ``unknown``.
    reasons : list of str
        Why it is out, or what is not known.
    edge_score : float or None
        Accuracy over latency times power [1/J], the informal figure; None where one of them is
        not known.
    """

    name: str
    states: dict[str, State]
    fit: State
    reasons: list[str]
    edge_score: float | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to deploy.

    Attributes
    ----------
    recommended : str or None
        Name of the candidate.
    rule : str
        Which rule fired, in a sentence.
    sentence : str
        The decision for whoever reads nothing else.
    confidence : str
        ``high``, ``medium`` or ``low``.
    unknown : list of str
        What is not known and lowers the confidence, in sentences.
    judged : list of Judged
        All candidates.
    """

    recommended: str | None
    rule: str
    sentence: str
    confidence: Confidence
    unknown: list[str]
    judged: list[Judged]


def decide(candidates: Sequence[Candidate], thresholds: Thresholds) -> Decision:
    """Decide which candidate to deploy, by rules that are tried in their order.

    A candidate is out if its answers differ, if its times are simulated, if nothing was measured
    of it, or if a threshold is shown to be exceeded: its whole interval is above. Of those that
    are left, those that are shown to meet every threshold come first; then the framework itself,
    which costs nothing to convert; then the lowest cost, where costs are known; then the lowest
    latency.

    Parameters
    ----------
    candidates : sequence of Candidate
    thresholds : Thresholds
    """
    asked = {k: v for k, v in msgspec.structs.asdict(thresholds).items() if v is not None}
    judged = {one.name: _judged(one, asked) for one in candidates}
    left = [one for one in candidates if judged[one.name].fit != "exceeded"]
    found = list(judged.values())
    if not left:
        return Decision(
            recommended=None,
            rule="Nothing is left: every candidate differs, is simulated, was not measured, or "
            "exceeds a threshold.",
            sentence="Deploy none of them: no candidate can meet the thresholds."
            if any(one.measured_on for one in candidates)
            else "There is no candidate: nothing could be measured.",
            confidence=_confidence(_unknown(candidates, judged, asked)),
            unknown=_unknown(candidates, judged, asked),
            judged=found,
        )
    shown = [one for one in left if judged[one.name].fit == "met"]
    pool = shown or left
    frameworks = [one for one in pool if one.framework]
    chosen, rule = _preferred(frameworks or pool)
    rule = f"{_reason(bool(frameworks), bool(shown), bool(asked))} {rule}"
    unknown = _unknown([chosen], judged, asked)
    what = "Run the framework itself on the device" if chosen.framework else "Deploy the conversion"
    sure = "" if shown else ", provisionally"
    return Decision(
        recommended=chosen.name,
        rule=rule.strip(),
        sentence=f"{what}{sure}: {chosen.name}.",
        confidence=_confidence(unknown),
        unknown=unknown,
        judged=found,
    )


def _reason(framework: bool, shown: bool, asked: bool) -> str:
    """Return why the choice is among frameworks, or among conversions."""
    if not asked:
        first = "No threshold was given. "
        return first + ("The framework itself costs no conversion." if framework else "").strip()
    if framework and shown:
        return "The framework itself meets every threshold, and costs no conversion."
    if framework:
        return "Nothing is shown to meet every threshold, and nothing against the framework."
    if shown:
        return "The framework itself is not shown to meet every threshold; this conversion is."
    return "Nothing is shown to meet every threshold; this is not shown to exceed one."


def _judged(one: Candidate, asked: dict[str, float]) -> Judged:
    states: dict[str, State] = {}
    reasons = []
    for name, limit in asked.items():
        known = one.figures.get(name, Known())
        states[name] = _state(known, limit)
        if states[name] == "exceeded":
            reasons.append(f"{TITLES[name]} is {_told(known)}, above {limit:g}")
        elif states[name] == "unknown":
            why = known.why or (
                "not measured" if known.number is None else f"{_told(known)}, around {limit:g}"
            )
            reasons.append(f"{TITLES[name]}: {why}")
    fit: State = "met"
    if one.agrees == "differs":
        fit, reasons = "exceeded", ["its answers differ from the source's", *reasons]
    elif not one.measured_on:
        fit, reasons = "exceeded", ["nothing was measured of it", *reasons]
    elif one.simulated:
        fit, reasons = "exceeded", ["no device ran it, its times are simulated", *reasons]
    elif "exceeded" in states.values():
        fit = "exceeded"
    elif "unknown" in states.values():
        fit = "unknown"
    return Judged(
        name=one.name, states=states, fit=fit, reasons=reasons, edge_score=edge_score(one)
    )


def _state(known: Known, limit: float) -> State:
    if known.number is None:
        return "unknown"
    low = known.number if known.low is None else known.low
    high = known.number if known.high is None else known.high
    if high <= limit:
        return "met"
    return "exceeded" if low > limit else "unknown"


def _told(known: Known) -> str:
    if known.number is None:
        return "not known"
    if known.low is None or known.high is None or known.low == known.high:
        return f"{known.number:.4g}"
    return f"{known.low:.4g} to {known.high:.4g}"


def _preferred(pool: Sequence[Candidate]) -> tuple[Candidate, str]:
    """Return the one that is preferred among equals, and by what."""
    if len(pool) == 1:
        return pool[0], ""
    costs = [_number(one, "cost") for one in pool]
    known = [cost for cost in costs if cost is not None]
    if len(known) == len(pool) and min(known) < max(known):
        cheapest = [one for one in pool if _number(one, "cost") == min(known)]
        if len(cheapest) == 1:
            return cheapest[0], f"Of {len(pool)} such candidates it has the lowest cost."
        pool = cheapest
    timed = [one for one in pool if _number(one, "latency_p50_ms") is not None]
    if not timed:
        return pool[0], f"Nothing tells {len(pool)} such candidates apart; it is the first."
    fastest = min(timed, key=lambda one: _number(one, "latency_p50_ms") or 0.0)
    rivals = [one.name for one in timed if one is not fastest and _overlap(one, fastest)]
    rule = f"Of {len(pool)} such candidates it has the lowest median latency."
    if rivals:
        rule += f" That it is faster than {', '.join(rivals)} is not shown."
    return fastest, rule


def _overlap(one: Candidate, other: Candidate) -> bool:
    mine, theirs = (each.figures["latency_p50_ms"] for each in (one, other))
    if mine.low is None or theirs.high is None:
        return True
    return mine.low <= theirs.high


def _number(one: Candidate, name: str) -> float | None:
    return one.figures.get(name, Known()).number


def edge_score(one: Candidate) -> float | None:
    """Return accuracy / (latency [s] x power [W]), None where one of them is not known."""
    latency_ms, power_w = _number(one, "latency_p50_ms"), _number(one, "power_w")
    if one.accuracy is None or not latency_ms or not power_w or one.simulated:
        return None
    return one.accuracy / (latency_ms / 1e3 * power_w)


def _unknown(
    chosen: Iterable[Candidate], judged: dict[str, Judged], asked: dict[str, float]
) -> list[str]:
    """Return what is not known of candidates, in sentences."""
    found: list[str] = []
    if not asked:
        found.append("No threshold was given, so that nothing says what is good enough.")
    for one in chosen:
        if not one.on_device:
            found.append(
                f"{one.name} was measured on {one.measured_on}, not on the device."
                if one.measured_on
                else f"{one.name} was not measured."
            )
        if one.agrees == "unknown":
            found.append(f"The samples do not tell whether {one.name} answers as the source does.")
        states = judged[one.name].states
        lacking = [TITLES[name] for name, state in states.items() if state == "unknown"]
        if lacking:
            found.append(f"Not known of {one.name}: {', '.join(lacking)}.")
        for name, state in states.items():
            doubt = one.figures.get(name, Known()).why
            if state != "unknown" and doubt:
                found.append(f"The {TITLES[name]} of {one.name} is {doubt}.")
    return list(dict.fromkeys(found))


def _confidence(unknown: Sequence[str]) -> Confidence:
    if not unknown:
        return "high"
    return "medium" if len(unknown) == 1 else "low"
