"""Ranges of the tensors of an ONNX file, as ONNX Runtime's calibration finds them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

METHODS = ("minmax", "percentile", "entropy")
_NAMES = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
# The tool keeps all tensors of the samples that it is given at a time.
_AT_A_TIME = 8
_LOG_ERRORS_ONLY = 3


def found_ranges(
    owner: object, path: Path, feeds: Iterator[dict[str, Array]], method: str, *, large: bool
) -> Any:
    """Return the range of each tensor over some inputs.

    Parameters
    ----------
    owner : object
        Who asks, for messages.
    path : Path
        A model that was prepared.
    feeds : iterator of dict of str to ndarray
        Inputs of one inference each.
    method : str
        One of :data:`METHODS`. Percentiles are taken of each end for itself.
    large : bool
        Whether weights lie in files of their own.

    Returns
    -------
    onnxruntime.quantization.calibrate.TensorsData
    """
    module: Any = backend("onnxruntime.quantization.calibrate", owner)
    with TemporaryFolder() as folder:
        calibrator = module.create_calibrator(
            path,
            operations(owner),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=getattr(module.CalibrationMethod, _NAMES[method]),
            use_external_data_format=large,
            extra_options={"symmetric": False},
        )
        while chunk := list(itertools.islice(feeds, _AT_A_TIME)):
            calibrator.collect_data(_Reader(iter(chunk)))
        return calibrator.compute_data()


def operations(owner: object) -> list[str]:
    """Return the operations that the quantizer knows."""
    registry: Any = backend("onnxruntime.quantization.registry", owner)
    return sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry})


def ends(ranges: Any) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each tensor."""
    return {
        name: (float(np.min(one.range_value[0])), float(np.max(one.range_value[1])))
        for name, one in ranges.items()
    }


def all_tensors(
    owner: object, path: Path, feeds: Iterator[dict[str, Array]]
) -> Iterator[dict[str, Array]]:
    """Yield the values of all float tensors that a model computes or takes, for each feed."""
    onnx: Any = backend("onnx", owner)
    runtime: Any = backend("onnxruntime", owner)
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    there = {one.name for one in model.graph.output}
    known = {
        one.name: one
        for one in model.graph.value_info
        if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    written = [name for node in model.graph.node for name in node.output if name in known]
    model.graph.output.extend(known[name] for name in written if name not in there)
    options = runtime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    with TemporaryFolder() as folder:
        seen = Path(folder) / "seen.onnx"
        onnx.save(model, str(seen), save_as_external_data=model.ByteSize() > 1 << 30)
        session = runtime.InferenceSession(str(seen), options, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_outputs()]
        for feed in feeds:
            yield {**feed, **dict(zip(names, session.run(names, feed), strict=True))}


@dataclasses.dataclass
class _Reader:
    """Gives the tool the inputs of one inference at a time."""

    samples: Iterator[dict[str, Array]]

    def get_next(self) -> dict[str, Array] | None:
        """Return the next inputs, None after the last ones."""
        return next(self.samples, None)
