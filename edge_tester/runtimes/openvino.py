"""The OpenVINO runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.core.runtime import Runtime
from edge_tester.runtimes._archived_onnx import onnx_file
from edge_tester.runtimes._openvino.profiler import profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

_NUMBERS = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()


class OpenVINORuntime(Profiles, Runtime):
    """Runs ONNX models with OpenVINO, on Intel's and ARM's processors."""

    input_formats = ("onnx",)
    runs_code = False
    packages = ("openvino",)
    distributions = ("openvino",)

    device: str = option("CPU", help="Device of OpenVINO: CPU, GPU, NPU or one of several, GPU.1")
    num_threads: int = option(1, minimum=1, help="Threads of one inference; for the CPU alone")
    inference_precision: str = option(
        "f32",
        choices=("f32", "f16", "bf16"),
        help="Precision of floating-point operations; left to itself, OpenVINO takes less than "
        "the model's where the processor is faster with it",
    )

    _module: Any = state()
    _core: Any = state()
    _model: Any = state()
    _compiled: Any = state()
    _request: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _shared: list[Array] = state(default_factory=list)
    """Keeps the memory alive that OpenVINO reads from."""
    _narrowed: dict[str, str] = state(default_factory=dict)

    def prepare(self) -> None:
        """Import OpenVINO and look whether it has the device."""
        self._module = backend("openvino", self)
        self._core = self._module.Core()
        devices = self._core.available_devices
        if self.device not in devices and self.device.partition(".")[0] not in devices:
            raise RuntimeStateError(
                f"OpenVINORuntime: this target has no device {self.device!r}; "
                f"there are {', '.join(devices)}."
            )

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a model, replacing an earlier one.

        Open sizes at the batch's axis become ``batch_size``. A fixed one must be
        ``batch_size``; but with a batch size of 1 it may be any, since the model may have no
        batch dimension.
        """
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._request = None
        try:
            model = self._core.read_model(onnx_file(path))
            _set_batch_size(self, model, batch_size, path)
            self._narrowed = _narrowed(model)
            compiled = self._core.compile_model(model, self.device, self._settings())
        except RuntimeError as error:
            raise ModelError(f"OpenVINORuntime cannot load {path}: {_reason(error)}") from error
        self._inputs = [_spec(port, path) for port in compiled.inputs]
        outputs = [_spec(port, path) for port in compiled.outputs]
        self._model, self._compiled = model, compiled
        self._request = compiled.create_infer_request()
        return list(self._inputs), outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Share the tensors' memory with OpenVINO, which refuses some: that is copied.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        self._shared = self._given(self._request, inputs)

    def run(self) -> None:
        """Run the request once."""
        # Not start_async() and wait(), which pass it to another thread: 16 us more were seen.
        self._request.infer()

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        request = self._request
        return [tensor.data.copy() for tensor in request.output_tensors]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Compile the model once more, with counters of its layers."""
        compiled = self._core.compile_model(
            self._model, self.device, {**self._settings(), "PERF_COUNT": "YES"}
        )
        request = compiled.create_infer_request()
        # Shared with the request as long as it runs.
        shared = self._given(request, inputs)
        found = profile(request, compiled, self.device, count)
        del shared
        return found

    def facts(self) -> dict[str, Any]:
        """Return the version, the devices in use and how many layers ran in which kernels."""
        kernels: dict[str, int] = {}
        for layer in self._compiled.get_runtime_model().get_ordered_ops():
            about = layer.get_rt_info()
            kernel = f"{about['layerType'].value} {about['primitiveType'].value}"
            # Without a kernel: constants, and reshapes that move nothing.
            if " unknown" not in kernel:
                kernels[kernel] = kernels.get(kernel, 0) + 1
        # What it was asked for, or what the device has instead.
        computed = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        facts: dict[str, Any] = {
            "version": self._module.__version__ if self._module else None,
            "devices": list(self._compiled.get_property("EXECUTION_DEVICES")),
            "num_threads": self._compiled.get_property("INFERENCE_NUM_THREADS")
            if self.device == "CPU"
            else None,
            "inference_precision": computed,
            "kernels": kernels,
        }
        remarks = []
        if computed != self.inference_precision:
            remarks.append(
                f"OpenVINO computes in {computed} here, where {self.inference_precision} was asked "
                "for: the device has no instructions for that."
            )
        if self._narrowed and self.device.partition(".")[0] == "CPU":
            facts["computed_as"] = self._narrowed
            words = ", ".join(f"{wide} as {narrow}" for wide, narrow in self._narrowed.items())
            remarks.append(
                f"OpenVINO's CPU plugin computes {words}: values beyond the smaller type come out "
                "wrong."
            )
        if remarks:
            facts["remarks"] = remarks
        return facts

    def _settings(self) -> dict[str, str]:
        settings = {"INFERENCE_PRECISION_HINT": self.inference_precision}
        if self.device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = str(self.num_threads)
        return settings

    def _given(self, request: Any, inputs: Sequence[Array]) -> list[Array]:
        """Share the memory of inputs with a request; return what must live as long."""
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        # Carray: contiguous, aligned and writeable.
        shared = [values if values.flags.carray else values.copy() for values in inputs]
        for index, one in enumerate(shared):
            request.set_input_tensor(index, self._module.Tensor(one, shared_memory=True))  # type: ignore[union-attr]
        return shared


def _set_batch_size(runtime: Runtime, model: Any, batch_size: int, path: Path) -> None:
    axis = runtime.batch_axis
    if axis is None:
        return
    ports = [port for port in model.inputs if len(port.partial_shape) > axis]
    first = [port.partial_shape[axis] for port in ports]
    fixed = first[0].get_length() if first and first[0].is_static else None
    runtime.require_batch_size(path, fixed, batch_size)
    shapes = {}
    for port in ports:
        shape = port.partial_shape
        if shape[axis].is_dynamic:
            shape[axis] = batch_size
            shapes[port] = shape
    if shapes:
        model.reshape(shapes)


def _narrowed(model: Any) -> dict[str, str]:
    """Return the types that the CPU plugin replaces by smaller ones, where values need them.

    64-bit integers serve shapes in nearly every model; they count where they come in, go out,
    or are made of floats. Source: the plugin's ConvertPrecision pass,
    openvino/src/plugins/intel_cpu/src/transformations/transformation_pipeline.cpp.
    """
    types = {"i64": "int32", "u64": "int32", "u32": "int32", "f64": "float32"}
    ports = [*model.inputs, *model.outputs]
    found = {port.element_type.get_type_name() for port in ports}
    for operation in model.get_ops():
        if operation.get_type_name() != "Constant":
            outputs = {port.get_element_type().get_type_name() for port in operation.outputs()}
            found |= outputs & {"f64", "u64"}
    names = {"i64": "int64", "u64": "uint64", "u32": "uint32", "f64": "float64"}
    return {names[one]: types[one] for one in sorted(found & types.keys())}


def _spec(port: Any, path: Path) -> TensorSpec:
    from edge_tester.core.tensors import TensorSpec

    dtype = port.element_type.to_dtype().name
    if dtype not in _NUMBERS:
        raise ModelError(
            f"Tensor {port.any_name!r} of {path} must be a tensor of real numbers or bool, "
            f"got {port.element_type.get_type_name()}."
        )
    shape = [None if size.is_dynamic else size.get_length() for size in port.partial_shape]
    return TensorSpec(name=port.any_name, shape=tuple(shape), dtype=dtype)


def _reason(error: Exception) -> str:
    """Return the last line of an error: those before say where in OpenVINO's source it arose."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
