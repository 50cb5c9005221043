"""Constants that stand for "nothing" in float32, as float16 can say them.

Attention masks add the smallest float32 to what shall not count. coremltools turns it into
-infinity, and a row that is masked as a whole then becomes NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_tester.core.backends import backend

# What coremltools takes for infinite.
_SENTINEL = 1e38
# Half of the range, so that adding to it does not leave it; exp() of it is 0 all the same.
_MASK = 32752.0
_LARGEST_FLOAT16 = 65504.0
# What these compare with does not get added to anything.
_BOUNDED = {"clip", "maximum", "minimum"}
_PASS = "edge_tester::mask_constants"
_BEFORE = "common::add_fp16_cast"


def pipeline(tools: Any, needed_by: object) -> Any:
    """Return coremltools' passes with one before the cast to float16 that cuts such constants.

    Parameters
    ----------
    tools : module
        ``coremltools``.
    needed_by : object
    """
    registry: Any = backend("coremltools.converters.mil.mil.passes.pass_registry", needed_by)
    if _PASS not in registry.PASS_REGISTRY:
        _register(registry, needed_by)
    passes = tools.PassPipeline()
    names = list(passes.passes)
    passes.insert_pass(names.index(_BEFORE), _PASS)
    return passes


def _register(registry: Any, needed_by: object) -> None:
    graphs: Any = backend("coremltools.converters.mil.mil.passes.graph_pass", needed_by)
    builder: Any = backend("coremltools.converters.mil.mil", needed_by).Builder

    class MaskConstants(graphs.AbstractGraphPass):  # type: ignore[misc]
        """Replaces constants beyond what float16 holds that stand for infinity."""

        def apply(self, program: Any) -> None:
            for function in program.functions.values():
                _cut(builder, function)

    namespace, _, name = _PASS.partition("::")
    registry.register_pass(namespace, name=name)(MaskConstants)


def _cut(builder: Any, block: Any) -> None:
    for operation in list(block.operations):
        for inner in operation.blocks:
            _cut(builder, inner)
        if operation.op_type != "const":
            continue
        (variable,) = operation.outputs
        values = variable.val
        # Only constants of floats have such values, and only finite ones are not meant so.
        if not isinstance(values, np.floating | np.ndarray) or values.dtype != np.float32:
            continue
        cut = np.isfinite(values) & (np.abs(values) >= _SENTINEL)
        if not np.any(cut):
            continue
        bounded = all(child.op_type in _BOUNDED for child in variable.child_ops)
        limit = np.float32(_LARGEST_FLOAT16 if bounded else _MASK)
        with block:
            replaced = builder.const(
                val=np.where(cut, np.sign(values) * limit, values).astype(np.float32)[()],
                name=f"{variable.name}_cut",
                before_op=operation,
            )
        block.replace_uses_of_var_after_op(anchor_op=operation, old_var=variable, new_var=replaced)
