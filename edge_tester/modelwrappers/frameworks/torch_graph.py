"""The graph of an exported PyTorch program: operations of ATen, named after their modules.

Source of the operations' arguments: PyTorch, aten/src/ATen/native/native_functions.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import EdgeTesterError, ModelError, OptionError
from edge_tester.core.graphs import (
    Attention,
    Convolution,
    Form,
    Free,
    Graph,
    GraphTensor,
    Operator,
    Product,
    Recurrent,
    Unknown,
    Work,
)
from edge_tester.core.model import ModelWrapper
from edge_tester.modelwrappers.frameworks.einsums import einsum_work

# Operation -> which argument's last size is summed over.
_PRODUCTS = {
    **{"linear": 0, "matmul": 0, "mm": 0, "bmm": 0, "mv": 0, "dot": 0, "vdot": 0, "inner": 0},
    **{"addmm": 1, "addmv": 1, "baddbmm": 1},
}
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
# Where their number of groups stands among the arguments.
_GROUPS_OF_ANY, _GROUPS_OF_TRANSPOSED = 8, 6
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_CELLS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
_VIEWS = frozenset(
    "view reshape flatten unflatten squeeze unsqueeze transpose permute t slice select expand "
    "expand_as alias detach movedim swapaxes view_as _unsafe_view narrow broadcast_to "
    "diagonal".split()
)
_ACTIVATIONS = frozenset(
    "relu relu6 hardtanh gelu silu sigmoid tanh elu selu celu leaky_relu hardswish hardsigmoid "
    "mish softplus softsign prelu dropout feature_dropout batch_norm "
    "_native_batch_norm_legit_no_training clamp clamp_min clamp_max neg abs exp log sqrt rsqrt "
    "reciprocal square erf floor ceil round log_sigmoid hardshrink softshrink tanhshrink "
    "threshold sin cos logical_not bitwise_not sign expm1 log1p".split()
)
_ELEMENTWISE = frozenset(
    "add sub mul div rsub pow maximum minimum where eq ne lt le gt ge addcmul addcdiv "
    "logical_and logical_or bitwise_and bitwise_or masked_fill fmod remainder lerp atan2 "
    "floor_divide copysign".split()
)
_FREE = frozenset(
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d "
    "max_pool2d_with_indices mean sum amax amin max min prod var std argmax argmin cat stack "
    "softmax log_softmax _softmax _log_softmax layer_norm native_layer_norm group_norm "
    "native_group_norm instance_norm rms_norm pad constant_pad_nd reflection_pad1d "
    "reflection_pad2d replication_pad2d embedding index index_select gather clone contiguous to "
    "_to_copy split chunk split_with_sizes unbind unfold zeros ones full empty arange "
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full scalar_tensor "
    "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d upsample_nearest1d "
    "upsample_linear1d interpolate pixel_shuffle pixel_unshuffle channel_shuffle repeat "
    "repeat_interleave tile roll flip cumsum sort topk linalg_vector_norm norm normalize copy "
    "slice_scatter select_scatter scatter tril triu one_hot any all count_nonzero "
    "nonzero_static glu local_response_norm cosine_similarity eye linspace type_as bernoulli "
    "rand randn index_put grid_sampler affine_grid_generator im2col col2im quantize_per_tensor "
    "dequantize_per_tensor quantize_per_channel dequantize_per_channel".split()
)


_INNER = (
    "Conditions or loops run graphs within, as often as their inputs say: none of their weights, "
    "work and memory is counted."
)


class Reader:
    """Reads one program.

    Parameters
    ----------
    torch : module
    program : torch.export.ExportedProgram
    batch_size : int or None
        For sizes that are open.
    path : Path
        Of the file, for its name and messages.
    file_bytes : int
    """

    def __init__(
        self, torch: Any, program: Any, batch_size: int | None, path: Path, file_bytes: int
    ) -> None:
        self._torch, self._program, self._path = torch, program, path
        self._asked, self._file_bytes = batch_size, file_bytes
        self._batch = 1 if batch_size is None else batch_size
        self._tensors: dict[str, GraphTensor] = {}
        # What each node gives: a tensor's name, or one of each of several.
        self._given: dict[Any, list[str]] = {}

    def graph(self) -> Graph:
        """Return the graph.

        Raises
        ------
        OptionError
            The program does not take this batch size.
        ModelError
            It takes no tensor.
        """
        self._symbols()
        inputs = self._placeholders()
        if not inputs:
            raise ModelError(f"{self._path} takes no tensor: there is nothing to analyze.")
        self._check_batch(inputs)
        operators = [one for node in self._program.graph.nodes if (one := self._operator(node))]
        (output,) = self._program.graph.output_node().args
        # What conditions and loops run are modules of the program.
        inner = any(node.op == "get_attr" for node in self._program.graph.nodes)
        outputs = [name for node in _nodes(output) for name in self._given.get(node, ()) if name]
        return Graph(
            name=self._path.stem,
            format="torch",
            batch_size=self._tensors[inputs[0]].shape[0] if self._has_batch(inputs) else 1,  # type: ignore[index]
            tensors=self._tensors,
            operators=tuple(operators),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            file_bytes=self._file_bytes,
            notes=(_INNER,) if inner else (),
            incomplete=inner,
        )

    def _has_batch(self, inputs: list[str]) -> bool:
        return bool(inputs and self._tensors[inputs[0]].shape)

    def _symbols(self) -> None:
        """Find what sizes the program leaves open: that of the batch alone."""
        user = set(self._program.graph_signature.user_inputs)
        self._open: dict[Any, int] = {}
        for node in self._program.graph.nodes:
            value = node.meta.get("val")
            if node.op != "placeholder" or node.name not in user or not hasattr(value, "shape"):
                continue
            for axis, size in enumerate(value.shape):
                if isinstance(size, int):
                    continue
                for symbol in size.node.expr.free_symbols:
                    if axis:
                        raise OptionError(
                            f"{self._path}: size {axis} of {node.name} is open, and not the "
                            "batch's: export the program with a fixed one."
                        )
                    self._open[symbol] = self._batch

    def _check_batch(self, inputs: list[str]) -> None:
        if self._asked is None or not self._has_batch(inputs):
            return
        found = self._tensors[inputs[0]].shape[0]  # type: ignore[index]
        if found != self._asked:
            raise OptionError(
                f"{self._path} was exported for a batch of {found}, not for --batch-size "
                f"{self._asked}: export it with an open batch."
            )

    def _placeholders(self) -> list[str]:
        signature = self._program.graph_signature
        learned = dict(signature.inputs_to_parameters)
        held = {**signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
        inputs = []
        for node in self._program.graph.nodes:
            if node.op != "placeholder" or not hasattr(node.meta.get("val"), "shape"):
                continue
            name = str(learned.get(node.name) or held.get(node.name) or node.name)
            role: Any = "activation"
            if node.name in learned:
                role = "parameter"
            elif node.name in held:
                role = "constant"
            else:
                inputs.append(name)
            self._add(node, [name], [node.meta["val"]], role)
        return inputs

    def _add(
        self, node: Any, names: list[str], values: list[Any], role: Any = "activation"
    ) -> None:
        self._given[node] = names
        for name, value in zip(names, values, strict=True):
            if name:
                dtype = str(value.dtype).removeprefix("torch.")
                self._tensors[name] = GraphTensor(
                    name=name, shape=self._shape(value), dtype=dtype, role=role
                )

    def _shape(self, value: Any) -> tuple[int, ...] | None:
        found = []
        for size in value.shape:
            if isinstance(size, int):
                found.append(size)
                continue
            expression = size.node.expr.subs(self._open)
            if not expression.is_integer or not expression.is_number:
                return None
            found.append(int(expression))
        return tuple(found)

    def _operator(self, node: Any) -> Operator | None:
        if node.op != "call_function":
            return None
        kind = _kind(node.target)
        # What ends with it writes into its first argument.
        overwrites = kind.endswith("_") and not kind.startswith("_")
        kind = kind.rstrip("_") if overwrites else kind
        if kind == "getitem":
            source = self._given.get(node.args[0])
            if source is not None and len(source) > node.args[1]:
                self._given[node] = [source[node.args[1]]]
            return None
        value = node.meta.get("val")
        values = list(value) if isinstance(value, tuple | list) else [value]
        if not any(hasattr(one, "shape") for one in values):
            return None
        many = len(values) > 1
        names = [
            (f"{node.name}.{i}" if many else node.name) if hasattr(one, "shape") else ""
            for i, one in enumerate(values)
        ]
        inputs = [
            name
            for argument in [*node.args, *node.kwargs.values()]
            for one in _nodes(argument)
            for name in self._given.get(one, ())
            if name
        ]
        constant = bool(inputs) and all(self._tensors[n].role != "activation" for n in inputs)
        if constant or not inputs:
            # Made of constants alone, or of nothing, as zeros are.
            first = inputs[0] if inputs else ""
            self._add(node, names, values, "constant")
            for name in filter(None, names):
                root = self._tensors[first].source or first if first else ""
                self._tensors[name] = msgspec.structs.replace(self._tensors[name], source=root)
            return None
        self._add(node, names, values)
        work = self._work(kind, node)
        form: Form = "other"
        if overwrites or (kind in _VIEWS and not many):
            form = "view"
        elif kind in _ACTIVATIONS:
            form = "activation"
        elif kind in _ELEMENTWISE:
            form = "elementwise"
        return Operator(
            name=node.name,
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(filter(None, names)),
            work=work,
            layer=_module(node.meta.get("nn_module_stack") or {}),
            form=form,
        )

    def _work(self, kind: str, node: Any) -> Work:
        """Return what an operation computes."""
        arguments = node.args
        if kind in _CONVOLUTIONS or kind in _TRANSPOSED:
            return self._convolution(kind, arguments)
        if kind in _PRODUCTS:
            shape = self._of(arguments[_PRODUCTS[kind]])
            return (
                Unknown(reason="Its sizes are not known.")
                if not shape
                else Product(contracted=shape[-1])
            )
        if kind == "einsum":
            return einsum_work(arguments[0], [self._of(one) for one in arguments[1]])
        if kind == "scaled_dot_product_attention":
            keys = self._of(arguments[1])
            return Attention(keys=keys[-2]) if keys else Unknown(reason="Its sizes are not known.")
        if kind in _RECURRENT and str(node.target).endswith(".input"):
            shape = self._of(arguments[0])
            return _recurrent(shape, [self._of(one) for one in arguments[2]])
        if kind in _CELLS:
            shape = self._of(arguments[0])
            return _recurrent(shape, [self._of(one) for one in arguments[2:4]])
        known = kind in _FREE or kind in _VIEWS or kind in _ACTIVATIONS or kind in _ELEMENTWISE
        if known or self._torch.Tag.pointwise in getattr(node.target, "tags", ()):
            return Free()
        return Unknown(reason=f"What {kind} computes is not known here.")

    def _of(self, node: Any) -> tuple[int, ...] | None:
        names = self._given.get(node, [])
        return self._tensors[names[0]].shape if names else None

    def _convolution(self, kind: str, arguments: Any) -> Work:
        values, weights = self._of(arguments[0]), self._of(arguments[1])
        if values is None or weights is None:
            return Unknown(reason="Its sizes are not known.")
        kernel = weights[2:]
        # Without a batch there is one axis less.
        channels = values[-len(kernel) - 1]
        general = kind in ("convolution", "_convolution")
        if not (kind in _TRANSPOSED or (general and arguments[6])):
            return Convolution(
                kernel=kernel,
                input_channels=channels,
                output_channels=weights[0],
                groups=channels // weights[1],
            )
        place = _GROUPS_OF_ANY if general else _GROUPS_OF_TRANSPOSED
        groups = arguments[place] if len(arguments) > place else 1
        return Convolution(
            kernel=kernel,
            input_channels=channels,
            output_channels=weights[1] * groups,
            groups=groups,
            transposed=True,
        )


def _recurrent(shape: tuple[int, ...] | None, weights: list[tuple[int, ...] | None]) -> Work:
    if shape is None or None in weights:
        return Unknown(reason="Its sizes are not known.")
    matrices = sum(math.prod(one) for one in weights if one and len(one) == 2)
    return Recurrent(cells=math.prod(shape[:-1]), weights=matrices)


def _kind(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return (
        str(schema.name).partition("::")[2] if schema else str(getattr(target, "__name__", target))
    )


def _nodes(argument: Any) -> list[Any]:
    """Return the nodes in an argument, in their order."""
    if isinstance(argument, tuple | list):
        return [node for one in argument for node in _nodes(one)]
    if isinstance(argument, dict):
        return [node for one in argument.values() for node in _nodes(one)]
    return [argument] if hasattr(argument, "meta") else []


def _module(stack: Mapping[str, Any]) -> str:
    paths = [str(path) for path, _ in stack.values() if not str(path).startswith("_empty")]
    return paths[-1] if paths else ""


def exported_graph(owner: ModelWrapper, export: Callable[[], Any], batch_size: int | None) -> Graph:
    """Return the graph of the program that a wrapper exports; see :meth:`Reader.graph`.

    Raises
    ------
    ModelError
        The network cannot be exported, or takes no tensor.
    """
    torch = backend("torch", owner)
    path = owner.model_path
    try:
        program = export()
    except EdgeTesterError:
        raise
    # torch.export has no base of its errors.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{type(owner).__name__}: torch.export gives no graph of {path}: {reason}"
        ) from error
    reader = Reader(torch, program, batch_size, path, owner.artifact().size_bytes)
    return reader.graph()
