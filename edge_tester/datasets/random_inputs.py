"""Random inputs of whatever shapes a model takes, for measuring without data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_tester.core.dataset import Samples
from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.figures import Task
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._whole import WholeDataset


class RandomDataset(WholeDataset):
    """Random samples of the model's own input shapes; nothing is known about the answers.

    Floats are uniform from ``float_low`` to ``float_high``, quantized tensors uniform
    over all values that they can hold, integers uniform from 0 to below ``integer_high``,
    booleans fair. A sample depends on the seed and its index alone.
    """

    random = True

    num_samples: int = option(1000, minimum=1, help="Number of samples")
    seed: int = option(0, minimum=0, help="Seed of the samples")
    float_low: tuple[float, ...] = option(
        (0.0,), help="Floats are at least this: one number, or one per input"
    )
    float_high: tuple[float, ...] = option(
        (1.0,), help="Floats are below this: one number, or one per input"
    )
    integer_high: int = option(
        10, minimum=1, help="Integers are below this, such as the size of a vocabulary"
    )
    open_dimension: int = option(
        1, minimum=1, help="Size of dimensions that the model leaves open, other than the batch"
    )

    shapes: list[tuple[int, ...]] | None = state()
    specs: list[TensorSpec] = state(default_factory=list)
    calibrates: bool = state(False)

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        longest = max(len(self.float_low), len(self.float_high))
        low, high = (
            given * longest if len(given) == 1 else given
            for given in (self.float_low, self.float_high)
        )
        if not all(least < most for least, most in zip(low, high, strict=False)):
            raise OptionError(
                "RandomDataset.float_high must be above float_low, got "
                f"{list(self.float_low)} and {list(self.float_high)}."
            )

    @property
    def task(self) -> Task:
        """Nothing is known about the right answers."""
        return "none"

    def prepare(self) -> None:
        """Do nothing: samples are made when they are loaded."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.num_samples

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn shapes and dtypes from the model."""
        for spec in inputs:
            if np.dtype(spec.dtype).kind not in "fiub":
                raise DatasetError(
                    f"{type(self).__name__} makes floats, integers and booleans, but input "
                    f"{spec.name!r} of the model takes {spec.described()}."
                )
        self.specs = list(inputs)
        self.shapes = [self._sample_shape(spec) for spec in inputs]

    def ensure_calibration(self, minimum: int) -> None:
        """Refuse to calibrate with random numbers unless that was asked for.

        Raises
        ------
        DatasetError
            ``calibration_fraction`` is 0.
        """
        if self.calibration_fraction == 0:
            raise DatasetError(
                f"{type(self).__name__} makes random numbers, and a quantization that is "
                "calibrated with them is of no use for real samples: name a data set with samples "
                "like those that the model will see, or say --calibration-fraction 0.5 "
                "--test-fraction 0.5 to calibrate with random numbers all the same."
            )
        super().ensure_calibration(minimum)
        self.calibrates = True

    def remarks(self) -> list[str]:
        """Say so if the quantization was calibrated with random numbers."""
        told = super().remarks()
        if self.calibrates:
            told.append(
                "The quantization was calibrated with random numbers: its ranges, and so its "
                "answers to real samples, are of no use; times and sizes are."
            )
        return told

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Make the samples with these indices; the same index, the same sample."""
        if self.shapes is None:
            raise DatasetError(
                f"{type(self).__name__} takes its shapes from the model: bind() comes first."
            )
        # The outer loop per sample keeps a sample independent of its batch.
        samples = [self._sample(int(index)) for index in indices]
        columns = [[sample[i] for sample in samples] for i in range(len(self.specs))]
        return Samples(tuple(np.stack(column) for column in columns), None)

    def _sample(self, index: int) -> list[Array]:
        generator = np.random.default_rng([self.seed, index])
        shapes = self.shapes or []
        return [
            self._values(generator, spec, shape, ends)
            for spec, shape, ends in zip(self.specs, shapes, self._ends(), strict=True)
        ]

    def _ends(self) -> list[tuple[float, float]]:
        """Return the least float and what all are below, of each input."""
        count = len(self.specs)
        ends = []
        for name, given in (("float_low", self.float_low), ("float_high", self.float_high)):
            if len(given) not in (1, count):
                raise DatasetError(
                    f"{type(self).__name__}.{name} must have one number, or one for each of the "
                    f"{count} inputs, got {len(given)}."
                )
            ends.append(given if len(given) == count else given * count)
        return list(zip(*ends, strict=True))

    def _values(
        self,
        generator: np.random.Generator,
        spec: TensorSpec,
        shape: tuple[int, ...],
        ends: tuple[float, float],
    ) -> Array:
        dtype = np.dtype(spec.dtype)
        if spec.quantized:
            limits = np.iinfo(dtype)
            held = generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
            return spec.dequantize(np.asarray(held, dtype))
        if dtype.kind == "f":
            low, high = ends
            return np.asarray(low + (high - low) * generator.random(shape), dtype)
        if dtype.kind == "b":
            return np.asarray(generator.random(shape) < 0.5)
        high = min(self.integer_high, int(np.iinfo(dtype).max) + 1)
        return np.asarray(generator.integers(0, high, shape), dtype)

    def _sample_shape(self, spec: TensorSpec) -> tuple[int, ...]:
        # A first dimension that is neither open nor the batch size is no batch.
        batched = spec.shape[:1] in ((None,), (self.inference_batch_size,))
        sizes = spec.shape[1:] if batched else spec.shape
        return tuple(self.open_dimension if size is None else size for size in sizes)
