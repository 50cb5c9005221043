"""Whole benchmarks in one process, against plain loops over the same interpreters."""

import importlib.resources
import itertools

import numpy as np
import pytest

from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.agent.session import Session
from edge_tester.core.errors import (
    DatasetError,
    EdgeTesterError,
    InputError,
    ModelError,
)
from edge_tester.core.options import state
from edge_tester.core.wire.frames import Type
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests import onnx_models
from tests.agents import echo_model
from tests.runs import EchoModel, assert_consistent, measured, npz

RESOURCES = importlib.resources.files("edge_tester.resources")
DIGITS_TFLITE = RESOURCES / "digits.tflite"
DIGITS_ONNX = RESOURCES / "digits.onnx"


class DriftingRuntime(EchoRuntime):
    """Never gives the same answer twice."""

    count: itertools.count = state(default_factory=itertools.count)

    def run(self):
        super().run()
        self._outputs[0] = self._outputs[0] + np.uint8(next(self.count))


@pytest.fixture(scope="module")
def digits():
    """Test samples of the digits, straight from their source: images and labels."""
    dataset = DigitsDataset()
    dataset.prepare()
    from sklearn.datasets import load_digits

    bunch, indices = load_digits(), dataset.test_indices()
    images = (bunch.images[indices] / 16).astype(np.float32)[..., np.newaxis]
    return images, bunch.target[indices], indices


