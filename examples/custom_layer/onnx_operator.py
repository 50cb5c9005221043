"""The spiking layer as a custom operator of ONNX Runtime, written in Python.

``python onnx_operator.py`` writes ``opaque.onnx``. Importing this module, with
onnxruntime-extensions, is what lets ONNX Runtime run the operator.
"""

import torch
from onnxruntime_extensions import PyCustomOpDef, onnx_op
from spiking import lif_by_steps, opaque


@onnx_op(op_type="lif", inputs=[PyCustomOpDef.dt_float], outputs=[PyCustomOpDef.dt_float])
def lif(current):
    """Return how often each neuron fires; what ONNX Runtime calls."""
    return lif_by_steps(torch.from_numpy(current)).numpy()


def export():
    """Write the network with a node ``lif`` of the domain that the extensions have."""
    import onnx
    import onnxscript

    parameter, floats = onnx.defs.OpSchema.FormalParameter, ("T", ["tensor(float)"], "")
    domain = "ai.onnx.contrib"
    schema = onnx.defs.OpSchema(
        "lif",
        domain,
        1,
        inputs=[parameter("current", "T")],
        outputs=[parameter("count", "T")],
        type_constraints=[floats],
    )
    node = onnxscript.values.Op(onnxscript.values.Opset(domain, 1), "lif", schema)
    network = opaque()
    network.load_state_dict(torch.load("weights.pth"))
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 8, 8, 1),),
        "opaque.onnx",
        dynamo=True,
        verbose=False,
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        custom_translation_table={
            torch.ops.edge_example.lif.default: lambda current: node(current)
        },
    )


if __name__ == "__main__":
    export()
