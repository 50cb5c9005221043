"""What is known of each candidate, from run records, the validation and results by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from edge_tester.core.checking.validation import Conversion, Validation
from edge_tester.core.pipeline.decision import Candidate
from edge_tester.core.pipeline.handmade import ByHand
from edge_tester.core.record import RunRecord
from edge_tester.core.results.energy import energies_of
from edge_tester.core.results.known import Known, known_of
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.values import percentile_value

_MIB = 1 << 20


def candidate_of(
    name: str,
    record: RunRecord | None,
    conversion: Conversion | None,
    *,
    framework: bool,
    on_device: bool,
    cost: float | None,
) -> Candidate:
    """Return what a run record and a validation say of a candidate.

    Parameters
    ----------
    name : str
    record : RunRecord or None
        None where nothing was measured.
    conversion : Conversion or None
        None for the source itself.
    framework : bool
        Whether the model's own framework runs it.
    on_device : bool
        Whether the record is of the device.
    cost : float or None
        Of putting it into the product.
    """
    figures: dict[str, Known] = {}
    accuracy = None
    if record is not None:
        values = measure_all(record)
        latencies = [np.array(one.target_ns) for one in record.replicates]
        figures = {
            "latency_p50_ms": known_of(values["p50"], 1e6),
            "latency_p95_ms": known_of(percentile_value(latencies, 0.95), 1e6),
            "memory_mib": known_of(values["peak"], _MIB),
            "size_mib": known_of(values["size"], _MIB),
            "power_w": _power(record),
        }
        accuracy = record.quality.accuracy
    figures["quality_loss_points"] = _loss(conversion)
    if cost is not None:
        figures["cost"] = Known(number=cost)
    else:
        figures["cost"] = Known(why="nobody said what it costs")
    return Candidate(
        name=name,
        framework=framework,
        agrees="source" if conversion is None else conversion.verdict,
        figures=figures,
        accuracy=accuracy,
        measured_on=record.target.hostname if record is not None else "",
        on_device=on_device,
        simulated=conversion is not None and conversion.simulated and not on_device,
    )


def with_results_by_hand(
    candidates: Sequence[Candidate], results: Sequence[ByHand]
) -> tuple[list[Candidate], list[str]]:
    """Return candidates with what was measured by hand, and which results are of none of them.

    What was measured on the device stands in place of what was measured elsewhere.
    """
    found = {one.name: one for one in candidates}
    strange = []
    for one in results:
        if one.candidate not in found:
            strange.append(f"{one.source}: there is no candidate {one.candidate!r}.")
            continue
        before = found[one.candidate]
        # What was measured elsewhere says nothing of the device where that was measured.
        kept = {
            name: known
            for name, known in before.figures.items()
            if before.on_device or name in ("size_mib", "quality_loss_points", "cost")
        }
        found[one.candidate] = msgspec.structs.replace(
            before,
            figures={**kept, **one.figures},
            accuracy=before.accuracy if one.accuracy is None else one.accuracy,
            measured_on=one.device,
            on_device=True,
            simulated=False,
        )
    return list(found.values()), strange


def conversions_by_name(validation: Validation | None) -> Mapping[str, Conversion]:
    """Return the conversions of a validation by their names."""
    return {one.name: one for one in validation.conversions} if validation else {}


def _power(record: RunRecord) -> Known:
    """Return the mean power while it infers, from the first meter that all replicates have."""
    energies = energies_of(record.replicates)
    if not energies:
        return Known(why="no meter reads it on this machine")
    first = energies[0]
    if first.coarse:
        return Known(why=first.coarse)
    low, high = first.power_interval_w or (first.power_w, first.power_w)
    single = "" if first.power_interval_w else ", of one process"
    return Known(
        number=first.power_w,
        low=min(low, first.power_w),
        high=max(high, first.power_w),
        why=f"of {first.name} alone{single}",
    )


def _loss(conversion: Conversion | None) -> Known:
    if conversion is None:
        return Known(number=0.0)
    answers = conversion.answers
    if answers is None:
        return Known(why="nothing is classified")
    return Known(
        number=100 * answers.loss, low=100 * answers.least_loss, high=100 * answers.largest_loss
    )
