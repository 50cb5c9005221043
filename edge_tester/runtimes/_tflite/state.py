"""Whether a .tflite model keeps a state between inferences, read from its graph.

Source: schema.fbs of TensorFlow Lite (order of the fields, numbers of the operators).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from edge_tester.runtimes._tflite.tables import Table, root

# Places of fields in their tables.
_MODEL_CODES, _MODEL_SUBGRAPHS = 1, 2
_CODE_OLD, _CODE = 0, 3
_GRAPH_TENSORS, _GRAPH_OPERATORS = 0, 3
_TENSOR_IS_VARIABLE = 5
_OPERATOR_CODE, _OPERATOR_OPTIONS = 0, 4
_CALL_ONCE_SUBGRAPH = 0
_CALL_ONCE, _ASSIGN_VARIABLE = 129, 144


def state_of(path: Path) -> str | None:
    """Return where a model keeps its state: ``variables``, ``resources``, or None for nowhere.

    Variables are tensors of the graph, as the fused recurrent layers have them; resources are
    assigned by operations of their own. What only an initialization assigns is no state.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        try:
            return _state(root(content))
        except struct.error:
            # Cut off: loading it says so.
            return None


def _state(model: Table) -> str | None:
    graphs = list(model.tables(_MODEL_SUBGRAPHS))
    if any(t.number("B", _TENSOR_IS_VARIABLE) for g in graphs for t in g.tables(_GRAPH_TENSORS)):
        return "variables"
    codes = [
        # Files from before 2020 have the old field alone, later ones 127 in it where it is full.
        max(code.number("b", _CODE_OLD), code.number("i", _CODE))
        for code in model.tables(_MODEL_CODES)
    ]
    initial, assigning = set(), set()
    for number, graph in enumerate(graphs):
        for operator in graph.tables(_GRAPH_OPERATORS):
            code = codes[operator.number("I", _OPERATOR_CODE)]
            if code == _ASSIGN_VARIABLE:
                assigning.add(number)
            elif code == _CALL_ONCE:
                options = operator.table(_OPERATOR_OPTIONS)
                initial.add(options.number("i", _CALL_ONCE_SUBGRAPH) if options else 0)
    return "resources" if assigning - initial else None
