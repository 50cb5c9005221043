"""From a module of TVM's Relax to an executable."""

from __future__ import annotations

from typing import Any

from edge_tester.compilers._tvm import schedules, targets
from edge_tester.compilers._tvm.tuning import Tuning

# Operation -> layouts of images and weights. TVM 0.27 has no NHWC form of the second one.
_LAYOUTS = {
    "relax.nn.conv2d": ["NHWC", "HWIO"],
    "relax.nn.conv2d_transpose": ["NCHW", "IOHW"],
}


def built(
    tvm: Any, module: Any, target: Any, opt_level: int, tuning: Tuning | None, own: bool
) -> Any:
    """Optimize, schedule and build a module.

    Processors get the layout NHWC for convolutions and, if ``own``, the schedules of
    :mod:`edge_tester.compilers._tvm.schedules`, or faster ones that tuning found;
    other targets get TVM's own pipeline for them.

    Returns
    -------
    tvm.runtime.Executable
    """
    context = tvm.transform.PassContext(opt_level=opt_level)
    if target.kind.name != "llvm":
        with target, context:
            pipeline = tvm.relax.get_default_pipeline(target)
            return tvm.compile(module, target, relax_pipeline=pipeline)
    with target, context:
        module = _fused(tvm, module)
    lanes = targets.lanes(tvm, target)
    if tuning is not None:
        module = tuning.applied(tvm, module, target, lanes)
    with target, context:
        if own:
            module = schedules.applied(tvm, module, lanes)
        return tvm.compile(module, target)


def _fused(tvm: Any, module: Any) -> Any:
    passes = tvm.relax.transform
    module = tvm.transform.Sequential(
        [passes.DecomposeOpsForInference(), passes.CanonicalizeBindings()]
    )(module)
    return tvm.transform.Sequential(
        [
            tvm.relax.backend.DispatchSampling(),
            tvm.relax.backend.DispatchSortScan(),
            passes.LegalizeOps(),
            passes.AnnotateTIROpPattern(),
            passes.FoldConstant(),
            passes.FuseOps(),
            passes.FuseTIR(),
            passes.DeadCodeElimination(),
        ]
    )(_channels_last(tvm, module))


def _channels_last(tvm: Any, module: Any) -> Any:
    """Return the module with convolutions in the layout NHWC.

    Neighbouring lanes of a vector are neighbouring channels then, whatever the
    size of the image; weights are turned around at compile time.
    """
    try:
        return tvm.relax.transform.ConvertLayout(_LAYOUTS)(module)
    except tvm.error.InternalError:
        # TVM 0.27 cannot turn some models with attention, which stay as they are.
        return module
