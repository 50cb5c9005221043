"""Quantization after training by PyTorch's export flow (PT2E), for XNNPACK's kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system import torchprograms

# Operators whose second argument are weights, the channels that they give along the first axis.
_WEIGHTED = ("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default") + (
    "aten.linear.default",
)


def require_float(model: ModelWrapper, program: Any, owner: object) -> None:
    """See that a program is not quantized, where that cannot be taken or would be done twice.

    Raises
    ------
    CompilationError
        It is.
    """
    if torchprograms.is_quantized(program):
        raise CompilationError(
            f"{type(owner).__name__} takes float programs for this, but {model.model_path} is "
            "quantized already. Take the float model that it was made from; or the compilers "
            "onnx, executorch and torchscript, whose target or precision is then that of the file."
        )


def calibrated(module: Any, examples: tuple[Any, ...], samples: Calibration, owner: object) -> Any:
    """Return a module with int8 weights per channel, and int8 activations per tensor.

    Parameters
    ----------
    module : torch.fx.GraphModule
        Of an exported program.
    examples : tuple of torch.Tensor
        Inputs with as many samples as the module takes at once.
    samples : iterator of lists of ndarray of shape (1, ...)
        Preprocessed. One sample fills the batch of a module that takes more.
    owner : object
        The compiler.
    """
    torch = backend("torch", owner)
    prepared = torchprograms.flow(owner).prepare_pt2e(module, torchprograms.quantizer(owner))
    for sample in samples:
        prepared(
            *(
                torch.from_numpy(np.repeat(values, len(example), axis=0)).to(example.dtype)
                for values, example in zip(sample, examples, strict=True)
            )
        )
    return torchprograms.converted(prepared, owner)


def weighed(module: Any, examples: tuple[Any, ...], quantizer: Any, owner: object) -> Any:
    """Return a module with what a quantizer does where no activation has a range of its own."""
    prepared = torchprograms.flow(owner).prepare_pt2e(module, quantizer)
    # The weights are seen when it runs, whatever it runs on.
    prepared(*examples)
    return torchprograms.converted(prepared, owner)


def weights_quantizer(owner: object) -> Any:
    """Return a quantizer of weights alone: int8, symmetric, per channel."""
    torch = backend("torch", owner)
    flow: Any = backend("torchao.quantization.pt2e", owner)
    base: Any = backend("torchao.quantization.pt2e.quantizer", owner)
    specification = base.QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=flow.PerChannelMinMaxObserver.with_args(eps=2**-12),
    )

    class WeightsQuantizer(base.Quantizer):  # type: ignore[misc]
        """What XNNPACK's has no setting for."""

        def annotate(self, model: Any) -> Any:
            for node in model.graph.nodes:
                if str(node.target) in _WEIGHTED and node.args[1].op == "get_attr":
                    annotation = base.QuantizationAnnotation(
                        input_qspec_map={node.args[1]: specification}, _annotated=True
                    )
                    node.meta["quantization_annotation"] = annotation
            return model

        def validate(self, model: Any) -> None:
            """There is nothing that could be wrong."""

    return WeightsQuantizer()
