"""What the confusion matrix and the classes tell."""

from __future__ import annotations

import numpy as np

from edge_tester.core.figures import Quality
from edge_tester.core.record import RunRecord
from edge_tester.core.results.words import NOT_AVAILABLE
from edge_tester.core.tensors import Array
from edge_tester.report._details import Table


def mistake_table(record: RunRecord, limit: int) -> Table | None:
    """Return the most frequent mistakes, the most frequent first; None without any."""
    quality = record.quality
    counts: Array = np.array(quality.confusion_matrix or [], np.int64)
    if counts.size == 0:
        return None
    names = names_of(quality, record.class_names)
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:limit]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    rows = [
        [names[true], names[predicted], f"{counts[true, predicted]:,} of {support[true]:,}"]
        for true, predicted in pairs
        if counts[true, predicted]
    ]
    head = ["True class", "Predicted class", "Samples of the class"]
    return Table("Most frequent mistakes", head, rows) if rows else None


def names_of(quality: Quality, class_names: list[str]) -> list[str]:
    """Return a name for every row of the confusion matrix."""
    if quality.per_class is not None:
        return [one.name for one in quality.per_class]
    count = len(quality.confusion_matrix or [])
    return class_names[:count] + [str(i) for i in range(len(class_names), count)]


def class_table(quality: Quality) -> Table | None:
    """Return precision, recall and F1 of every class."""
    if not quality.per_class:
        return None
    rows = [
        [
            one.name,
            f"{one.support:,}",
            _percent(one.precision),
            _percent(one.recall),
            _percent(one.f1),
        ]
        for one in quality.per_class
    ]
    head = ["Class", "Samples", "Precision (%)", "Recall (%)", "F1 (%)"]
    return Table("Precision, recall and F1 per class", head, rows, texts=1)


def _percent(share: float | None) -> str:
    return NOT_AVAILABLE if share is None else f"{100 * share:.1f}"
