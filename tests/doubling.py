"""Good plugins of a made-up format, which suites are tried on."""

import numpy as np

from edge_tester.core.artifact import Weights
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError, ModelError, RuntimeStateError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import TensorSpec

HEADER = b"DOUBLES\n"


class DoublingRuntime(Runtime):
    """Doubles numbers: a good runtime of a made-up format."""

    input_formats = ("doubling",)

    ready: bool = state(False)
    model_loaded: bool = state(False)
    inputs: np.ndarray | None = state()
    outputs: np.ndarray | None = state()

    def prepare(self):
        self.ready = True

    def load(self, path, batch_size):
        self.model_loaded, self.inputs, self.outputs = False, None, None
        if not self.ready:
            raise RuntimeStateError("not prepared")
        if not path.exists() or path.read_bytes() != HEADER + b"x" * 99:
            raise ModelError(f"{path} is no doubling model")
        self.model_loaded = True
        return [self.spec(batch_size)], [self.spec(batch_size)]

    def spec(self, batch_size):
        return TensorSpec("numbers", (batch_size, 4), "float32")

    def set_inputs(self, inputs):
        if not self.model_loaded:
            raise RuntimeStateError("no model")
        if len(inputs) != 1 or inputs[0].dtype != np.float32 or inputs[0].ndim != 2:
            raise InputError("takes one array of float32, shape (batch, 4)")
        self.inputs = inputs[0]

    def run(self):
        if self.inputs is None:
            raise RuntimeStateError("no inputs")
        self.outputs = self.inputs * 2

    def get_outputs(self):
        if self.outputs is None:
            raise RuntimeStateError("no outputs")
        return [self.outputs]


class MeanDataset(Dataset):
    """Random numbers, enough to calibrate with."""

    calibration_fraction: float = option(0.5, help="Part of the samples for calibrating")

    def __len__(self):
        return 400

    def load(self, indices):
        rows = [np.random.default_rng(int(i)).random(4, np.float32) for i in indices]
        return Samples((np.stack(rows),), None)


class DoublingModel(ModelWrapper):
    """Doubles numbers on the host."""

    @property
    def format(self):
        return "doubling"

    def load(self):
        if self.model_path.read_bytes() != HEADER + b"x" * 99:
            raise ModelError(f"{self.model_path} is no doubling model")

    def specs(self):
        spec = TensorSpec("numbers", (None, 4), "float32")
        return [spec], [spec]

    def run(self, inputs):
        return [inputs[0] * 2]


class CopyCompiler(ModelCompiler):
    """Copies: a good compiler."""

    input_formats = ("doubling",)
    output_format = "doubling"
    distributions = ("numpy",)

    def convert(self, model, calibration, output):
        model.load()
        output.write_bytes(model.model_path.read_bytes())

    def read_weights(self, path):
        return Weights({"float32": 4}, 0.0)
