"""What the weights of a PyTorch file are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edge_tester.core.artifact import Weights

_INTEGERS = ("int8", "uint8", "qint8", "quint8")


def counted(tensors: Mapping[str, Any]) -> Weights:
    """Count the elements of tensors by dtype; vectors and scalars are no weights."""
    elements: dict[str, int] = {}
    for tensor in tensors.values():
        sizes = tuple(getattr(tensor, "shape", ()))
        if sum(size > 1 for size in sizes) > 1:
            dtype = str(tensor.dtype).removeprefix("torch.")
            elements[dtype] = elements.get(dtype, 0) + math.prod(sizes)
    total = sum(elements.values())
    integers = sum(count for dtype, count in elements.items() if dtype in _INTEGERS)
    return Weights(elements=elements, quantized_share=integers / total if total else 0.0)
