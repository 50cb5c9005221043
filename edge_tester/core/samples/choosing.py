"""Choose samples of a data set that are not measured, and write them into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import edge_tester
from edge_tester.core.dataset import Dataset, chosen_evenly
from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, path_of
from edge_tester.core.run.feed import Feed
from edge_tester.core.samples.checks import (
    InputRange,
    SampleWatch,
    classes_missing,
)
from edge_tester.core.samples.manifest import (
    MANIFEST,
    Manifest,
    ManifestInput,
    ManifestSample,
    Origin,
    read_manifest,
)
from edge_tester.core.system.files import atomic_folder, sha256_of
from edge_tester.core.tensors import Array, TensorSpec

# Samples from which it is told what a model is fed with.
_TYPICAL = 64
# Options that decide which samples are measured, not what they are.
_SPLITTING = {
    "inference_batch_size",
    "test_fraction",
    "validation_fraction",
    "calibration_fraction",
    "min_calibration",
    "split_seed",
    "limit",
}


def write_samples(
    dataset: Dataset, model: ModelWrapper | None, count: int, seed: int, folder: Path
) -> Manifest:
    """Write a choice of a data set's samples into a folder, each class with its share.

    They come from the calibration split, into which samples are moved from the others if it has
    too few; random samples are those behind the measured ones.

    Parameters
    ----------
    dataset : Dataset
        Prepared.
    model : ModelWrapper or None
        Whose preprocessing gives the values; None for those of the data set.
    count : int
    seed : int
        Of the choice; the same seed, the same samples.
    folder : Path
        Made, or replaced if it holds such samples and nothing else.

    Returns
    -------
    Manifest
        As it was written.

    Raises
    ------
    DatasetError
        There are too few samples, they are no finite numbers, or the folder holds other files or
        cannot be written.
    """
    folder = folder.resolve()
    _require_replaceable(folder)
    feed = None
    if model is not None:
        model.require_one_normalization(dataset)
        model.load()
        feed = Feed(model, dataset, model.specs()[0])
    elif dataset.random:
        raise DatasetError(
            f"{type(dataset).__name__} takes the shapes of its samples from a model: name one."
        )
    indices = _chosen(dataset, count, seed)
    try:
        with atomic_folder(folder) as temporary:
            manifest = _written(dataset, model, feed, indices, seed, temporary)
            content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
            (temporary / MANIFEST).write_bytes(content)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return manifest


def indices_of(manifest: Manifest, dataset: Dataset) -> Array:
    """Return the indices of samples in a folder that are of this data set.

    Parameters
    ----------
    manifest : Manifest
        Of the folder.
    dataset : Dataset
        Prepared. It is the same if class and options are, but for those of the split.
    """
    mine, theirs = _identity(_origin(dataset)), _identity(manifest.dataset)
    if mine != theirs or manifest.random:
        return np.empty(0, int)
    return np.array([one.index for one in manifest.samples], int)


def typical_ranges(
    model: ModelWrapper, dataset: Dataset, inputs: Sequence[TensorSpec]
) -> list[InputRange | None]:
    """Return what a model is fed with: ranges of some samples, preprocessed.

    Parameters
    ----------
    model : ModelWrapper
        Loaded.
    dataset : Dataset
        Prepared.
    inputs : sequence of TensorSpec
        Of the model.
    """
    split = dataset.split()
    parts = (split.calibration, split.validation, split.train, split.test)
    part = next((one for one in parts if len(one)), np.empty(0, int))
    chosen = chosen_evenly(part, dataset.labels(), _TYPICAL, dataset.split_seed)
    feed = Feed(model, dataset, inputs, indices=chosen)
    watch = SampleWatch([spec.name for spec in inputs])
    for samples in feed.loaded():
        watch.see(feed.values(samples))
    return watch.ranges()


def _chosen(dataset: Dataset, count: int, seed: int) -> Array:
    if dataset.random:
        return np.arange(len(dataset), len(dataset) + count)
    dataset.ensure_calibration(count)
    return chosen_evenly(dataset.split().calibration, dataset.labels(), count, seed)


def _written(
    dataset: Dataset,
    model: ModelWrapper | None,
    feed: Feed | None,
    indices: Array,
    seed: int,
    folder: Path,
) -> Manifest:
    all_labels = None if dataset.random else dataset.labels()
    watch: SampleWatch | None = None
    names: list[str] = []
    entries: list[ManifestSample] = []
    first: list[Array] = []
    for number, (index, samples) in enumerate(
        zip(indices, dataset.batches(indices, 1), strict=True)
    ):
        values = list(samples.inputs) if feed is None else feed.values(samples)
        if watch is None:
            first = values
            names = (
                [f"input_{place}" for place in range(len(values))]
                if model is None
                else [spec.name for spec in model.specs()[0]]
            )
            watch = SampleWatch(names)
            if model is None and len(values) > 1:
                raise DatasetError(
                    f"{type(dataset).__name__} has {len(values)} inputs, whose order a model "
                    "decides: name one."
                )
        _require_numbers(values, names, int(index), dataset)
        watch.see(values)
        label = None if all_labels is None or all_labels[index] < 0 else int(all_labels[index])
        entries.append(
            ManifestSample(files=_saved(folder, number, values), index=int(index), label=label)
        )
    if watch is None:
        raise DatasetError(f"{type(dataset).__name__} gave no sample to write.")
    found = watch.ranges()
    remarks = watch.remarks()
    if all_labels is not None:
        known = [one.label for one in entries if one.label is not None]
        remarks += classes_missing(known, all_labels, dataset.class_names())
    if dataset.random:
        remarks.append(
            "The samples are random numbers: ranges that are calibrated with them, and answers to "
            "real samples, are of no use; times and sizes are."
        )
    return Manifest(
        format="edge_tester samples",
        version=1,
        made_by=edge_tester.__version__,
        preprocessed=feed is not None,
        random=dataset.random,
        dataset=_origin(dataset),
        model=None if model is None else _model_origin(model),
        seed=seed,
        inputs=[
            ManifestInput(
                name=name,
                shape=list(values.shape),
                dtype=values.dtype.name,
                minimum=None if span is None else span.minimum,
                maximum=None if span is None else span.maximum,
            )
            for name, values, span in zip(names, first, found, strict=True)
        ],
        samples=entries,
        class_names=dataset.class_names(),
        remarks=remarks,
    )


def _saved(folder: Path, number: int, values: Sequence[Array]) -> dict[str, str]:
    files = {}
    for place, one in enumerate(values):
        name = f"{number:06}.npy" if len(values) == 1 else f"input_{place}/{number:06}.npy"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        np.save(path, one, allow_pickle=False)
        files[name] = sha256_of(path)
    return files


def _require_numbers(
    values: Sequence[Array], names: Sequence[str], index: int, dataset: Dataset
) -> None:
    for name, one in zip(names, values, strict=True):
        if one.dtype.kind not in "fiub":
            raise InputError(
                f"Samples must be numbers to be written, input {name!r} of sample {index} of "
                f"{type(dataset).__name__} is of dtype {one.dtype}."
            )
        if one.dtype.kind == "f" and not np.isfinite(one).all():
            raise InputError(
                f"Samples must be finite, input {name!r} of sample {index} of "
                f"{type(dataset).__name__} has NaN or infinite values."
            )


def _require_replaceable(folder: Path) -> None:
    """See that nothing but samples of an earlier command is lost."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DatasetError(f"{folder} must be a folder to write samples into, it is a file.")
    # Only what lies on top: it may be somebody's home.
    foreign = sorted(
        one.name
        for one in folder.iterdir()
        if one.name != MANIFEST and one.suffix != ".npy" and not _is_input(one)
    )
    held = foreign or sorted(one.name for one in folder.iterdir())
    if foreign or (held and not _is_ours(folder)):
        raise DatasetError(
            f"{folder} must be a new or empty folder, or one with samples written before: it "
            f"would be replaced, and holds {held[0]}."
        )


def _is_ours(folder: Path) -> bool:
    try:
        return read_manifest(folder) is not None
    except DatasetError:
        return False


def _is_input(path: Path) -> bool:
    """Tell whether this is a sub-folder of samples alone."""
    named = path.name.startswith("input_") and path.is_dir()
    return named and all(one.suffix == ".npy" for one in path.iterdir())


def _origin(part: Configurable) -> Origin:
    return Origin(name=path_of(type(part)), options=part.to_options())


def _model_origin(model: ModelWrapper) -> Origin:
    return Origin(
        name=path_of(type(model)),
        options=model.to_options(),
        sha256=model.artifact().sha256,
        scaling=model.scaling(),
    )


def _identity(origin: Origin) -> tuple[str, dict[str, Any]]:
    return origin.name, {k: v for k, v in origin.options.items() if k not in _SPLITTING}
