"""The work of Einstein sums, which PyTorch and ONNX write alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_tester.core.graphs import Product, Shape, Unknown, Work


def einsum_work(equation: str, shapes: Sequence[Shape | None]) -> Work:
    """Return the work of an Einstein sum of two tensors.

    Each element of the output is a sum over the sizes of all letters that it does not have.

    Parameters
    ----------
    equation : str
        Such as ``bij,bjk->bik``; an ellipsis may stand for further axes.
    shapes : sequence of tuple of int or None
        Of the tensors.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2 or not arrow or None in shapes:
        return Unknown(reason=f"The einsum {equation!r} is no product of two with an output.")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        known: Shape = shape or ()
        head, _, tail = term.partition("...")
        sizes |= dict(zip(head, known, strict=False))
        sizes |= dict(zip(tail, known[len(known) - len(tail) :], strict=True))
    return Product(contracted=math.prod(n for one, n in sizes.items() if one not in right))
