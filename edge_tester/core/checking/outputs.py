"""Outputs of a conversion beside those of its source, brought into the same order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edge_tester.core.artifact import Weights
from edge_tester.core.errors import RecordError
from edge_tester.core.record import RunRecord
from edge_tester.core.statistics.agreement import Agreeing, Agreement
from edge_tester.core.tensors import Array, TensorSpec

# Values of an output that are read at once.
_AT_ONCE = 1 << 22


class ComparedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One output of a conversion beside that of the source.

    Attributes
    ----------
    name : str
        In the source.
    found_name : str
        In the conversion.
    shape : tuple of int
        Of one sample, in the source.
    agreement : Agreement
    moved : str
        How its axes were brought into the source's order, in words; empty if they were.
    """

    name: str
    found_name: str
    shape: tuple[int, ...]
    agreement: Agreement
    moved: str = ""


class Answered(NamedTuple):
    """A run whose outputs were kept.

    Attributes
    ----------
    record : RunRecord
    outputs : Path
        Folder of ``output_0.npy``, ``output_1.npy``, ...; see :mod:`edge_tester.core.run.outputs`.
    weights : Weights or None
        Of the file that ran, None where its format is not read back.
    """

    record: RunRecord
    outputs: Path
    weights: Weights | None = None


class IncomparableError(Exception):
    """The outputs are not of the same number or size."""


def compared_outputs(found: Answered, source: Answered) -> list[ComparedOutput]:
    """Compare every output of a conversion with the one of the source that it stands for.

    Parameters
    ----------
    found, source : Answered
        About the same samples.

    Raises
    ------
    IncomparableError
        The outputs are not of the same number or size.
    RecordError
        Files are missing.
    """
    wanted, given = source.record.model.outputs, found.record.model.outputs
    mine = [_opened(source.outputs, index) for index in range(len(wanted))]
    theirs = [_opened(found.outputs, index) for index in range(len(given))]
    compared = []
    scored = 0 if source.record.quality.task == "classification" else None
    for position, place in enumerate(_order(wanted, given, mine, theirs)):
        spec, other = wanted[position], given[place]
        values, answers = mine[position], theirs[place]
        axes, moved = _axes(values.shape[1:], answers.shape[1:], other.name)
        agreeing = Agreeing(scores=position == scored)
        step = max(1, _AT_ONCE // max(1, int(np.prod(values.shape[1:]))))
        for begin in range(0, len(values), step):
            part = slice(begin, begin + step)
            real = other.dequantize(np.array(answers[part]))
            if axes is not None:
                real = real.transpose(0, *(axis + 1 for axis in axes))
            expected = spec.dequantize(np.array(values[part]))
            agreeing.update(expected, real.reshape(expected.shape))
        compared.append(
            ComparedOutput(
                name=spec.name,
                found_name=other.name,
                shape=values.shape[1:],
                agreement=agreeing.result(),
                moved=moved,
            )
        )
    return compared


def _opened(folder: Path, index: int) -> Array:
    path = folder / f"output_{index}.npy"
    if not path.exists():
        if (folder / f"output_{index}_values.npy").exists():
            raise IncomparableError(
                f"Output {index} has another shape for each sample, so that its values have no "
                "counterparts."
            )
        raise RecordError(f"The outputs {path} are missing; run it again.")
    values: Array = np.load(path, mmap_mode="r")
    return values


def _order(
    wanted: Sequence[TensorSpec],
    given: Sequence[TensorSpec],
    mine: Sequence[Array],
    theirs: Sequence[Array],
) -> list[int]:
    """Return, for each output of the source, which one of the conversion it is.

    By name where all have the same ones, else by place, else by size where no two are alike.
    """
    if len(wanted) != len(given):
        raise IncomparableError(
            f"The source has {len(wanted)} outputs, the conversion {len(given)}."
        )
    names, found = [one.name for one in wanted], [one.name for one in given]
    sizes, others = ([one[0].size for one in values] for values in (mine, theirs))
    if len(set(names)) == len(names) and set(names) == set(found):
        order = [found.index(name) for name in names]
        if [others[place] for place in order] == sizes:
            return order
    if sizes == others:
        return list(range(len(sizes)))
    if len(set(sizes)) == len(sizes) and set(sizes) == set(others):
        return [others.index(size) for size in sizes]
    shapes = [", ".join(str(one.shape[1:]) for one in values) for values in (mine, theirs)]
    raise IncomparableError(
        f"The outputs of the conversion have the shapes {shapes[1]}, those of the source "
        f"{shapes[0]}."
    )


def _axes(
    wanted: tuple[int, ...], found: tuple[int, ...], name: str
) -> tuple[tuple[int, ...] | None, str]:
    """Return how to transpose what was found, None if nothing is to be done, and say so."""
    squeezed = [[size for size in shape if size != 1] for shape in (wanted, found)]
    if wanted == found or squeezed[0] == squeezed[1] or len(wanted) != len(found):
        return None, ""
    # Channels come last in some formats, and first in others.
    last_first = (len(found) - 1, *range(len(found) - 1))
    first_last = (*range(1, len(found)), 0)
    for axes in (last_first, first_last):
        if tuple(found[axis] for axis in axes) == wanted:
            return axes, f"the axes of {name}, {found}, were brought into the order {wanted}"
    return None, ""
