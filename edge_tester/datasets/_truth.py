"""Take the truth of samples for what it evidently is: classes, or values to predict."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_tester.core.tensors import Array

CLASSES, VALUES, OBJECTS = "classification", "regression", "detection"
AS_CLASSES, AS_VALUES = f"--truth-as {CLASSES}", f"--truth-as {VALUES}"
# Whole numbers beyond are years, prices or counts rather than classes.
_MAXIMUM_CLASSES = 1000
# So many classes may each have a single sample.
_FEW = 20
# The largest values of integers, which often stand for "unknown".
_LARGEST = tuple(2**bits - 1 for bits in (8, 15, 16, 31, 32, 63, 64))
_TOLERANCE = 1e-3


class Truth(NamedTuple):
    """Truth as data sets give it."""

    values: Array
    """int64 class indices of shape (samples,), or floats of shape (samples, ...)."""
    label_count: int
    """How many classes the form of the truth tells of; 0 where it does not."""
    names: list[str]
    """Names of the classes where they came from the truth itself."""
    remarks: list[str]


def evident_truth(y: Array, truth_as: str, names: list[str]) -> Truth:
    """Return what ``y`` evidently says.

    Parameters
    ----------
    y : ndarray of shape (samples, ...)
        As it was found in the file.
    truth_as : str
        ``auto``, ``classification``, ``regression`` or ``detection``.
    names : list of str
        Names of the classes, if the file has any.

    Raises
    ------
    ValueError
        It is none of both, or in doubt; the message continues "has a y that".
    """
    kind = y.dtype.kind
    if truth_as == OBJECTS:
        return _objects(y)
    if kind not in "biufUS":
        raise ValueError(f"is {y.dtype}, neither numbers nor texts")
    # A column of numbers is a number each; so are rows of one column of one.
    shape = [len(y), *(size for size in y.shape[1:] if size != 1)]
    flat = np.asarray(y).reshape(shape)
    if kind in "US":
        return _from_texts(flat, truth_as, names)
    if kind == "f" and not np.isfinite(flat).all():
        count = int((~np.isfinite(flat)).reshape(len(flat), -1).any(axis=1).sum())
        raise ValueError(f"is not finite in {count} samples: leave them out of x and y")
    if truth_as == VALUES:
        # The model's own shape matters when values are compared one by one.
        values = np.asarray(y)
        return Truth(values if kind == "f" else values.astype(np.float64), 0, [], [])
    if flat.ndim == 1:
        return _from_numbers(flat, truth_as, np.asarray(y), len(names))
    if flat.ndim == 2 and _is_one_hot(flat):
        return _largest(flat, f"The truth in y is one-hot ({flat.shape[1]} columns)")
    if kind != "f":
        raise ValueError(
            f"is {y.dtype} of shape {y.shape}, but is not one-hot; it must hold one class index "
            f"for each sample, or values to predict as floats ({AS_VALUES} takes it so)"
        )
    return _from_rows(flat, truth_as, np.asarray(y))


def _objects(y: Array) -> Truth:
    if y.ndim != 3 or y.shape[2] != 5 or y.dtype.kind not in "iuf" or not np.isfinite(y).all():
        raise ValueError(
            f"is {y.dtype} of shape {y.shape}; objects are finite numbers of shape (samples, "
            "objects, 5): class, top, left, bottom, right, and class -1 where there is none"
        )
    values = y.astype(np.float64)
    return Truth(values, max(0, int(values[..., 0].max(initial=-1)) + 1), [], [])


def text_of(value: object) -> str:
    """Return an element of an array of texts or of bytes as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _from_texts(flat: Array, truth_as: str, names: list[str]) -> Truth:
    if truth_as == VALUES or flat.ndim != 1:
        raise ValueError(
            f"is text of shape {flat.shape}; texts are taken as one class for each sample"
        )
    texts = np.array([text_of(text) for text in flat.tolist()])
    found = np.unique(texts).tolist()
    if names:
        if len(set(names)) < len(names):
            raise ValueError("has texts, but class_names has one of them twice")
        unknown = [text for text in found if text not in names]
        if unknown:
            raise ValueError(f"has the class {unknown[0]!r}, which class_names lacks")
        numbers = {name: number for number, name in enumerate(names)}
        return Truth(np.array([numbers[t] for t in texts], np.int64), len(names), [], [])
    if all(text.isascii() and text.isdecimal() for text in found):
        told = "The truth in y is numbers as texts: taken as class indices."
        return Truth(texts.astype(np.int64), 0, [], [told])
    shown = ", ".join(f"{number} {text}" for number, text in enumerate(found[:_FEW]))
    more = f", ... {len(found) - 1} {found[-1]}" if len(found) > _FEW else ""
    told = (
        f"The truth in y is texts: classes are numbered in alphabetic order ({shown}{more}); "
        "an array class_names says another one."
    )
    numbers = {text: number for number, text in enumerate(found)}
    return Truth(np.array([numbers[t] for t in texts], np.int64), 0, found, [told])


