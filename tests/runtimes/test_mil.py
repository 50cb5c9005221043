"""Core ML programs on a system without Core ML."""

import io
import platform
import tarfile

import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.onnxconverters.pytorch import PyTorchONNXConversion
from edge_tester.runtimes.coreml import CoreMLRuntime
from edge_tester.runtimes.mil import MILRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models


class Small(TorchModel):
    input_shapes = ((1, 8, 8),)

    def build(self):
        return small_models.torch_module()


class Cumulating(TorchModel):
    """Has an operation that is not among those of common networks."""

    input_shapes = ((4,),)

    def build(self):
        import torch

        class Network(torch.nn.Module):
            def forward(self, values):
                return torch.cumsum(values, 1)

        return Network()


class Rare(TorchModel):
    """Has operations that few networks have."""

    input_shapes = ((8, 6, 5),)

    def build(self):
        import torch

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = torch.nn.Sequential(
                    torch.nn.InstanceNorm2d(8, affine=True), torch.nn.PixelShuffle(2)
                )

            def forward(self, values):
                values = self.layers(values).flip(3)
                return torch.sin(values) + torch.cos(values)

        return Network()


def saved(cls, folder, network=None):
    model = cls(model_path=folder / "model.pth")
    model.network = network or model.build().eval()
    model.save(model.model_path)
    return model


def package(model):
    path = model.model_path.with_suffix(".mlpackage")
    CoreMLCompiler(compiled_model_path=path, precision="float32").compile(model, None)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return package(saved(Small, tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="module")
def archive(small):
    """The package as a target gets it."""
    path = small.with_name("uploaded")
    with Artifact.from_file(small).open() as file:
        path.write_bytes(file.read())
    return path


class TestMILRuntime(RuntimeConformance):
    cls = MILRuntime
    supports_batching = False

    @pytest.fixture
    def model_file(self, archive):
        return archive

    @pytest.fixture
    def example(self):
        values = small_models.sample((1, 8, 8))
        return [values], [small_models.answer(values)]


def prepared():
    runtime = MILRuntime()
    runtime.prepare()
    return runtime


@pytest.mark.parametrize("name", ["rare", "mobilenet_v3_small", "detector"])
def test_networks_are_evaluated_as_pytorch_does(tmp_path, name):
    if name == "rare":
        model = saved(Rare, tmp_path)
    else:
        (entry,) = (one for one in PyTorchONNXConversion().models() if one.name == name)
        network = entry.make()
        members = {"input_shapes": (network.input_shape[1:],)}
        model = saved(type("Listed", (TorchModel,), members), tmp_path, network)
    runtime = prepared()
    runtime.load(package(model), 1)
    values = np.random.default_rng(0).random((1, *model.input_shapes[0]), np.float32)
    runtime.set_inputs([values])
    runtime.run()
    for expected, actual in zip(model.run([values]), runtime.get_outputs(), strict=True):
        assert np.abs(expected - actual).max() < 1e-4 * np.abs(expected).max()


def test_folder_and_archive_are_the_same(small, archive):
    answers = []
    for path in (small, archive):
        runtime = prepared()
        runtime.load(path, 1)
        runtime.set_inputs([small_models.sample((1, 8, 8))])
        runtime.run()
        answers.append(runtime.get_outputs()[0])
    np.testing.assert_array_equal(*answers)


def test_it_says_that_it_is_no_device(small):
    runtime = prepared()
    runtime.load(small, 1)
    assert runtime.facts()["evaluation"].startswith("reference, not Core ML")
    assert "linear" in runtime.facts()["operations"]


def test_an_operation_that_is_not_supported_is_named(tmp_path):
    with pytest.raises(ModelError, match="no evaluation of cumsum"):
        prepared().load(package(saved(Cumulating, tmp_path)), 1)


def test_an_archive_writes_nowhere_else(tmp_path):
    path = tmp_path / "model.coreml"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("Manifest.json"), io.BytesIO())
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(ModelError, match="model.coreml is no archive of a model"):
        prepared().load(path, 1)
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.skipif(platform.system() == "Darwin", reason="Core ML is there")
def test_core_ml_itself_is_of_macs_alone():
    with pytest.raises(RuntimeStateError, match="predicts on macOS alone.*MILRuntime"):
        CoreMLRuntime().prepare()


class Tiny(TorchModel):
    """Has so few weights that its package has no file of them."""

    input_shapes = ((3,),)

    def build(self):
        import torch

        return torch.nn.Linear(3, 2)


def test_a_package_without_a_file_of_weights_travels(tmp_path):
    model = Tiny(model_path=tmp_path / "tiny.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    compiler = CoreMLCompiler(compiled_model_path=tmp_path / "tiny.mlpackage")
    artifact = compiler.compile(model, None)
    path = tmp_path / "archive"
    with artifact.open() as content:
        path.write_bytes(content.read())
    runtime = MILRuntime()
    runtime.prepare()
    runtime.load(path, 1)
    values = np.ones((1, 3), np.float32)
    runtime.set_inputs([values])
    runtime.run()
    np.testing.assert_allclose(model.run([values])[0], runtime.get_outputs()[0], atol=0.01)


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"itemInfoEntries": {"a": {}}}'])
def test_an_archive_without_a_manifest_is_refused(tmp_path, manifest):
    path = tmp_path / "model.coreml"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("Manifest.json")
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))
    runtime = MILRuntime()
    runtime.prepare()
    with pytest.raises(ModelError, match="is no Core ML package"):
        runtime.load(path, 1)
