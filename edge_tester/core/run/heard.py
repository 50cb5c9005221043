"""What a target says is checked when it is heard: it may be anybody's, and wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

import edge_tester
from edge_tester.core.errors import RecordError, RemoteProtocolError
from edge_tester.core.record import Machine, require_encodable
from edge_tester.core.results.profile import OperatorTime, Profile
from edge_tester.core.system.text import printable
from edge_tester.core.wire.client import BlockAnswer
from edge_tester.core.wire.payloads import Counters, Welcome

# Of a name or a reason that a target gives.
_NAME_LENGTH, _REASON_LENGTH = 300, 1000
# No clock of a target runs twice as fast as this one; what is short is let pass.
_FASTEST_CLOCK = 2
_SLACK_NS = 1_000_000_000
# Names of processors and kernels are long.
_FACT_CHARACTERS = 200


def machine_of(welcome: Welcome) -> Machine:
    """Return the target's machine.

    Raises
    ------
    RemoteProtocolError
        It is described otherwise than a machine is.
    """
    try:
        machine = msgspec.convert(welcome.machine, Machine)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError(f"The target describes its machine wrongly: {error}.") from error
    if not all(map(math.isfinite, machine.load_average or [])):
        raise RemoteProtocolError(
            f"The target describes its machine wrongly: its load is {machine.load_average}."
        )
    # Texts of others reach terminals and reports.
    texts = {
        name: printable(value, _FACT_CHARACTERS)
        for name, value in msgspec.structs.asdict(machine).items()
        if isinstance(value, str)
    }
    versions = {printable(name): printable(version) for name, version in machine.versions.items()}
    return msgspec.structs.replace(machine, **texts, versions=versions)


def version_remarks(welcome: Welcome) -> list[str]:
    """Say if the target has another version of this package."""
    if welcome.version == edge_tester.__version__:
        return []
    return [
        f"The target has edge_tester {printable(welcome.version)}, this host "
        f"{edge_tester.__version__}: they may measure differently."
    ]


def plain(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts or options of a target as a record can keep them.

    Raises
    ------
    RemoteProtocolError
        It cannot.
    """
    try:
        require_encodable(**{what: values})
    except RecordError as error:
        raise RemoteProtocolError(f"The target said what nobody can record. {error}") from error
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return found


def remarks_in(facts: dict[str, Any]) -> list[str]:
    """Take the remarks out of the facts of a runtime.

    Raises
    ------
    RemoteProtocolError
        They are no texts.
    """
    remarks = facts.pop("remarks", [])
    if not isinstance(remarks, list) or not all(isinstance(one, str) for one in remarks):
        raise RemoteProtocolError(f"The remarks of a runtime must be texts, got {remarks!r}.")
    return remarks


def require_growth(counters: Counters, before: Counters | None) -> None:
    """See whether the counters of a target grow, and meters read numbers.

    Raises
    ------
    RemoteProtocolError
    """
    for name in ("inferences", "cpu_time_ns"):
        value, earlier = getattr(counters, name), getattr(before, name, None)
        if value is not None and earlier is not None and value < earlier:
            raise RemoteProtocolError(
                f"A counter of the target, {name}, went from {earlier} back to {value}."
            )
    for name, reading in [*counters.readings.items(), *counters.idle_w.items()]:
        if not math.isfinite(reading):
            raise RemoteProtocolError(f"A meter of the target reads {name} = {reading}.")


def require_answer(answer: BlockAnswer, count: int, arrivals_ns: Sequence[int] = ()) -> None:
    """See whether a block has an output and a time for each of its inferences.

    Parameters
    ----------
    answer : BlockAnswer
    count : int
        Inferences that were asked for.
    arrivals_ns : sequence of int
        When each was to begin at the earliest, from the block's begin on [ns]; empty where each
        was to follow the one before.

    Raises
    ------
    RemoteProtocolError
        Some are missing; or times are negative, in disorder, or longer than the host waited; or
        one began before its arrival.
    """
    start_ns, end_ns = answer.start_ns, answer.end_ns
    if not len(start_ns) == len(end_ns) == len(answer.outputs) == count:
        raise RemoteProtocolError(
            f"The target was asked for {count} inferences, it gives {len(start_ns)} starts, "
            f"{len(end_ns)} ends and {len(answer.outputs)} outputs."
        )
    backwards = any(end < start for start, end in zip(start_ns, end_ns, strict=True))
    if backwards or list(start_ns) != sorted(start_ns):
        raise RemoteProtocolError(
            f"The target's clock goes backwards: inferences from {start_ns[:3]} to {end_ns[:3]} ns."
        )
    if answer.begin_ns > start_ns[0]:
        raise RemoteProtocolError(
            f"The target says that a block began at {answer.begin_ns} ns, and its first inference "
            f"at {start_ns[0]} ns."
        )
    for number, arrival_ns in enumerate(arrivals_ns):
        if start_ns[number] - answer.begin_ns < arrival_ns:
            raise RemoteProtocolError(
                f"Inference {number} of a block arrives after {arrival_ns} ns, the target says "
                f"that it began after {start_ns[number] - answer.begin_ns} ns."
            )
    ran_ns, waited_ns = sum(end_ns) - sum(start_ns), sum(answer.host_ns)
    # Where the host hears of each start, it may hear of it late.
    if len(answer.host_ns) == 1 and ran_ns > _FASTEST_CLOCK * waited_ns + _SLACK_NS:
        raise RemoteProtocolError(
            f"The target says that {count} inferences took {ran_ns} ns, but answered within "
            f"{waited_ns} ns."
        )


def profile_in(profile: Profile) -> Profile:
    """Return the times of operators as a record can keep them.

    Parameters
    ----------
    profile : Profile
        Its numbers have the limits of their fields already.

    Raises
    ------
    RemoteProtocolError
        There are neither times nor a reason, or both; places are not 0, 1, 2 and so on; or a sum
        of times cannot be.
    """
    operators = profile.operators
    if bool(operators) == bool(profile.unavailable):
        raise RemoteProtocolError(
            f"The target tells of {len(operators)} operators, and why there are none: "
            f"{profile.unavailable!r:.99}."
        )
    if [one.place for one in operators] != list(range(len(operators))):
        raise RemoteProtocolError(
            "The places of a target's operators must be 0, 1, 2 and so on, got "
            f"{[one.place for one in operators[:5]]}."
        )
    if operators and not profile.inferences:
        raise RemoteProtocolError("The target tells the times of operators over no inference.")
    if operators and not profile.total_ns:
        raise RemoteProtocolError(
            f"The target says that none of {len(operators)} operators took any time."
        )
    if profile.total_ns >= 1 << 63:
        raise RemoteProtocolError(f"An inference of the target took {profile.total_ns} ns.")
    return msgspec.structs.replace(
        profile,
        tool=printable(profile.tool, _NAME_LENGTH),
        unavailable=printable(profile.unavailable, _REASON_LENGTH),
        remarks=[printable(text, _REASON_LENGTH) for text in profile.remarks],
        operators=[_operator(one) for one in operators],
    )


def _operator(one: OperatorTime) -> OperatorTime:
    return msgspec.structs.replace(
        one,
        type=printable(one.type, _NAME_LENGTH),
        name=printable(one.name, _NAME_LENGTH),
        dtypes=one.dtypes and [printable(dtype, _NAME_LENGTH) for dtype in one.dtypes],
        delegate=None if one.delegate is None else printable(one.delegate, _NAME_LENGTH),
        fused=[printable(name, _NAME_LENGTH) for name in one.fused],
    )