def _from_numbers(flat: Array, truth_as: str, y: Array, named: int) -> Truth:
    kind = flat.dtype.kind
    if kind == "b":
        told = "The truth in y is true or false: taken as classes 1 and 0."
        return Truth(flat.astype(np.int64), 2, [], [told])
    whole = kind in "iu" or bool((flat == np.rint(flat)).all())
    if kind == "f":
        if not whole and truth_as == CLASSES:
            raise ValueError(f"has fractions, such as {flat[flat != np.rint(flat)][0]:g}, no class")
        # Who names classes has them.
        like_classes = 0 <= flat.min() and flat.max() < named or _like_classes(flat)
        if truth_as != CLASSES and not (whole and like_classes):
            told = (
                f"The whole numbers in y are taken as values to predict; {AS_CLASSES} for classes."
            )
            return Truth(y, 0, [], [told] if whole else [])
    lowest, highest = int(flat.min()), int(flat.max())
    if lowest < 0:
        count = int((flat < 0).sum())
        raise ValueError(
            f"has {lowest} among its class indices ({count} samples below 0): leave out of x and y "
            f"samples whose class is unknown; classes count from 0; {AS_VALUES} if it is values"
        )
    others = flat[flat != highest]
    if truth_as != CLASSES and highest in _LARGEST and len(others) and others.max() < highest // 2:
        raise ValueError(
            f"has {highest} in {len(flat) - len(others)} samples, which looks like an unknown "
            f"class, the others are below {int(others.max()) + 1}: leave those samples out of x "
            f"and y, or say {AS_CLASSES} if {highest} is a class"
        )
    told = f"The whole numbers in y ({y.dtype}) are taken as class indices; {AS_VALUES} for values."
    remarks = [told] if kind == "f" and truth_as != CLASSES else []
    return Truth(flat.astype(np.int64), 0, [], remarks)


def _from_rows(flat: Array, truth_as: str, y: Array) -> Truth:
    shares = flat.ndim == 2 and flat.min() >= 0 and np.abs(flat.sum(1) - 1).max() < _TOLERANCE
    if truth_as == CLASSES:
        if not shares:
            raise ValueError(
                f"is {y.dtype} of shape {y.shape}; classes are one index for each sample, one-hot "
                "rows, or rows of probabilities"
            )
        return _largest(flat, f"The truth in y is probabilities ({flat.shape[1]} columns)")
    told = (
        "The rows of y sum up to 1 like probabilities, but are taken as values to predict; "
        f"{AS_CLASSES} takes the largest of each as its class."
    )
    if np.isin(flat, (0, 1)).all():
        told = "The zeros and ones in y are taken as values to predict: they are not one-hot."
        shares = True
    return Truth(y, 0, [], [told] if shares else [])


def _largest(flat: Array, told: str) -> Truth:
    classes = flat.argmax(axis=1).astype(np.int64)
    return Truth(classes, flat.shape[1], [], [f"{told}: the largest of each row is its class."])


def _is_one_hot(flat: Array) -> bool:
    return bool(np.isin(flat, (0, 1)).all() and (np.count_nonzero(flat, axis=1) == 1).all())


def _like_classes(flat: Array) -> bool:
    """Tell whether whole numbers are nearly all from 0 up to some small one, and come again."""
    distinct = len(np.unique(flat))
    if flat.min() < 0 or flat.max() >= _MAXIMUM_CLASSES:
        # Those below 0 are looked at more closely if the others are like classes.
        return bool(flat.min() == -1 and flat.max() < _MAXIMUM_CLASSES and distinct <= _FEW)
    repeated = 2 * distinct <= len(flat)
    if distinct == flat.max() + 1:
        return repeated or distinct <= _FEW
    return repeated and 2 * distinct >= flat.max() + 1
