"""Which layers are left in float, by name and by the search, and what that regains."""

import math
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

import edge_tester.resources
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.artifact import Artifact
from edge_tester.core.checking.scoring import Judge, unmeasured
from edge_tester.core.checking.selective import Selection, select
from edge_tester.core.errors import CompilationError, DatasetError, OptionError
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from tests import unbalanced

DIGITS = Path(edge_tester.resources.__file__).with_name("digits.onnx")


@pytest.fixture(params=["onnx", "tflite"])
def case(request):
    """A compiler's class and the network that int8 spoils."""
    cls = {"onnx": ONNXCompiler, "tflite": TFLiteCompiler}[request.param]
    return cls, request.getfixturevalue(f"unbalanced_{request.param}")


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_quarter_of_the_layers_in_float_regains_half_of_what_int8_lost(
    models, format, digits, tmp_path
):
    cls = {"onnx": ONNXCompiler, "tflite": TFLiteCompiler}[format]
    model = models(format, unbalanced.ONE)
    found = select(cls(target="int8"), model, digits, tmp_path, most_layers=0.25)
    assert "accuracy" == found.figure
    lost = found.source.accuracy - found.steps[0].worth.accuracy
    chosen = found.steps[found.chosen]
    assert lost > 0.01
    assert chosen.worth.accuracy - found.steps[0].worth.accuracy >= lost / 2
    assert 0 < chosen.weighted <= found.weighted_layers / 4
    # The samples that judged it are none of those that are measured: they agree.
    artifact = Artifact.from_file(Path(found.path))
    measured = Judge(model, digits, digits.split().test)
    assert measured.source.accuracy - measured.worth(artifact).accuracy < lost / 2


def test_the_search_ends_at_the_goal_and_takes_back_what_was_not_needed(case, digits, tmp_path):
    cls, model = case
    found = select(cls(target="int8"), model, digits, tmp_path)
    assert found.reached
    chosen = found.steps[found.chosen]
    assert chosen.worth.accuracy >= found.goal == found.source.accuracy - 0.01
    assert len(chosen.kept) < found.layers / 2
    assert chosen.kept == found.keep_float
    # When the goal held for the first time, each layer was quantized again to see whether it does.
    held = next(n for n, one in enumerate(found.steps) if one.worth.accuracy >= found.goal)
    assert len(found.steps[held].kept) <= len(found.steps) - 1 - held
    # All that is in it can be written and read.
    content = msgspec.json.encode(found)
    assert found == msgspec.json.decode(content, type=Selection)
    # Its file is what keep_float makes by itself, though ranges were found once for all steps.
    path = tmp_path / f"again{Path(found.path).suffix}"
    again = cls(target="int8", keep_float=tuple(found.keep_float), compiled_model_path=path)
    assert Path(found.path).read_bytes() == again.compile(model, digits).path.read_bytes()


def test_the_worst_is_a_tensor_with_the_layers_at_both_its_ends(unbalanced_onnx, digits, tmp_path):
    found = select(ONNXCompiler(target="int8"), unbalanced_onnx, digits, tmp_path)
    assert "tensor" == found.ranking[0].what
    assert 2 == len(found.ranking[0].layers)
    # It is one of those whose channels were made to differ.
    assert found.ranking[0].name in ("r2", "r4")
    harms = [one.harm for one in found.ranking]
    assert harms == sorted(harms, reverse=True) and all(map(math.isfinite, harms))


def test_what_is_good_enough_stays_as_it_is(digits, tmp_path):
    model = ONNXFile(model_path=DIGITS)
    calls = []

    def latency(artifact):
        assert artifact.path.exists()
        calls.append(artifact)
        return 7.0

    found = select(ONNXCompiler(target="int8"), model, digits, tmp_path, latency=latency)
    assert found.reached and [] == found.keep_float and [] == found.ranking
    assert [7.0] == [one.latency_ns for one in found.steps] and 1 == len(calls)


def test_without_truth_answers_in_common_count(digits, tmp_path):
    np.savez(tmp_path / "d.npz", x=digits.load(range(500)).inputs[0])
    dataset = NpzDataset(
        dataset_path=tmp_path / "d.npz", test_fraction=0.2, calibration_fraction=0.5
    )
    dataset.prepare()
    model = ONNXFile(model_path=DIGITS)
    found = select(ONNXCompiler(target="int8"), model, dataset, tmp_path)
    assert ("agreement", 0.99) == (found.figure, found.goal)
    assert found.steps[0].worth.accuracy is None
    with pytest.raises(CompilationError, match="cannot be judged by accuracy"):
        select(ONNXCompiler(target="int8"), model, dataset, tmp_path, figure="accuracy")


def test_nothing_is_chosen_by_what_is_measured():
    dataset = RandomDataset()
    dataset.prepare()
    with pytest.raises(DatasetError, match="no sample but those to be measured"):
        unmeasured(dataset, 10)


