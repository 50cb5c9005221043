"""The example of a layer that no converter knows, run as its page says."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.core.registry import load
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.torch_exported import TorchExportedRuntime
from tests.agents import PROJECT

SOURCE = PROJECT / "examples" / "custom_layer"
# The rows that it was not trained on.
HELD_OUT = 1200
LIMIT_S = 280


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A copy of the example, in which Python looks for modules."""
    pytest.importorskip("torch")
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SOURCE))
    return tmp_path


def networks():
    import spiking
    import torch

    for network in (spiking.opaque(), spiking.decomposed()):
        network.load_state_dict(torch.load(SOURCE / "weights.pth"))
        yield network.eval()


def digits():
    datasets = pytest.importorskip("sklearn.datasets").load_digits()
    images = (datasets.images[HELD_OUT:, :, :, np.newaxis] / 16).astype(np.float32)
    return images, datasets.target[HELD_OUT:]


def test_both_forms_answer_alike_and_well(example):
    import torch

    images, classes = digits()
    with torch.inference_mode():
        first, second = (one(torch.from_numpy(images)).numpy() for one in networks())
    np.testing.assert_array_equal(first, second)
    assert np.mean(first.argmax(1) == classes) > 0.9


def test_a_saved_program_needs_the_module(example):
    import torch

    network = next(networks())
    images, _ = digits()
    path = example / "opaque.pt2"
    torch.export.save(torch.export.export(network, (torch.from_numpy(images[:1]),)), path)
    runtime = TorchExportedRuntime(import_modules=("spiking",))
    runtime.prepare()
    runtime.load(path, 1)
    runtime.set_inputs([images[:1]])
    runtime.run()
    expected = network(torch.from_numpy(images[:1])).detach().numpy()
    np.testing.assert_allclose(runtime.get_outputs()[0], expected, atol=1e-5)
    with pytest.raises(RuntimeStateError, match="this target cannot import not_there"):
        TorchExportedRuntime(import_modules=("not_there",)).prepare()


def test_as_a_custom_operator_of_onnx_runtime(example):
    pytest.importorskip("onnxruntime_extensions")
    import torch

    command = [sys.executable, "onnx_operator.py"]
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    subprocess.run(command, cwd=example, env=environment, check=True, timeout=120)
    path, (images, _) = example / "opaque.onnx", digits()
    runtime = ONNXRuntime(
        custom_op_libraries=("onnxruntime_extensions",), import_modules=("onnx_operator",)
    )
    runtime.prepare()
    runtime.load(path, len(images))
    runtime.set_inputs([images])
    runtime.run()
    expected = next(networks())(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(runtime.get_outputs()[0], expected, atol=1e-5)
    plain = ONNXRuntime()
    plain.prepare()
    with pytest.raises(ModelError, match="lif.* is not a registered function/op"):
        plain.load(path, 1)


def run(example, *words):
    command = Path(sysconfig.get_path("scripts")) / "edge-tester"
    return subprocess.run(
        [command, *words],
        cwd=example,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


@pytest.mark.timeout(LIMIT_S + 20)
def test_the_pipeline_names_the_operation_and_recommends_the_framework(example):
    asked = yaml.safe_load((example / "opaque.yml").read_text())
    asked |= {"ways": ["torchscript", "onnx"], "requests": 20}
    asked["dataset"]["limit"] = 60
    asked["measurement"] = {"replicates": 1, "min_count": 20}
    (example / "opaque.yml").write_text(yaml.safe_dump(asked))
    done = run(example, "pipeline", "opaque.yml")
    assert 1 == done.returncode, done.stderr
    words = " ".join(done.stdout.split())
    assert "converter does not take the operation edge_example::lif" in words
    assert "Run the framework itself on the device: torchscript." in words


@pytest.mark.parametrize("name", ["onnx", "tvm", "executorch"])
def test_the_decomposed_form_is_converted(example, name):
    asked = yaml.safe_load((example / "decomposed.yml").read_text())
    assert name in asked["ways"]
    wrapper = asked["modelwrapper"]
    model = load("modelwrappers", wrapper.pop("class")).from_options(wrapper)
    compiler = load("compilers", name)(compiled_model_path=example / "out")
    pytest.importorskip(compiler.packages[0])
    # The check after compiling compares it with its source.
    assert compiler.compile(model, None).facts["self_check"]["compared"]


def test_no_client_registers_operators_on_a_target_of_somebody_else():
    pytest.importorskip("onnxruntime")
    wanted = {"import_modules": ["antigravity"], "custom_op_libraries": ["/no/lib.so"]}
    with local_agent([ONNXRuntime()]) as link:
        client = Client(link)
        welcome = client.connect(Hello(client="a test", runtime_options=wanted))
        client.disconnect()
    assert {"import_modules": [], "custom_op_libraries": []} == {
        name: welcome.runtime_options[name] for name in wanted
    }


def test_a_library_that_is_not_there():
    pytest.importorskip("onnxruntime")
    with pytest.raises(RuntimeStateError, match="this target has no file /no/lib.so"):
        ONNXRuntime(custom_op_libraries=("/no/lib.so",)).prepare()
