import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import ModelError
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.coreml_file import CoreMLFile
from edge_tester.modelwrappers.generic.executorch_file import ExecuTorchFile
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.modelwrappers.generic.torch_exported_file import TorchExportedFile
from edge_tester.modelwrappers.generic.torchscript_file import TorchScriptFile
from edge_tester.modelwrappers.generic.tvm_file import TVMFile
from edge_tester.testing import ModelWrapperConformance


class TestTFLiteFile(ModelWrapperConformance):
    cls = TFLiteFile
    options = {"model_path": "model.tflite"}

    @pytest.fixture
    def model_file(self, resources):
        return resources / "digits.tflite"

    @pytest.fixture
    def dataset(self, digits):
        return digits


class TestONNXFile(ModelWrapperConformance):
    cls = ONNXFile
    options = {"model_path": "model.onnx"}
    exports_onnx = True

    @pytest.fixture
    def model_file(self, resources):
        return resources / "digits.onnx"

    @pytest.fixture
    def dataset(self, digits):
        return digits


class TestTorchScriptFile(ModelWrapperConformance):
    cls = TorchScriptFile
    options = {"model_path": "model.pt"}

    @pytest.fixture
    def model_file(self, trained_torch, tmp_path):
        path = tmp_path / "digits.pt"
        TorchScriptCompiler(compiled_model_path=path).compile(trained_torch, None)
        return path

    @pytest.fixture
    def dataset(self):
        dataset = RandomDataset()
        dataset.bind([TensorSpec("image", (1, 1, 8, 8), "float32")])
        return dataset


@pytest.mark.parametrize(
    ("wrapper", "compiler", "suffix"),
    [
        (TorchExportedFile, TorchExportedCompiler, ".pt2"),
        (ExecuTorchFile, ExecuTorchCompiler, ".pte"),
        (CoreMLFile, CoreMLCompiler, ".mlpackage"),
        (TVMFile, TVMCompiler, ".so"),
    ],
)
def test_files_of_compilers_answer_as_their_source(
    trained_torch, tmp_path, wrapper, compiler, suffix
):
    path = tmp_path / f"digits{suffix}"
    compiler(compiled_model_path=path, self_check=False).compile(trained_torch, None)
    model = wrapper(model_path=path)
    model.load()
    values = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    (expected,), (found,) = trained_torch.run([values]), model.run([values])
    # Core ML programs are of half precision by default.
    assert expected == pytest.approx(found, abs=0.05)


class TestKerasFile(ModelWrapperConformance):
    cls = KerasFile
    options = {"model_path": "model.keras"}
    saves = True
    exports_onnx = True

    @pytest.fixture(params=["digits.keras", "digits.h5"])
    def model_file(self, trained_keras, tmp_path, request):
        trained_keras.save(tmp_path / request.param)
        return tmp_path / request.param

    @pytest.fixture
    def dataset(self, digits):
        return digits


class TestSavedModel(TestKerasFile):
    options = {"model_path": "model"}
    saves = False

    @pytest.fixture
    def model_file(self, trained_keras, tmp_path):
        trained_keras.save(tmp_path / "digits")
        return tmp_path / "digits"


@pytest.mark.parametrize("name", ["digits.tflite", "digits.onnx"])
def test_shipped_models_answer_at_least_97_percent_right(resources, digits, name):
    cls = TFLiteFile if name.endswith("tflite") else ONNXFile
    model = cls(model_path=resources / name)
    model.load()
    quality = evaluate(model, digits, digits.test_indices())
    assert quality.accuracy >= 0.97
    assert 359 == quality.samples


def test_shipped_models_are_the_same_network(resources, digits):
    answers = []
    for model in (
        TFLiteFile(model_path=resources / "digits.tflite"),
        ONNXFile(model_path=resources / "digits.onnx"),
    ):
        model.load()
        answers.append(model.run(digits.load(range(50)).inputs)[0])
    assert answers[0] == pytest.approx(answers[1], abs=1e-4)


def test_a_suffix_that_stands_for_another_format_is_refused(resources):
    with pytest.raises(ModelError, match="TFLiteFile takes tflite files.*stands for onnx"):
        _ = TFLiteFile(model_path=resources / "digits.onnx").format


def test_an_unknown_suffix_is_taken_at_the_users_word(tmp_path):
    assert "tflite" == TFLiteFile(model_path=tmp_path / "model.bin").format


def test_weights_beside_an_onnx_file_are_taken_in(resources, tmp_path):
    import onnx

    model = onnx.load(resources / "digits.onnx")
    beside = tmp_path / "beside.onnx"
    onnx.save(model, beside, save_as_external_data=True, location="weights", size_threshold=0)
    ONNXFile(model_path=beside).save_to_onnx(tmp_path / "one" / "model.onnx")
    whole = ONNXFile(model_path=tmp_path / "one" / "model.onnx")
    whole.load()
    assert (1, 10) == whole.run([np.zeros((1, 8, 8, 1), np.float32)])[0].shape


def test_loading_forgets_the_batch_that_was_run(resources):
    """Whoever loads a wrapper that ran a batch of eight gets what takes one sample."""
    model = ONNXFile(model_path=resources / "digits.onnx")
    model.load()
    model.run([np.zeros((8, 8, 8, 1), np.float32)])
    assert (8, 8, 8, 1) == model.specs()[0][0].shape
    model.load()
    assert (1, 8, 8, 1) == model.specs()[0][0].shape
