import numpy as np
import pytest

from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits


class TestXNNPACK(OnDigits):
    cls = ExecuTorchCompiler


class TestXNNPACKInt8(TestXNNPACK):
    options = {"target": "int8"}
    # The logits span about 2.
    tolerance = 0.1


@pytest.mark.parametrize(
    ("options", "dtype", "delegates"),
    [
        ({}, "float32", {"XnnpackBackend": 1}),
        ({"target": "int8"}, "int8", {"XnnpackBackend": 1}),
        ({"delegate": "none"}, "float32", {}),
    ],
)
def test_weights_and_delegates(torch_digits, digits, tmp_path, options, dtype, delegates):
    path = tmp_path / "model.pte"
    artifact = ExecuTorchCompiler(compiled_model_path=path, **options).compile(torch_digits, digits)
    assert {dtype: DIGITS_WEIGHTS} == artifact.weights.elements
    runtime = ExecuTorchRuntime()
    runtime.prepare()
    runtime.load(path, 1)
    facts = runtime.facts()
    assert delegates == facts["delegates"]
    assert ("aten::convolution.out" in facts["operators"]) == (not delegates)


def test_the_batch_size_is_fixed_in_the_program(torch_digits, tmp_path):
    path = tmp_path / "model.pte"
    ExecuTorchCompiler(compiled_model_path=path, batch_size=3).compile(torch_digits, None)
    runtime = ExecuTorchRuntime()
    runtime.prepare()
    (inputs,), _ = runtime.load(path, 3)
    assert (3, 1, 8, 8) == inputs.shape
    values = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    runtime.set_inputs([values])
    runtime.run()
    np.testing.assert_allclose(runtime.get_outputs()[0], torch_digits.run([values])[0], rtol=1e-4)


def test_integers_without_xnnpack_are_refused(torch_digits, digits, tmp_path):
    compiler = ExecuTorchCompiler(
        compiled_model_path=tmp_path / "model.pte", target="int8", delegate="none"
    )
    with pytest.raises(CompilationError, match="delegate must be xnnpack for target int8"):
        compiler.compile(torch_digits, digits)