def test_named_layers_stay_in_float_and_are_counted(unbalanced_onnx, digits, tmp_path):
    compiler = ONNXCompiler(
        # A node, a tensor that it writes, and a convolution by its activation: two layers.
        target="int8",
        keep_float=("conv2", "c2", "relu3"),
        compiled_model_path=tmp_path / "m.onnx",
    )
    artifact = compiler.compile(unbalanced_onnx, digits)
    facts = artifact.facts["kept_in_float"]
    assert 2 == facts["layers"]
    model = onnx.load(artifact.path)
    quantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    floats = {
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm") and node.input[1] not in quantized
    }
    assert {"conv2", "conv3"} == floats
    # The weights that are counted are those that are really there.
    assert facts["weights"] == artifact.weights.elements["float32"]


def test_a_layer_of_a_tflite_file_is_known_by_its_first_name_too(
    unbalanced_tflite, digits, tmp_path
):
    options = {"target": "int8", "compiled_model_path": tmp_path / "m.tflite"}
    whole = TFLiteCompiler(**options)
    whole.compile(unbalanced_tflite, digits)
    layer = whole.layers[3]
    assert ";" in layer.name
    artifact = TFLiteCompiler(**options, keep_float=(layer.node,)).compile(
        unbalanced_tflite, digits
    )
    assert 1 == artifact.facts["kept_in_float"]["layers"]
    assert layer.weights == artifact.weights.elements["float32"]
    made = [name for *_, name in Flatbuffer.read(artifact.path, whole).operations()]
    # One takes the layer's input out of the integers; another one gives the answers.
    assert 2 == made.count("DEQUANTIZE")


def test_a_name_that_matches_nothing_is_refused_with_a_hint(case, digits, tmp_path):
    cls, model = case
    plain = cls(target="int8", compiled_model_path=tmp_path / "m")
    plain.compile(model, digits)
    wrong = f"{plain.layers[2].node}x"
    odd = cls(target="int8", compiled_model_path=tmp_path / "odd", keep_float=(wrong,))
    with pytest.raises(OptionError, match=f"names '{wrong}'.*did you mean '{plain.layers[2].node}"):
        odd.compile(model, digits)
    assert not (tmp_path / "odd").exists()


def test_all_layers_in_float_are_no_error(case, digits, tmp_path):
    cls, model = case
    plain = cls(target="int8", compiled_model_path=tmp_path / "m")
    plain.compile(model, digits)
    names = tuple(one.name for one in plain.layers)
    whole = cls(target="int8", compiled_model_path=tmp_path / "f", keep_float=names)
    assert 0 == whole.compile(model, digits).weights.quantized_share


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "leaves layers out of a quantization, which is not asked for, got a"),
        ({"target": "edgetpu"}, "the Edge TPU runs integers alone"),
    ],
)
def test_where_there_is_nothing_to_leave_out_it_is_refused(options, said):
    with pytest.raises(OptionError, match=said):
        TFLiteCompiler(keep_float=("a",), **options).check_choices()


def test_keras_files_are_to_be_compiled_to_tflite_first(unbalanced_tflite, digits, tmp_path):
    model = KerasFile(model_path=unbalanced_tflite.model_path.with_suffix(".keras"))
    compiler = TFLiteCompiler(
        target="int8", keep_float=("a",), compiled_model_path=tmp_path / "m.tflite"
    )
    with pytest.raises(CompilationError, match="keep_float is for .tflite files"):
        compiler.compile(model, digits)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_methods_clip_and_say_what_they_are(digits, tmp_path, method):
    def made(**options):
        compiler = ONNXCompiler(
            target="int8", compiled_model_path=tmp_path / "m.onnx", self_check=False, **options
        )
        artifact = compiler.compile(ONNXFile(model_path=DIGITS), digits)
        return compiler.tensor_ranges, artifact

    whole, _ = made()
    clipped, artifact = made(calibration_method=method)
    assert whole.keys() == clipped.keys()
    assert method == artifact.options["calibration_method"]
    assert all(clipped[name][1] <= whole[name][1] + 1e-4 * abs(whole[name][1]) for name in whole)
    assert any(clipped[name][1] < 0.999 * whole[name][1] for name in whole)
    with pytest.raises(OptionError, match="calibration_method is for target int8"):
        ONNXCompiler(calibration_method=method).check_choices()


def test_weights_alone_can_be_left_in_float_too(models, digits, tmp_path):
    model = models("tflite", unbalanced.TWO)
    found = select(
        TFLiteCompiler(target="weight-only"),
        model,
        digits,
        tmp_path,
        figure="signal_to_noise_db",
        goal=200.0,
        most_layers=0.2,
    )
    assert not found.reached
    assert 1 <= len(found.steps[-1].kept) and 0 < found.steps[-1].weights_in_float < 1
    # Errors may cancel out, so that less of them is worse: the best counts, not the last.
    ratios = [one.worth.signal_to_noise_db for one in found.steps]
    assert found.chosen == ratios.index(max(ratios))
