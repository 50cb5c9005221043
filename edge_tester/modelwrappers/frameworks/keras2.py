"""Model files of Keras 2 that Keras 3 cannot load."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.core.making.toolenvironment import default_tools_folder, run_python, tool_python
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.files import sha256_of
from edge_tester.core.system.temporary import folder_beside
from edge_tester.modelwrappers.frameworks import _tf_keras_tool
from edge_tester.modelwrappers.frameworks.training import one_line

_TOOL = "tf_keras"
# What Keras prints of a layer that it cannot make; it is long, and says nothing to the user.
_CONFIG = re.compile(
    r"\s*(using config=|Full object config:|config=)\s*\{.*?\}\.?(?=\s*(Exception encountered|$))",
    re.DOTALL,
)


def reason(error: Exception) -> str:
    """Return in one line what Keras said, without the configuration that it printed."""
    return one_line(type(error)(_CONFIG.sub("", str(error))))


def is_of_keras_2(path: Path, needed_by: object) -> bool:
    """Tell whether a file was written by Keras 1 or 2.

    Raises
    ------
    ModelError
        It is an HDF5 file of weights alone.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            try:
                written = json.loads(archive.read("metadata.json")).get("keras_version", "")
            except (KeyError, ValueError):
                return False
        return str(written).startswith(("1.", "2."))
    h5py: Any = backend("h5py", needed_by)
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ModelError(
                f"{path} holds weights without the model that they belong to: save the whole model."
            )
        written = file.attrs.get("keras_version", "1.")
    text = written.decode() if isinstance(written, bytes) else str(written)
    return text.startswith(("1.", "2."))


def loaded(model: ModelWrapper) -> Any:
    """Return a file of Keras 2 as a network of Keras 3 that computes the same.

    It is converted once, by tf_keras in an environment of its own, and kept.

    Raises
    ------
    ModelError
        There is no tf_keras to be had, or it cannot load the file either.
    """
    keras: Any = backend("tensorflow", model).keras
    folder = _converted(model)
    inputs = [
        keras.Input(batch_shape=one["shape"], dtype=one["dtype"], name=one["name"])
        for one in json.loads((folder / "inputs.json").read_bytes())
    ]
    function = keras.layers.TFSMLayer(folder, call_endpoint="serve")
    return keras.Model(inputs, function(inputs if len(inputs) > 1 else inputs[0]))


def _converted(model: ModelWrapper) -> Path:
    tensorflow: Any = backend("tensorflow", model)
    tools = default_tools_folder()
    script = Path(str(_tf_keras_tool.__file__))
    # Another version of the script may write something else.
    name = f"{sha256_of(model.model_path)[:16]}-{sha256_of(script)[:8]}"
    place = tools.parent / "keras2" / name
    if place.exists():
        return place
    version = ".".join(tensorflow.__version__.split(".")[:2])
    try:
        # TensorFlow, which it needs, is here.
        python = tool_python(_TOOL, ["--no-deps", f"{_TOOL}~={version}.0"], tools)
    except CompilationError as error:
        raise ModelError(
            f"{model.model_path} is of Keras 2, and Keras 3 cannot load it. {_TOOL} can, but no "
            f"environment could be made for it: {error}"
        ) from error
    place.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(place) as scratch:
        made = scratch / "model"
        packages = Path(tensorflow.__file__).parent.parent
        source = str(model.model_path.resolve())
        try:
            run_python(python, [str(script), source, str(made), str(packages)], _TOOL)
        except CompilationError as error:
            raise ModelError(
                f"{model.model_path} is of Keras 2, and {_TOOL} cannot load it either: {error}"
            ) from error
        try:
            made.rename(place)
        except OSError:
            # Someone else has been faster.
            if not place.exists():
                raise
    return place
