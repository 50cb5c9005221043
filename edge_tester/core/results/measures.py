"""The figures of one record: each with what makes it comparable with others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from edge_tester.core.figures import Quality
from edge_tester.core.results.parts import (
    Component,
    ModelFacts,
    PatternFacts,
    Predictions,
    Replicate,
)
from edge_tester.core.results.patterns import pattern_values
from edge_tester.core.results.values import Value, latency_values, with_interval
from edge_tester.core.results.words import (
    Kind,
)
from edge_tester.core.statistics.intervals import replicate_interval, wilson_interval
from edge_tester.core.statistics.ranking import roc_area
from edge_tester.core.statistics.regression import regression_intervals
from edge_tester.core.statistics.sequential import sequence_interval


class Measured(Protocol):
    """What figures are computed from: a run record."""

    @property
    def quality(self) -> Quality:
        """How good the answers were."""

    @property
    def model(self) -> ModelFacts:
        """What ran."""

    @property
    def batch_size(self) -> int:
        """Samples per inference."""

    @property
    def replicates(self) -> list[Replicate]:
        """What was measured, by fresh processes."""

    @property
    def predictions(self) -> Predictions:
        """Answers, sample by sample."""

    @property
    def pattern(self) -> PatternFacts:
        """What of the inferences is a result."""

    @property
    def components(self) -> list[Component]:
        """What took part; how to measure is among it."""


class Measure(NamedTuple):
    """Something that is measured in every run.

    Attributes
    ----------
    key : str
    title : str
    kind : str
        Of number; decides the units.
    """

    key: str
    title: str
    kind: Kind


MEASURES = (
    Measure("accuracy", "Accuracy", "percent"),
    Measure("top5", "Top-5 accuracy", "percent"),
    Measure("auc", "Area under the ROC curve", "number"),
    Measure("mse", "Mean squared error", "number"),
    Measure("mae", "Mean absolute error", "number"),
    Measure("r2", "R²", "number"),
    Measure("p50", "Latency p50", "time"),
    Measure("p90", "Latency p90", "time"),
    Measure("p99", "Latency p99", "time"),
    Measure("query_p50", "Query latency p50", "time"),
    Measure("query_p90", "Query latency p90", "time"),
    Measure("query_p99", "Query latency p99", "time"),
    Measure("waiting", "Mean waiting time", "time"),
    Measure("missed", "Missed deadlines", "percent"),
    Measure("throughput", "Throughput", "rate"),
    Measure("utilisation", "Utilisation", "percent"),
    Measure("duty", "Duty cycle", "percent"),
    Measure("energy", "Energy per event (estimate)", "energy"),
    Measure("battery", "Battery life (estimate)", "lifetime"),
    Measure("size", "Model size", "bytes"),
    Measure("peak", "Peak memory", "bytes"),
    Measure("cpu", "CPU time per inference", "time"),
    Measure("first", "First inference", "time"),
    Measure("load", "Load", "time"),
    Measure("quantized", "Quantized weights", "percent"),
)
QUALITY = ("accuracy", "top5", "auc", "mse", "mae", "r2")
"""Keys of the measures of how good the answers are."""


def option_of(record: Measured, name: str) -> Any:
    """Return an option of how it was measured, None where there is none."""
    options = [part.options for part in record.components if part.role == "measurement"]
    return options[0].get(name) if options else None


def measure_all(record: Measured) -> dict[str, Value]:
    """Return the figures of a record by the keys of :data:`MEASURES`.

    Figures of another task than the record's are left out.
    """
    quality = record.quality
    values: dict[str, Value] = {}
    if quality.task == "classification":
        values["accuracy"] = _share(quality.accuracy, quality.samples)
        if quality.top5_accuracy is not None:
            values["top5"] = _share(quality.top5_accuracy, quality.samples)
        if record.predictions.scores is not None:
            values["auc"] = _area(record.predictions)
    if quality.task == "regression":
        values |= _regression(record)
    values |= latency_values([np.array(one.target_ns) for one in record.replicates])
    if _until_precise(record) and values["p50"].number is not None:
        medians = [float(np.median(one.target_ns)) for one in record.replicates if one.target_ns]
        # Whoever stops as soon as it is narrow needs one that holds whenever he looks.
        found = with_interval(values["p50"].number, sequence_interval(medians))
        values["p50"] = found._replace(single=values["p50"].single)
    values |= pattern_values(record.pattern, record.replicates, record.batch_size)
    values["cpu"] = _processor_time(record.replicates)
    cold = [one.cold_start for one in record.replicates]
    values["first"] = _typical([one.first_inference_ns for one in cold])
    values["load"] = _typical([one.load_ns for one in cold])
    values["peak"] = highest([one.memory.peak_bytes for one in record.replicates])
    values["size"] = Value(record.model.size_bytes)
    values["quantized"] = Value(record.model.quantized_weight_share)
    return values


def _area(kept: Predictions) -> Value:
    """Return how well scores tell two classes apart, with the interval of DeLong et al."""
    scores, truth = kept.scores or [], kept.truth or []
    known = [score for score in scores if score is not None]
    if len(known) < len(scores) or len(scores) != len(truth):
        return Value(None, why="not every sample has a score and a true class")
    if len(set(truth)) != 2:
        return Value(None, why="it needs samples of both classes")
    found = roc_area(known, [one == 1 for one in truth])
    return Value(found.area, (found.low, found.high))


def _until_precise(record: Measured) -> bool:
    return option_of(record, "precision") is not None


def _regression(record: Measured) -> dict[str, Value]:
    """Return the errors of predicted numbers, with intervals where predictions were kept."""
    quality, kept = record.quality, record.predictions
    numbers = {"mse": quality.mse, "mae": quality.mae, "r2": quality.r2}
    if not kept.truth or len(kept.truth) != len(kept.predicted) or None in kept.predicted:
        return {key: Value(number) for key, number in numbers.items()}
    predicted, truth = np.array(kept.predicted, np.float64), np.array(kept.truth, np.float64)
    if predicted.size != truth.size:
        return {key: Value(number) for key, number in numbers.items()}
    intervals = regression_intervals(predicted.reshape(truth.shape), truth)._asdict()
    return {
        key: Value(number, intervals[key] if number is not None else None)
        for key, number in numbers.items()
    }


def _processor_time(replicates: Sequence[Replicate]) -> Value:
    """Return the processor time of an inference, if every block tells it."""
    counts = [len(one.target_ns) for one in replicates]
    times_ns = [one.cpu_time_ns for one in replicates]
    pairs = [(t, n) for t, n in zip(times_ns, counts, strict=True) if t is not None and n]
    if not pairs or len(pairs) < sum(n > 0 for n in counts):
        return Value(None)
    number = sum(t for t, _ in pairs) / sum(n for _, n in pairs)
    return with_interval(number, replicate_interval([t / n for t, n in pairs]))


def _typical(numbers: Sequence[int | None]) -> Value:
    """Return the geometric mean of what each replicate did once."""
    known = [one for one in numbers if one is not None]
    if len(known) < 2 or min(known) <= 0:
        return Value(known[0] if known else None)
    number = float(np.exp(np.log(known).mean()))
    return with_interval(number, replicate_interval(known))


def highest(numbers: Sequence[int | None]) -> Value:
    """Return the largest of what each replicate needed."""
    known = [one for one in numbers if one is not None]
    return with_interval(max(known), replicate_interval(known)) if known else Value(None)


def _share(share: float | None, samples: int) -> Value:
    if share is None or samples == 0:
        return Value(share)
    return Value(share, wilson_interval(round(share * samples), samples))
