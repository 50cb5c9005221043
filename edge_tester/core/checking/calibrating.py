"""Compare numbers of calibration samples and methods: their ranges, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edge_tester.core.checking.scoring import Judge, Worth, unmeasured
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError, DatasetError, OptionError
from edge_tester.core.making.chain import suffix_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import options_of, path_of
from edge_tester.core.run.feed import Feed
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

COUNTS = (10, 50, 200, 1000)
_METHOD = "calibration_method"
# Values of all tensors of so many samples are looked at for what is clipped.
_SEEN_SAMPLES = 100
# What is beyond an end by less than half of one of 255 steps is rounded to it, as others are.
_SLACK = 0.5 / 255


class TensorRange(msgspec.Struct, frozen=True, kw_only=True):
    """What a calibration took the range of a tensor to be.

    Attributes
    ----------
    name : str
    minimum, maximum : float
    clipped : float or None
        Part of its values, on samples that it was not calibrated with, that are beyond an end by
        more than half a step of 8 bits, 0 to 1; None where the values cannot be seen.
    """

    name: str
    minimum: float
    maximum: float
    clipped: float | None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A quantization with one method and number of samples.

    Attributes
    ----------
    method : str or None
        None of a compiler that has one alone.
    samples : int
    worth : Worth
    size_bytes : int
    ranges : list of TensorRange
        In the order of the graph; empty where the compiler does not tell.
    remarks : list of str
        Doubts about the samples and the result.
    """

    method: str | None
    samples: int
    worth: Worth
    size_bytes: int
    ranges: list[TensorRange]
    remarks: list[str]

    @property
    def clipped(self) -> float | None:
        """Largest part of the values of one tensor that is clipped."""
        known = [one.clipped for one in self.ranges if one.clipped is not None]
        return max(known) if known else None


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Methods and numbers of samples side by side.

    Attributes
    ----------
    compiler, model : str
        Dotted path of the compiler, name of the model's file.
    source : Worth
        Of the model in float.
    trials : list of Trial
        By method, then by number of samples.
    left_out : list of str
        Which were not tried, and why.
    """

    compiler: str
    model: str
    source: Worth
    trials: list[Trial]
    left_out: list[str]


def calibration_report(
    compiler: SelectiveCompiler,
    model: ModelWrapper,
    dataset: Dataset,
    *,
    counts: Sequence[int] = COUNTS,
    methods: Sequence[str] | None = None,
    samples: int = 300,
    tell: Callable[[str], None] = lambda text: None,
) -> CalibrationReport:
    """Quantize a model with each method and number of samples, and see what comes of it.

    Parameters
    ----------
    compiler : SelectiveCompiler
        With a target that is calibrated; its other options hold for all trials.
    model : ModelWrapper
        In float.
    dataset : Dataset
        Prepared. None of the samples to be measured is looked at.
    counts : sequence of int, default=(10, 50, 200, 1000)
        Numbers of samples, as far as there are so many that leave some to judge by.
    methods : sequence of str, optional
        Of the compiler's ``calibration_method``; all by default.
    samples : int, default=300
        At most so many judge.
    tell : callable, optional
        Hears what is about to happen.

    Returns
    -------
    CalibrationReport

    Raises
    ------
    OptionError
        The compiler calibrates nothing, or does not have one of the methods.
    EdgeTesterError
        Compiling or running failed, or there are too few samples for any trial.
    """
    if not compiler.calibrates:
        raise OptionError(
            f"{type(compiler).__name__} calibrates nothing with these options, so there is nothing "
            "to compare."
        )
    wanted = _methods(compiler, methods)
    possible, left_out = _possible(compiler, dataset, sorted(set(counts)))
    indices = unmeasured(dataset, samples)
    judge = Judge(model, dataset, indices)
    trials: list[Trial] = []
    found: list[dict[str, tuple[float, float]]] = []
    with TemporaryFolder() as folder:
        path = Path(folder) / f"model{suffix_of(compiler.output_format)}"
        for method in wanted:
            for count in possible:
                tell(f"Calibrating with {count} samples" + (f" by {method}" if method else ""))
                changes = {} if method is None else {_METHOD: method}
                one = type(compiler).from_options(
                    {
                        **compiler.to_options(),
                        **changes,
                        "calibration_count": count,
                        "compiled_model_path": path,
                        "self_check": False,
                    }
                )
                artifact = one.compile(model, dataset)
                found.append(dict(one.tensor_ranges))
                trials.append(
                    Trial(
                        method=method,
                        samples=count,
                        worth=judge.worth(artifact),
                        size_bytes=artifact.content_bytes or artifact.size_bytes,
                        ranges=[],
                        remarks=list(artifact.remarks),
                    )
                )
    tell("Looking at the values of all tensors")
    clipped = _clipped(compiler, model, dataset, indices[:_SEEN_SAMPLES], found)
    return CalibrationReport(
        compiler=path_of(type(compiler)),
        model=model.model_path.name,
        source=judge.source,
        trials=[
            msgspec.structs.replace(
                trial,
                ranges=[
                    TensorRange(name=name, minimum=low, maximum=high, clipped=shares.get(name))
                    for name, (low, high) in ranges.items()
                ],
            )
            for trial, ranges, shares in zip(trials, found, clipped, strict=True)
        ],
        left_out=left_out,
    )


def _methods(
    compiler: SelectiveCompiler, methods: Sequence[str] | None
) -> Sequence[str] | list[None]:
    choices = next((o.choices for o in options_of(type(compiler)) if o.name == _METHOD), None) or ()
    for one in methods or ():
        if one not in choices:
            raise OptionError(
                f"{type(compiler).__name__} must be calibrated by "
                f"{', '.join(choices) or 'its one method'}, got {one!r}."
            )
    return methods or choices or [None]


def _possible(
    compiler: SelectiveCompiler, dataset: Dataset, counts: Sequence[int]
) -> tuple[list[int], list[str]]:
    """Return the numbers of samples that there are, and what is said of the others.

    All samples that any trial calibrates with are set apart, so that each is judged by the same.
    """
    possible: list[int] = []
    reasons: list[str] = []
    for count in counts:
        compiler = type(compiler).from_options(
            {**compiler.to_options(), "calibration_count": count}
        )
        before = dataset.reserved
        try:
            compiler.check_calibration(dataset)
            unmeasured(dataset, 1)
        except (CompilationError, DatasetError) as error:
            dataset.reserved = before
            reasons.append(f"{count} samples: {error}")
        else:
            possible.append(count)
    if not possible:
        raise DatasetError(f"There are too few samples to calibrate with. {reasons[0]}")
    return possible, reasons


def _clipped(
    compiler: SelectiveCompiler,
    model: ModelWrapper,
    dataset: Dataset,
    indices: Array,
    found: Sequence[dict[str, tuple[float, float]]],
) -> list[dict[str, float]]:
    """Return for each trial the part of the values of each tensor that is beyond its range."""
    if not any(found):
        return [{} for _ in found]
    feed = Feed(model, dataset, model.specs()[0], indices=indices)
    beyond: list[dict[str, int]] = [{} for _ in found]
    sizes: dict[str, int] = {}
    for tensors in compiler.tensors(model, (feed.values(one) for one in feed.loaded())):
        for name, values in tensors.items():
            sizes[name] = sizes.get(name, 0) + values.size
            for ranges, counted in zip(found, beyond, strict=True):
                if name not in ranges:
                    continue
                low, high = ranges[name]
                slack = _SLACK * (high - low)
                outside = int(np.sum((values < low - slack) | (values > high + slack)))
                counted[name] = counted.get(name, 0) + outside
    return [
        {name: count / sizes[name] for name, count in one.items() if sizes[name]} for one in beyond
    ]
