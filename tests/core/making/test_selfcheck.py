"""What a compiler has made is run and compared before it counts as made."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_tester.core.artifact import Weights
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.making.chain import compile_model
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def written(path, nodes, constants=None, shape=("batch", 4), output=None):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return ONNXFile(model_path=path)


def product(path, weights=WEIGHTS, **more):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return written(path, nodes, {"w": weights}, **more)


class Swapping(ModelCompiler):
    """Writes another file than the one it is given, as a faulty compiler would."""

    input_formats = ("onnx",)
    output_format = "onnx"
    other = None
    integers = False

    def convert(self, model, calibration, output):
        output.write_bytes((self.other or model).model_path.read_bytes())

    def read_weights(self, path):
        return Weights({"int8": 12}, 1.0) if self.integers else Weights({"float32": 12}, 0.0)


@pytest.fixture
def compiled(tmp_path):
    """Compile a source into another file, and return what is said of it."""

    def compiled(source, other=None, integers=False, dataset=None, **options):
        kind = type("Chosen", (Swapping,), {"other": other, "integers": integers})
        return kind(compiled_model_path=tmp_path / "made.onnx", **options).compile(source, dataset)

    return compiled


def test_a_result_that_answers_like_its_source_is_said_to(tmp_path, compiled):
    artifact = compiled(product(tmp_path / "m.onnx"))
    assert {
        "run": True,
        "runtime": "ONNXRuntime",
        "inputs": "random inputs",
        "compared": True,
        "precision": "float32",
        "largest_difference": 0.0,
    } == artifact.facts["self_check"]
    assert () == artifact.remarks


def test_samples_are_those_for_calibrating(tmp_path, compiled):
    dataset = RandomDataset(num_samples=12, test_fraction=0.5, calibration_fraction=0.25)
    dataset.prepare()
    artifact = compiled(product(tmp_path / "m.onnx"), dataset=dataset)
    assert "3 calibration samples" == artifact.facts["self_check"]["inputs"]


def test_another_answer_is_an_error_that_names_output_and_difference(tmp_path, compiled):
    other = product(tmp_path / "other.onnx", WEIGHTS * 1.01)
    with pytest.raises(CompilationError, match=r"output 'y' differs from m.onnx by 0.01 of the"):
        compiled(product(tmp_path / "m.onnx"), other)
    assert not (tmp_path / "made.onnx").exists()


def test_what_rounding_does_to_half_precision_passes(tmp_path, compiled):
    halves = WEIGHTS.astype(np.float16).astype(np.float32)
    source, other = product(tmp_path / "m.onnx"), product(tmp_path / "other.onnx", halves)
    artifact = compiled(source, other)
    assert 0 < artifact.facts["self_check"]["largest_difference"] < 1e-3


def test_the_check_can_be_turned_off(tmp_path, compiled):
    other = product(tmp_path / "other.onnx", -WEIGHTS)
    artifact = compiled(product(tmp_path / "m.onnx"), other, self_check=False)
    assert {"run": False, "reason": "it was turned off"} == artifact.facts["self_check"]


def test_a_result_that_cannot_be_loaded_is_an_error(tmp_path, compiled):
    broken = written(tmp_path / "b.onnx", [helper.make_node("NoSuchOperation", ["x"], ["y"])])
    with pytest.raises(CompilationError, match="ONNXRuntime cannot run what it made"):
        compiled(product(tmp_path / "m.onnx"), broken)


@pytest.mark.parametrize("integers", [False, True])
def test_numbers_that_are_none_are_an_error(tmp_path, compiled, integers):
    weights = WEIGHTS.copy()
    weights[1, 1] = np.inf
    other = product(tmp_path / "other.onnx", weights)
    with pytest.raises(CompilationError, match="4 values of output 'y' are NaN or infinite"):
        compiled(product(tmp_path / "m.onnx"), other, integers)


def test_numbers_that_are_none_in_the_source_as_well_are_its_own(tmp_path, compiled):
    weights = WEIGHTS.copy()
    weights[1, 1] = np.inf
    source = product(tmp_path / "m.onnx", weights)
    assert compiled(source).facts["self_check"]["compared"]


def test_a_constant_output_of_integers_is_an_error(tmp_path, compiled):
    other = product(tmp_path / "other.onnx", WEIGHTS * 0)
    with pytest.raises(CompilationError, match="output 'y' does not depend on the input"):
        compiled(product(tmp_path / "m.onnx"), other, integers=True)


def test_much_noise_of_integers_is_a_remark_with_its_ratio(tmp_path, compiled):
    source = product(tmp_path / "m.onnx")
    artifact = compiled(source, product(tmp_path / "other.onnx", WEIGHTS * 1.3), integers=True)
    # 0.3 of the signal is noise: 20 log10(1 / 0.3).
    assert pytest.approx(10.46, abs=0.01) == artifact.facts["self_check"]["signal_to_noise_db"]
    (remark,) = artifact.remarks
    assert "signal-to-noise ratio of 10.5 dB against m.onnx, on random inputs" in remark
    artifact = compiled(source, product(tmp_path / "other.onnx", WEIGHTS * 1.1), integers=True)
    assert pytest.approx(20, abs=0.01) == artifact.facts["self_check"]["signal_to_noise_db"]
    assert () == artifact.remarks


def test_a_model_that_draws_random_numbers_is_run_but_not_compared(tmp_path, compiled):
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    artifact = compiled(written(tmp_path / "m.onnx", nodes))
    assert not artifact.facts["self_check"]["compared"]
    assert "different answers for the same input" in artifact.remarks[0]


def test_another_number_of_values_is_an_error(tmp_path, compiled):
    other = product(tmp_path / "other.onnx", WEIGHTS[:, :2])
    with pytest.raises(CompilationError, match=r"have the shapes \(1, 2\), those of m.onnx \(1, 3"):
        compiled(product(tmp_path / "m.onnx"), other)


def test_an_answer_that_jumps_by_itself_is_a_remark(tmp_path, compiled):
    # The sine of values around 1e6 changes wholly where the input does by a rounding error.
    def jumping(name, factor):
        nodes = [helper.make_node("Mul", ["x", "w"], ["z"]), helper.make_node("Sin", ["z"], ["y"])]
        return written(tmp_path / name, nodes, {"w": np.float32(factor)})

    artifact = compiled(jumping("m.onnx", 1e6), jumping("other.onnx", 1e6 + 1))
    assert "move the model's own answer" in artifact.remarks[0]


def test_what_goes_wrong_below_zero_alone_is_seen(tmp_path, compiled):
    other = written(tmp_path / "other.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    with pytest.raises(CompilationError, match="output 'y' differs from m.onnx"):
        compiled(written(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])]), other)


def test_a_fixed_batch_is_filled(tmp_path, compiled):
    fixed = product(tmp_path / "other.onnx", shape=(4, 4))
    assert compiled(product(tmp_path / "m.onnx"), fixed).facts["self_check"]["compared"]
    dataset = RandomDataset(num_samples=10, test_fraction=0.5, calibration_fraction=0.5)
    dataset.prepare()
    assert compiled(fixed, fixed, dataset=dataset).facts["self_check"]["compared"]


def test_open_sizes_get_values_that_the_model_takes(tmp_path, compiled):
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[20, 20])]
    source = written(tmp_path / "m.onnx", nodes, shape=("batch", 3, "height", "width"))
    assert compiled(source).facts["self_check"]["compared"]


def test_links_of_a_chain_check_themselves_as_the_last_one_does(torch_model, tmp_path):
    made = {
        checks: compile_model(
            Swapping(compiled_model_path=tmp_path / "made.onnx", self_check=checks),
            torch_model,
            None,
        )
        for checks in (True, False)
    }
    assert "ONNXCompiler" in made[True].parent.producer
    for checks, artifact in made.items():
        assert [checks] * 2 == [
            one.facts["self_check"]["run"] for one in (artifact, artifact.parent)
        ]


@pytest.fixture
def torch_model(tmp_path):
    from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier

    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    return model
