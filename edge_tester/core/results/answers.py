"""Answers of two runs to the same samples."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_tester.core.record import Component, RunRecord

# What a data set does to its samples; all its other options may choose other samples.
_PREPARATION = {
    "inference_batch_size",
    "limit",
    "min_calibration",
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


class Answer(NamedTuple):
    """What two runs said of one sample.

    Attributes
    ----------
    truth, ours, theirs : int or None
        Class indices; None is no answer.
    """

    truth: Any
    ours: Any
    theirs: Any


def shared_answers(record: RunRecord, baseline: RunRecord) -> list[Answer] | None:
    """Return the answers of two runs to the samples that both answered about.

    Returns
    -------
    list of Answer, or None
        None if nothing shows that these are the same samples, or if answers are
        no classes: two real numbers are never quite the same.

    Notes
    -----
    Samples are the same if the data set has the same class and options (but for
    what it does to the samples), and index and truth of all that both have are equal.
    """
    if {record.quality.task, baseline.quality.task} != {"classification"}:
        return None
    if _data_of(record) is None or _data_of(record) != _data_of(baseline):
        return None
    ours, theirs = _answers(record), _answers(baseline)
    shared = [index for index in ours if index in theirs]
    if not shared or any(ours[index][0] != theirs[index][0] for index in shared):
        return None
    return [Answer(ours[index][0], ours[index][1], theirs[index][1]) for index in shared]


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
