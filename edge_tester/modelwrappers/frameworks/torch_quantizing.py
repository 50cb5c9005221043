"""Training of PyTorch networks with the rounding of int8 (quantization-aware)."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.system import torchprograms

# Its argument that says whether statistics are those of the batch, and are kept.
_TRAINING = 5


class QuantizedTraining:
    """A network that rounds as its int8 form will, and learns through the rounding.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        Of the network in training mode.
    owner : object
        The model wrapper.

    Notes
    -----
    Weights are rounded per channel and activations per tensor, by ranges that follow what is seen;
    a batch normalization is folded into its convolution as it will be. Gradients pass the rounding
    as if it were not there. Source: B. Jacob et al., "Quantization and Training of Neural Networks
    for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 3.
    """

    def __init__(self, program: Any, owner: object) -> None:
        self._owner = owner
        self._tools: Any = backend("torchao.quantization.pt2e", owner)
        quantizer = torchprograms.quantizer(owner, is_qat=True)
        self.network = torchprograms.flow(owner).prepare_qat_pt2e(program.module(), quantizer)

    def train(self) -> None:
        """Let dropout and batch normalization behave as in a training."""
        self._tools.move_exported_model_to_train(self.network)

    def freeze(self) -> None:
        """Keep the ranges and the statistics of batch normalization as they are."""
        self.network.apply(self._tools.disable_observer)
        for node in self.network.graph.nodes:
            if str(node.target) == "aten.batch_norm.default":
                arguments = list(node.args)
                arguments[_TRAINING] = False
                node.args = tuple(arguments)
        self.network.recompile()

    def converted(self) -> Any:
        """Return the network with int8 weights, for inference."""
        self._tools.move_exported_model_to_eval(self.network)
        return torchprograms.converted(self.network, self._owner)
