"""Compare each record with one of them: factors, and answers to the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint
from edge_tester.core.record import Component, RunRecord
from edge_tester.core.results.measures import Value
from edge_tester.core.results.words import ratio

FACTORS: Final = ("p50", "size", "peak")
"""Keys of the measures of which a factor is told."""

# What a data set does to its samples; all its other options may choose other samples.
_PREPARATION = {
    "inference_batch_size",
    "limit",
    "image_size",
    "preprocessing",
    "resize",
    "interpolation",
    "antialias",
    "shorter_side",
    "crop_fraction",
    "channel_order",
    "pixel_scale",
    "pixel_mean",
    "pixel_std",
    "pixel_range",
    "background",
    "apply_exif_orientation",
}


def position_of(baseline: str | None, labels: Sequence[str], stems: Sequence[str]) -> int:
    """Return the position of the record that is named, the first if none is.

    Parameters
    ----------
    baseline : str, optional
    labels : sequence of str
        Names of the records.
    stems : sequence of str
        Names of their files without suffix; empty where they have none.

    Raises
    ------
    OptionError
        No record, or more than one, has this name.
    """
    if baseline is None:
        return 0
    for names in (labels, stems):
        if names.count(baseline) == 1:
            return names.index(baseline)
    if baseline in stems:
        raise OptionError(f"--baseline {baseline!r} is the name of several files of records.")
    raise OptionError(
        f"--baseline must be the name of one of the records ({', '.join(labels)}), "
        f"got {baseline!r}{hint(baseline, labels)}"
    )


def factor(value: Value | None, baseline: Value | None) -> str:
    """Return how many times the baseline's number a number is, empty where that is unknown."""
    if value is None or baseline is None or value.number is None or not baseline.number:
        return ""
    return ratio(value.number / baseline.number)


def agreement(record: RunRecord, baseline: RunRecord) -> tuple[int, int] | None:
    """Return how many samples got the same answer, of how many that both answered about.

    Returns
    -------
    (int, int) or None
        None if nothing shows that these are the same samples, or if answers are
        no classes: two real numbers are never quite the same.

    Notes
    -----
    Samples are the same if the data set has the same class and options (but for
    what it does to the samples), and index and truth of all that both have are equal.
    A sample without an answer of one of them got no same answer.
    """
    if {record.quality.task, baseline.quality.task} != {"classification"}:
        return None
    if _data_of(record) is None or _data_of(record) != _data_of(baseline):
        return None
    ours, theirs = _answers(record), _answers(baseline)
    shared = ours.keys() & theirs.keys()
    if not shared or any(ours[index][0] != theirs[index][0] for index in shared):
        return None
    same = sum(ours[i][1] is not None and ours[i][1] == theirs[i][1] for i in shared)
    return same, len(shared)


def _data_of(record: RunRecord) -> tuple[str, dict[str, Any]] | None:
    parts = [part for part in record.components if part.role == "dataset"]
    return _identity(parts[0]) if len(parts) == 1 else None


def _identity(part: Component) -> tuple[str, dict[str, Any]]:
    kept = {name: value for name, value in part.options.items() if name not in _PREPARATION}
    return part.name, kept


def _answers(record: RunRecord) -> dict[int, tuple[Any, Any]]:
    """Return truth and answer by index; of a sample that came several times, the last."""
    kept = record.predictions
    if kept.truth is None:
        return {}
    pairs = zip(kept.truth, kept.predicted, strict=False)
    return dict(zip(kept.index, pairs, strict=False))
