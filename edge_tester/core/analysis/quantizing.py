"""The graph that a model would have if it computed in int8: sizes alone."""

from __future__ import annotations

import msgspec

from edge_tester.core.graphs import Graph, GraphTensor

# A scale of 4 bytes and a zero point of 8, of weights; those of biases are as many again, halved.
_SCALE_BYTES = 16


def as_int8(graph: Graph) -> Graph | None:
    """Return the graph with int8 instead of float32, None if it has no float32.

    Activations and weights become int8, biases, which are vectors, int32 as they are in LiteRT.
    Scales, about 16 bytes for each output channel of the weights, are added to the file.
    """
    floats = [one for one in graph.tensors.values() if one.dtype == "float32"]
    if not floats:
        return None
    tensors = dict(graph.tensors)
    saved = 0
    for one in floats:
        vector = one.role != "activation" and len(one.shape or ()) < 2
        changed: GraphTensor = msgspec.structs.replace(one, dtype="int32" if vector else "int8")
        tensors[one.name] = changed
        if one.role != "activation" and not one.source:
            saved += (one.size_bytes or 0) - (changed.size_bytes or 0)
            if not vector:
                saved -= _SCALE_BYTES * (one.shape or (1,))[0]
    return msgspec.structs.replace(graph, tensors=tensors, file_bytes=graph.file_bytes - saved)