def plain_tflite(path, samples):
    """The outputs of a loop that knows nothing of edge_tester."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = given["quantization"]
    found = []
    for sample in samples:
        if scale:
            quantized = np.rint(sample.astype(np.float64) / scale) + zero_point
            sample = np.clip(quantized, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], sample[np.newaxis])
        interpreter.invoke()
        found.append(interpreter.get_tensor(taken["index"])[0].copy())
    return np.stack(found)


def plain_onnx(path, samples):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: s[np.newaxis]})[0] for s in samples])


@pytest.mark.parametrize(
    ("model", "runtime", "plain"),
    [
        (TFLiteFile(model_path=DIGITS_TFLITE), TFLiteRuntime, plain_tflite),
        (ONNXFile(model_path=DIGITS_ONNX), ONNXRuntime, plain_onnx),
    ],
    ids=["tflite", "onnx"],
)
def test_answers_are_those_of_a_plain_loop(tmp_path, digits, model, runtime, plain):
    images, labels, indices = digits
    record = measured(model, DigitsDataset(), runtime(), outputs_directory=tmp_path)
    expected = plain(model.model_path, images)
    actual = np.load(tmp_path / "output_0.npy")
    assert expected.dtype == actual.dtype
    assert expected.tobytes() == actual.tobytes()
    assert expected.argmax(1).tolist() == record.predictions.predicted
    assert labels.tolist() == record.predictions.truth
    assert indices.tolist() == record.predictions.index
    assert (expected.argmax(1) == labels).mean() == record.quality.accuracy
    assert record.complete and record.incomplete_reason is None
    assert record.remarks == []
    assert_consistent(record)


@pytest.fixture(scope="module")
def int8_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    compiler = TFLiteCompiler(
        compiled_model_path=folder / "digits.tflite",
        target="int8",
        inference_input_type="int8",
        inference_output_type="int8",
    )
    model = TFLiteFile(model_path=DIGITS_TFLITE)
    record = measured(model, DigitsDataset(), TFLiteRuntime(), compiler, outputs_directory=folder)
    return folder, record


def test_quantized_answers_are_those_of_a_plain_loop(int8_run, digits):
    folder, record = int8_run
    images, labels, _ = digits
    expected = plain_tflite(folder / "digits.tflite", images)
    actual = np.load(folder / "output_0.npy")
    assert np.int8 == actual.dtype
    assert expected.tobytes() == actual.tobytes()
    assert (expected.argmax(1) == labels).mean() == record.quality.accuracy


def test_the_record_says_what_ran(int8_run):
    folder, record = int8_run
    assert (folder / "digits.tflite").stat().st_size == record.model.size_bytes
    assert ["int8"] == [spec.dtype for spec in record.model.inputs]
    assert 1.0 == record.model.quantized_weight_share
    assert ["digits.tflite"] == [parent["name"] for parent in record.model.parents]
    roles = {component.role for component in record.components}
    expected = {"modelwrapper", "dataset", "runtimeprotocol", "measurement", "compiler", "pattern"}
    assert expected | {"runtime"} == roles
    assert record.cold_start.load_ns > 0
    assert record.cold_start.first_inference_ns > 0
    assert record.memory.peak_bytes >= record.memory.before_load_bytes > 0
    assert record.cpu_time_ns > 0
    assert record.target.boot_id == record.host.boot_id
    assert record.runtime_facts["package"] == "ai_edge_litert"


@pytest.mark.parametrize("size", [1, 4, 7, 359, 360])
def test_batches_answer_like_single_samples(tmp_path, digits, size):
    """The last batch is padded; its padding is in no figure."""
    dataset = DigitsDataset(inference_batch_size=size)
    model = TFLiteFile(model_path=DIGITS_TFLITE)
    record = measured(model, dataset, TFLiteRuntime(), outputs_directory=tmp_path)
    images, _, indices = digits
    assert plain_tflite(DIGITS_TFLITE, images).argmax(1).tolist() == record.predictions.predicted
    assert indices.tolist() == record.predictions.index
    assert len(images) == len(np.load(tmp_path / "output_0.npy"))
    assert -(-len(images) // size) == len(record.target_ns)
    assert size == record.batch_size
    assert_consistent(record)


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (10, 10), (1000, 359)])
def test_the_limit_limits(limit, expected):
    dataset = DigitsDataset(limit=limit)
    record = measured(TFLiteFile(model_path=DIGITS_TFLITE), dataset, TFLiteRuntime())
    assert expected == record.quality.samples == len(record.target_ns)
    assert_consistent(record)


def test_both_conversations_and_paces_give_the_same_outputs(tmp_path):
    model = ONNXFile(model_path=DIGITS_ONNX)
    found = []
    for conversation, pace in itertools.product(("flight", "classical"), ("loop", "isolated")):
        folder = tmp_path / conversation / pace
        record = measured(
            model,
            DigitsDataset(limit=20),
            ONNXRuntime(),
            outputs_directory=folder,
            conversation=conversation,
            pace=pace,
        )
        assert pace == record.pace
        expected = "flight" if conversation == "flight" else "between_oks"
        assert expected == record.host_interval
        assert_consistent(record)
        found.append(np.load(folder / "output_0.npy").tobytes())
    assert 1 == len(set(found))


def test_a_model_without_a_batch_axis(tmp_path):
    path = onnx_models.write(tmp_path / "m.onnx", "single")
    values = np.random.default_rng(0).random((9, 4), np.float32)
    dataset = npz(tmp_path, x=values, y=np.arange(9) % 3)
    record = measured(ONNXFile(model_path=path), dataset, ONNXRuntime(), outputs_directory=tmp_path)
    expected = values @ onnx_models.WEIGHTS
    assert np.allclose(expected, np.load(tmp_path / "output_0.npy"), atol=1e-6)
    assert expected.argmax(1).tolist() == record.predictions.predicted
    assert_consistent(record)


def test_a_model_without_a_batch_axis_takes_no_batches(tmp_path):
    path = onnx_models.write(tmp_path / "m.onnx", "single")
    dataset = npz(tmp_path, x=np.ones((9, 4), np.float32))
    dataset.inference_batch_size = 3
    with pytest.raises(EdgeTesterError, match="batch"):
        measured(ONNXFile(model_path=path), dataset, ONNXRuntime())


@pytest.mark.parametrize("size", [1, 4])
def test_two_inputs_and_two_outputs(tmp_path, size):
    path = onnx_models.write(tmp_path / "m.onnx", "two")
    generator = np.random.default_rng(0)
    left, right = generator.random((2, 10, 4), np.float32)
    dataset = npz(tmp_path, left=left, right=right, y=np.arange(10) % 4)
    dataset.inference_batch_size = size
    model = ONNXFile(model_path=path, output_index=1)
    record = measured(model, dataset, ONNXRuntime(), outputs_directory=tmp_path)
    assert np.array_equal(left + right, np.load(tmp_path / "output_0.npy"))
    assert np.array_equal(left - right, np.load(tmp_path / "output_1.npy"))
    assert (left - right).argmax(1).tolist() == record.predictions.predicted
    assert_consistent(record)


def test_outputs_whose_shape_depends_on_the_values(tmp_path):
    path = onnx_models.write(tmp_path / "m.onnx", "dynamic")
    values = np.float32([[1, 0, 2, 0], [0, 0, 0, 3], [0, 0, 0, 0]])
    record = measured(ONNXFile(model_path=path), npz(tmp_path, x=values), ONNXRuntime())
    assert 3 == len(record.target_ns)
    folder = tmp_path / "outputs"
    model = ONNXFile(model_path=path)
    measured(model, npz(tmp_path, x=values), ONNXRuntime(), outputs_directory=folder)
    assert [[2, 2], [2, 1], [2, 0]] == np.load(folder / "output_0_shapes.npy").tolist()
    assert [0, 0, 0, 2, 0, 3] == np.load(folder / "output_0_values.npy").tolist()


def test_a_model_that_keeps_a_state_is_remarked(tmp_path):
    model = EchoModel(model_path=echo_model(tmp_path).path)
    dataset = npz(tmp_path, x=np.zeros((5, 4), np.uint8))
    record = measured(model, dataset, DriftingRuntime())
    assert 1 == len(record.remarks)
    assert "two different outputs for the same input" in record.remarks[0]
    # An untimed run before each timed one would change its answers.
    assert [0] == [block.untimed for block in record.blocks]
    assert measured(model, dataset, EchoRuntime()).remarks == []


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones((5, 7, 8, 1), np.float32)}, ["(1, 8, 8, 1) float32", "(1, 7, 8, 1)"]),
        ({"x": np.ones((5, 64), np.float32)}, ["(1, 8, 8, 1) float32", "(1, 64) float32"]),
        ({"x": np.ones((5, 8, 8, 1), complex)}, ["float32", "complex128"]),
        ({"x_0": np.ones((5, 8, 8, 1)), "x_1": np.ones((5, 2))}, ["1 inputs", "gives 2"]),
    ],
    ids=["shape", "rank", "dtype", "count"],
)
def test_data_that_does_not_fit_names_both_sides(tmp_path, arrays, said):
    with pytest.raises(InputError) as caught:
        measured(TFLiteFile(model_path=DIGITS_TFLITE), npz(tmp_path, **arrays), TFLiteRuntime())
    for text in said:
        assert text in str(caught.value)


def test_more_classes_than_the_model_has(tmp_path):
    dataset = npz(tmp_path, x=np.ones((5, 8, 8, 1), np.float32), y=np.array([0, 1, 2, 3, 10]))
    with pytest.raises(DatasetError, match="class 10, .*for 10 classes, 0 to 9"):
        measured(TFLiteFile(model_path=DIGITS_TFLITE), dataset, TFLiteRuntime())


def test_no_test_samples():
    dataset = DigitsDataset(test_fraction=0.0)
    with pytest.raises(DatasetError, match="no test samples: 1797 samples in all, test_fraction 0"):
        measured(TFLiteFile(model_path=DIGITS_TFLITE), dataset, TFLiteRuntime())


def test_a_runtime_for_another_format():
    with pytest.raises(ModelError, match="TFLiteRuntime runs tflite, got 'onnx'.*compiler"):
        measured(ONNXFile(model_path=DIGITS_ONNX), DigitsDataset(), TFLiteRuntime())


def test_calibration_samples_are_set_apart_where_there_are_too_few(tmp_path):
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="int8")
    model, dataset = TFLiteFile(model_path=DIGITS_TFLITE), DigitsDataset(calibration_fraction=0.1)
    record = measured(model, dataset, TFLiteRuntime(), compiler)
    assert "set apart for calibration" in record.remarks[0]
    split = dataset.split()
    assert 200 == len(split.calibration)
    assert not set(split.calibration) & set(record.predictions.index)
    # What was calibrated with is what the measured values are held against.
    (facts,) = record.input_facts.values()
    assert [0, 1] == facts["calibrated"]
    assert 0 == facts["outside_calibration"]


def test_too_few_samples_to_set_any_apart(tmp_path):
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="int8")
    dataset = npz(tmp_path, x=np.zeros((300, 8, 8, 1), np.float32))
    with pytest.raises(DatasetError, match="200 are needed"):
        measured(TFLiteFile(model_path=DIGITS_TFLITE), dataset, TFLiteRuntime(), compiler)
    assert not (tmp_path / "m.tflite").exists()


def test_the_untimed_inference_is_before_the_host_s_interval(tmp_path, monkeypatch):
    """Between the two OKs of PROCESS the host times one inference, not two."""
    events = []

    class Logged(EchoRuntime):
        """Tells when it runs."""

        def run(self):
            events.append("run")
            super().run()

    def told(self, request, payload=()):
        if request.type == Type.PROCESS:
            events.append("OK")
        answer(self, request, payload)

    answer = Session._answer
    monkeypatch.setattr(Session, "_answer", told)
    model = EchoModel(model_path=echo_model(tmp_path).path)
    dataset = npz(tmp_path, x=np.zeros((2, 4), np.uint8))
    record = measured(model, dataset, Logged(), conversation="classical")
    assert record.pace == "loop"
    cold, sample = ["OK", "run", "OK"], ["run", "OK", "run", "OK"]
    assert 2 * cold + 2 * sample == events
