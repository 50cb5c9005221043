"""The Core ML runtime."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend, version
from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.core.options import option, state
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.runtimes._coreml_package import package_of

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

_UNITS = {
    "all": "ALL",
    "cpu": "CPU_ONLY",
    "cpu-and-gpu": "CPU_AND_GPU",
    "cpu-and-neural-engine": "CPU_AND_NE",
}
# Source: Core ML model format, FeatureTypes.proto, ArrayFeatureType.ArrayDataType.
_DTYPES = {65552: "float16", 65568: "float32", 65600: "float64", 131104: "int32"}


class CoreMLRuntime(Runtime):
    """Runs Core ML programs (.mlpackage) with Core ML, on macOS alone."""

    input_formats = ("coreml",)
    runs_code = True
    packages = ("coremltools",)
    distributions = ("coremltools",)

    compute_units: str = option(
        "all", choices=tuple(_UNITS), help="Processors that Core ML may use"
    )

    _tools: Any = state()
    _model: Any = state()
    _scratch: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _outputs: list[TensorSpec] = state(default_factory=list)
    _feeds: Any = state()
    _results: Any = state()

    @classmethod
    def unusable(cls) -> str:
        """Say if this is no Mac."""
        system = platform.system()
        return "" if system == "Darwin" else f"predicts on macOS alone, this is {system}"

    def prepare(self) -> None:
        """Import coremltools and see whether this is a Mac."""
        with quiet():
            self._tools = backend("coremltools", self)
        if reason := self.unusable():
            raise RuntimeStateError(
                f"CoreMLRuntime {reason}. MILRuntime computes what a converted program says, "
                "anywhere, but not as fast and not in Core ML's own kernels."
            )

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a package, or an archive of one, replacing an earlier one."""
        self._model = self._feeds = self._results = None
        self._scratch = TemporaryFolder()
        folder = package_of(path, Path(self._scratch.name))
        units = getattr(self._tools.ComputeUnit, _UNITS[self.compute_units])
        try:
            model = self._tools.models.MLModel(str(folder), compute_units=units)
        # Its own errors and the system's have no base in common.
        except Exception as error:
            raise ModelError(f"CoreMLRuntime cannot load {path}: {error}") from error
        description = model.get_spec().description
        self._inputs = [_spec(feature, path) for feature in description.input]
        self._outputs = [_spec(feature, path) for feature in description.output]
        fixed = next((spec.shape[0] for spec in self._inputs if spec.shape), None)
        self.require_batch_size(path, fixed, batch_size)
        self._model = model
        return list(self._inputs), list(self._outputs)

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep references to the tensors.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        pairs = zip(self._inputs, inputs, strict=True)
        self._feeds = {spec.name: values for spec, values in pairs}

    def run(self) -> None:
        """Predict once."""
        self._results = self._model.predict(self._feeds)

    def get_outputs(self) -> list[Array]:
        """Return the outputs of the last run."""
        return [self._results[spec.name].astype(spec.dtype) for spec in self._outputs]

    def facts(self) -> dict[str, Any]:
        """Return the version and the processors that may be used."""
        return {"version": version("coremltools"), "compute_units": self.compute_units}


def _spec(feature: Any, path: Path) -> TensorSpec:
    from edge_tester.core.tensors import TensorSpec

    array = feature.type.multiArrayType
    dtype = _DTYPES.get(array.dataType)
    if dtype is None:
        raise ModelError(
            f"Tensor {feature.name!r} of {path} must be an array of real numbers, "
            f"got type {array.dataType} of Core ML."
        )
    return TensorSpec(name=feature.name, shape=tuple(array.shape), dtype=dtype)
