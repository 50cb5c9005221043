"""The samples that a quantization is calibrated with: those of a data set, or of a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.dataset import Dataset, Samples, chosen_evenly
from edge_tester.core.errors import CompilationError, EdgeTesterError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, path_of, state
from edge_tester.core.run.feed import Feed
from edge_tester.core.samples.checks import ENOUGH_SAMPLES, SampleWatch, few, ranges_differ
from edge_tester.core.samples.choosing import indices_of, typical_ranges
from edge_tester.core.samples.folder import SampleFolder, read_folder
from edge_tester.core.samples.manifest import Manifest
from edge_tester.core.tensors import Array, TensorSpec


@dataclasses.dataclass
class CalibrationSet:
    """Samples to calibrate with, and what is known of them when they were all given.

    Attributes
    ----------
    facts : dict
        Where they come from, and how many; JSON can hold it.
    remarks : list of str
        Doubts.
    ranges : dict of str to list of float
        Smallest and largest value of each input, by its position.
    """

    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    remarks: list[str] = dataclasses.field(default_factory=list)
    ranges: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def see(self, values: Sequence[Array], owner: str) -> None:
        """Note the range of a sample by the position of the input, and that it is counted.

        Raises
        ------
        CompilationError
            It has values that are not finite.
        """
        number = self.facts["samples"] = self.facts.get("samples", 0) + 1
        for index, one in enumerate(values):
            if not one.size or one.dtype.kind not in "fiu":
                continue
            # The ends of a range with NaN or infinity in it are no ends.
            ends = [float(one.min()), float(one.max())]
            if not np.isfinite(ends).all():
                raise CompilationError(
                    f"{owner} calibrates with finite numbers, got NaN or infinite values in input "
                    f"{index} of calibration sample {number - 1}, from {self.facts['source']}."
                )
            low, high = self.ranges.get(str(index), ends)
            self.ranges[str(index)] = [min(low, ends[0]), max(high, ends[1])]


class _FolderDataset(Dataset):
    """Raw samples of a folder, as a data set that a model can be fed from."""

    folder: SampleFolder | None = state()

    def prepare(self) -> None:
        """Do nothing: the folder was read."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.prepared(self.folder))

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Load samples one after the other."""
        folder = self.prepared(self.folder)
        each = [folder.load(int(index), folder.columns) for index in indices]
        return Samples(tuple(np.concatenate(one) for one in zip(*each, strict=True)), None)


def require_samples(
    owner: Configurable, dataset: Dataset | None, path: Path | None, count: int | None
) -> SampleFolder | None:
    """See that there is something to calibrate with, and that none of it is measured.

    Parameters
    ----------
    owner : Configurable
        The compiler, for messages.
    dataset : Dataset or None
        Prepared; sets apart what is needed.
    path : Path or None
        A folder of samples, instead of those of the data set.
    count : int or None
        How many are wanted.

    Returns
    -------
    SampleFolder or None
        The folder, if there is one.

    Raises
    ------
    CompilationError
        There is neither, or the folder has fewer.
    DatasetError
        The data set has too few, or something is wrong with the folder.
    """
    name = type(owner).__name__
    if path is None:
        if dataset is None:
            raise CompilationError(
                f"{name} needs a data set to calibrate with, or --calibration-samples, got none."
            )
        dataset.ensure_calibration(count or ENOUGH_SAMPLES)
        return None
    folder = read_folder(path)
    if count is not None and count > len(folder):
        raise CompilationError(
            f"{name}.calibration_count must be at most the {len(folder)} samples of {path}, "
            f"got {count}."
        )
    if dataset is not None and folder.manifest is not None:
        dataset.set_apart(indices_of(folder.manifest, dataset))
    return folder


def calibration_indices(dataset: Dataset, count: int | None) -> Array:
    """Return the samples of a data set to calibrate with, each class with its share."""
    indices = dataset.split().calibration
    if count is None or count >= len(indices):
        return indices
    return chosen_evenly(indices, dataset.labels(), count, dataset.split_seed)


def samples_of_dataset(
    found: CalibrationSet, owner: str, model: ModelWrapper, dataset: Dataset, count: int | None
) -> Iterator[list[Array]]:
    """Yield the calibration samples of a data set as a model takes them, one at a time."""
    found.facts.update(source="data set", dataset=path_of(type(dataset)), part="calibration")
    model.load()
    inputs, _ = model.specs()
    indices = calibration_indices(dataset, count)
    found.remarks += few(len(indices))
    feed = Feed(model, dataset, inputs, indices=indices)
    for values in map(feed.values, feed.loaded()):
        found.see(values, owner)
        yield values


def samples_of_folder(
    found: CalibrationSet,
    owner: str,
    model: ModelWrapper,
    dataset: Dataset | None,
    folder: SampleFolder,
    count: int | None,
) -> Iterator[list[Array]]:
    """Yield the samples of a folder as a model takes them, one at a time.

    What is doubtful about them is known when the last one was taken: above all whether they have
    another range than what the model is fed with from the data set.
    """
    model.load()
    inputs, _ = model.specs()
    names = [spec.name for spec in inputs]
    chosen = _chosen(folder, count)
    manifest = folder.manifest
    found.facts.update(
        source="folder",
        folder=str(folder.path),
        sha256=folder.sha256,
        manifest=manifest is not None,
        preprocessed=manifest is None or manifest.preprocessed,
        random=manifest is not None and manifest.random,
    )
    if manifest is not None:
        found.facts["dataset"] = manifest.dataset.name
        found.remarks += _of_manifest(manifest, model)
    watch = SampleWatch(names)
    for values in _as_the_model_takes(folder, model, inputs, chosen):
        found.see(values, owner)
        watch.see(values)
        yield values
    # What the manifest says already holds for all samples, these may be a part.
    known = set(found.remarks)
    found.remarks += [one for one in watch.remarks() if one not in known]
    expected, why = _expected(model, dataset, inputs)
    if expected is None:
        found.facts["ranges_compared"] = why
        return
    found.facts["ranges_compared"] = "with the data set, preprocessed"
    whose = (
        f"what the model is fed with goes, by {type(dataset).__name__} and {type(model).__name__},"
    )
    found.remarks += ranges_differ(names, watch.ranges(), expected, whose)


def _chosen(folder: SampleFolder, count: int | None) -> Array:
    indices = np.arange(len(folder))
    if count is None or count >= len(folder):
        return indices
    labels = folder.manifest.labels() if folder.manifest else None
    return chosen_evenly(indices, None if labels is None else np.array(labels), count, 0)


def _as_the_model_takes(
    folder: SampleFolder, model: ModelWrapper, inputs: Sequence[TensorSpec], chosen: Array
) -> Iterator[list[Array]]:
    if folder.manifest is not None and not folder.manifest.preprocessed:
        raw = _FolderDataset()
        raw.folder = folder
        feed = Feed(model, raw, inputs, indices=chosen)
        yield from map(feed.values, feed.loaded())
        return
    columns = folder.ordered(inputs)
    for number in chosen:
        yield folder.fitted(int(number), columns, inputs)


def _of_manifest(manifest: Manifest, model: ModelWrapper) -> list[str]:
    found = list(manifest.remarks)
    if not manifest.preprocessed or manifest.model is None:
        return found
    mine, theirs = model.scaling(), manifest.model.scaling
    if mine is not None and theirs is not None and mine != theirs:
        found.append(
            f"The samples to calibrate with were preprocessed for another model, by {theirs}; "
            f"this one's preprocessing is {mine or 'none'}."
        )
    return found


def _expected(
    model: ModelWrapper, dataset: Dataset | None, inputs: Sequence[TensorSpec]
) -> tuple[Any, str]:
    """Return the ranges of what the model is fed with, or why they are not known."""
    if dataset is None:
        return None, "not: there is no data set"
    if dataset.random:
        return None, "not: the data set has random numbers"
    try:
        return typical_ranges(model, dataset, inputs), ""
    except EdgeTesterError as error:
        # The samples of the folder need not be those of the data set; measuring says what is wrong.
        return None, f"not: {error}"
