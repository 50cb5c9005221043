"""Graphs by hand: a chain, branches, and layers of every kind."""

from edge_tester.core.graphs import Free, Graph, GraphTensor, Operator


def tensor(name, size, **more):
    return GraphTensor(name=name, shape=(size,), dtype="int8", **more)


def operator(name, inputs, outputs, form="other", work=None, kind="X"):
    return Operator(
        name=name,
        kind=kind,
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        work=work or Free(),
        form=form,
    )


def graph_of(tensors, operators, outputs, inputs="in"):
    """A graph of tensors of int8, whose sizes are given by name."""
    return Graph(
        name="by-hand",
        format="tflite",
        batch_size=1,
        tensors={name: tensor(name, size) for name, size in tensors.items()},
        operators=tuple(operators),
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        file_bytes=1000,
    )
