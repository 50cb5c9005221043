"""What can be wrong from the beginning is found before anything is compiled."""

import importlib.resources

import numpy as np
import pytest

from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import (
    BackendMissingError,
    CompilationError,
    DatasetError,
    ModelError,
    RecordError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.agents import running_agent
from tests.runs import npz

MODEL = TFLiteFile(model_path=importlib.resources.files("edge_tester.resources") / "digits.tflite")


class Needy(TFLiteCompiler):
    """Needs what nobody has."""

    @classmethod
    def packages_for(cls, format):
        return ("no_such_package",)


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Run a plan that is refused before its compiler is asked for anything."""

    def never(*_, **__):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(TFLiteCompiler, "convert", never)

    def refuse(error, match, path=tmp_path / "r.json", **changes):
        compiler = TFLiteCompiler(target="int8")
        parts = {
            "model": MODEL,
            "dataset": DigitsDataset(),
            "runtime": TFLiteRuntime(),
            "compiler": compiler,
            "protocol": LoopbackProtocol(),
            **changes,
        }
        with pytest.raises(error, match=match):
            run_plan(Plan(**parts), path)
        assert not [one for one in tmp_path.iterdir() if one.name.startswith("r.")]

    return refuse


def test_the_compiler_would_be_asked(refused):
    refused(CompilationError, "it was compiled")


def test_a_target_that_is_not_there(refused):
    refused(UnreachableError, "No agent answers", protocol=NetworkProtocol(port=1))


def test_a_target_with_another_runtime(refused, tmp_path):
    with running_agent(tmp_path) as agent:
        refused(TargetError, "tflite", protocol=NetworkProtocol(host=agent.host))


def test_a_target_that_is_in_use(refused, tmp_path):
    """Unless the user waits for it: then it is waited for when there is something to measure."""
    name = "edge_tester.runtimes.tflite.TFLiteRuntime"
    with running_agent(tmp_path, runtime=name) as agent:
        client = agent.connect()
        link = NetworkProtocol(host=agent.host)
        refused(TargetError, "in use", protocol=link)
        wait = Measurement(wait=True)
        refused(CompilationError, "it was compiled", protocol=link, measurement=wait)
        client.disconnect()


def test_labels_that_the_model_does_not_have(refused, tmp_path):
    labels = np.arange(400) % 10 + 1
    dataset = npz(tmp_path, x=np.zeros((400, 8, 8, 1), np.float32), y=labels)
    dataset.calibration_fraction, dataset.test_fraction = 0.5, 0.5
    refused(DatasetError, "--label-offset -1 makes them begin at 0", dataset=dataset)


def test_nothing_to_measure(refused):
    refused(DatasetError, "no test samples", dataset=DigitsDataset(test_fraction=0.0))


def test_a_runtime_of_another_format(refused):
    refused(ModelError, "runs onnx, got 'tflite'", runtime=ONNXRuntime())


def test_a_package_that_is_missing(refused):
    refused(BackendMissingError, "Needy needs no_such_package", compiler=Needy(target="int8"))


def test_a_record_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").touch()
    refused(RecordError, "cannot be written", path=tmp_path / "file" / "r.json")
