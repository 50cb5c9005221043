"""The graph of the model that a command names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.core.model import ModelWrapper

_SHAPE = re.compile(r"\d+(?:,\d+)*")


def shapes_in(given: Sequence[str]) -> list[Shape]:
    """Return shapes that are written as sizes with commas.

    Raises
    ------
    OptionError
        One is written otherwise, or has a size of 0.
    """
    found = []
    for text in given:
        if not _SHAPE.fullmatch(text):
            raise OptionError(
                "--input-shapes must be sizes separated by commas, one shape for each input, "
                f"such as 3,224,224, got {text!r}."
            )
        shape = tuple(map(int, text.split(",")))
        if 0 in shape:
            raise OptionError(f"--input-shapes must be sizes of at least 1, got {text!r}.")
        found.append(shape)
    return found


def graph_of(model: ModelWrapper, batch_size: int | None, shapes: Sequence[Shape]) -> Graph:
    """Return the graph of a model.

    Raises
    ------
    ModelError
        Its wrapper tells none; the message says what to do.
    """
    if not isinstance(model, Graphs):
        raise ModelError(
            f"{type(model).__name__} tells no graph of {model.model_path}: compile it to .onnx or "
            ".tflite first (edge-tester client MODEL compilers.tflite ...), and take that file."
        )
    return model.graph(batch_size, shapes)
