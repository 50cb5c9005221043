"""The one place where optional packages are imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from types import ModuleType

from edge_tester.core.errors import BackendMissingError
from edge_tester.core.system.quiet import quiet

# Import name -> extra of this package that installs it.
EXTRAS = {
    "ai_edge_litert": "tflite",
    "ai_edge_quantizer": "quantizer",
    "coremltools": "coreml",
    "cryptography": "keys",
    "executorch": "executorch",
    "h5py": "tensorflow",
    "jinja2": "host",
    "keras": "tensorflow",
    "matplotlib": "host",
    "onnx": "onnx",
    "onnx2torch": "onnx2torch",
    "onnxruntime": "onnx",
    "onnxruntime_extensions": "customops",
    "onnxscript": "torch",
    "openvino": "openvino",
    "optuna": "sweep",
    "pandas": "pandas",
    "psycopg": "postgresql",
    "pynvml": "nvml",
    "PIL": "host",
    "rich": "host",
    "serial": "serial",
    "sklearn": "digits",
    "sqlalchemy": "sweep",
    "tensorboard": "tensorflow",
    "tensorflow": "tensorflow",
    "tf2onnx": "tensorflow",
    "tflite": "tvm",
    "tflite_micro": "micro",
    "torch": "torch",
    "torch_pruning": "torch",
    "torchao": "torch",
    "torchvision": "onnx2torch",
    "tvm": "tvm",
    "yaml": "host",
}

# Package -> environment variables that it reads on import, set unless the user did.
ENVIRONMENT = {
    "keras": {"KERAS_BACKEND": "tensorflow"},
    # What is measured here is nobody else's business.
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "tensorflow": {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
}
# Packages that greet the user, or whose own packages do, with lines of native code which nothing
# else silences.
_TALKATIVE = {"coremltools", "keras", "tensorflow", "tf2onnx"}


def backend(name: str, needed_by: object) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    name : str
        Import name, dotted names included (``"ai_edge_litert.interpreter"``).
    needed_by : object or str
        Who asks: an instance, a class or a plain name for the message.

    Raises
    ------
    BackendMissingError
        The package is not installed. A package that is installed but broken
        raises its own error instead, so that the cause is never hidden.
    """
    package = name.partition(".")[0]
    if not available(package):
        raise BackendMissingError(
            f"{_name_of(needed_by)} needs {package}: {install_command([package], needed_by)}"
        )
    for variable, value in ENVIRONMENT.get(package, {}).items():
        os.environ.setdefault(variable, value)
    if package in ("torchvision", "onnx2torch"):
        # The latter imports the former.
        _prepare_torchvision()
    if package in _TALKATIVE and package not in sys.modules:
        with quiet():
            return importlib.import_module(name)
    return importlib.import_module(name)


def _prepare_torchvision() -> None:
    """Let torchvision be imported where its operations are not for this build of PyTorch.

    Its Linux wheels have operations for PyTorch with CUDA; with another build it fails at two of
    them. Declared, they fail when a network needs them.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        define = vars(importlib.import_module("torch"))["library"].define
        for name in ("nms", "qnms"):
            define(
                f"torchvision::{name}",
                "(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor",
            )


def install_command(packages: Iterable[str], needed_by: object = "") -> str:
    """Return the command that installs packages, given by their import names.

    What no extra of this package brings is named as it is. A plugin from elsewhere knows
    itself what it needs: for it, its own distribution is named, with the extra that brings
    the packages if it has one.
    """
    packages = list(packages)
    if distribution := distribution_of(needed_by):
        extras = sorted(_extras_of(distribution, packages))
        return (
            f"pip install '{distribution}[{','.join(extras)}]'"
            if extras
            else (f"pip install {distribution}")
        )
    extras = sorted({EXTRAS[name] for name in packages if name in EXTRAS})
    others = sorted({name for name in packages if name not in EXTRAS})
    words = [f"'edge_tester[{','.join(extras)}]'"] if extras else []
    return f"pip install {' '.join([*words, *others])}"


def distribution_of(needed_by: object) -> str | None:
    """Return the distribution that a plugin from elsewhere is of; None for this package's own.

    None as well for a module that no distribution installed, such as one in the user's folder.
    """
    if isinstance(needed_by, str):
        return None
    cls = needed_by if isinstance(needed_by, type) else type(needed_by)
    package = cls.__module__.partition(".")[0]
    if package == __name__.partition(".")[0]:
        return None
    from importlib import metadata

    for found in metadata.distributions():
        points = {point.value.partition(":")[0].partition(".")[0] for point in found.entry_points}
        names = (found.read_text("top_level.txt") or "").split()
        if package in points or package in names:
            return found.metadata["Name"]
    return None


def _extras_of(distribution: str, packages: Iterable[str]) -> set[str]:
    """Return which extras of a distribution require packages that are imported by these names."""
    from importlib import metadata

    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in packages}
    found = set()
    for line in metadata.requires(distribution) or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name and extra and re.sub(r"[-_.]+", "-", name[0]).lower() in wanted:
            found.add(extra[1])
    return found


def available(*names: str) -> bool:
    """Tell whether all these packages are installed, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in names)


def missing_packages(packages: Iterable[str]) -> list[str]:
    """Return which of these import names are not installed.

    Parameters
    ----------
    packages : iterable of str
        Alternatives are separated by ``|``; of several that are missing the first is named.
    """
    return [
        names[0]
        for names in (one.split("|") for one in packages)
        if not any(available(name) for name in names)
    ]


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, None if it is absent."""
    # importlib.metadata costs 20 ms to import; most commands never need it.
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _name_of(needed_by: object) -> str:
    if isinstance(needed_by, str):
        return needed_by
    return (needed_by if isinstance(needed_by, type) else type(needed_by)).__name__
