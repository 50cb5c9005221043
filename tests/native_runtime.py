"""A runtime whose models are shared libraries, which try what ``tests/hostile_model.c`` tells."""

import ctypes

import numpy as np

from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import TensorSpec

TEXT_BYTES = 512


class NativeRuntime(Runtime):
    """Calls a library: what it shall try and with what are texts; the answer is its errno."""

    input_formats = ("tvm",)
    runs_code = True
    may_crash = True

    _library = None
    _words: tuple[bytes, ...] = ()
    _answer = 0

    def prepare(self):
        """Need nothing."""

    def load(self, path, batch_size):
        self._library = ctypes.CDLL(str(path.resolve()))
        texts = [TensorSpec(name=name, shape=(TEXT_BYTES,), dtype="uint8") for name in ("a", "b")]
        return texts, [TensorSpec(name="errno", shape=(1,), dtype="int64")]

    def set_inputs(self, inputs):
        self._words = tuple(one.tobytes().rstrip(b"\0") for one in inputs)

    def run(self):
        self._answer = self._library.attempt(*self._words)

    def get_outputs(self):
        return [np.array([self._answer])]
