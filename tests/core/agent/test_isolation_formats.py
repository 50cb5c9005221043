"""Models that are code in other ways than native code, and all runtimes where models are isolated.

Each attack is tried without isolation too: otherwise it would show nothing.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_tester import resources
from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import TargetError
from edge_tester.core.wire.profiling import profiled
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from tests import small_models
from tests.agents import running_agent
from tests.hostile import needs_isolation

pytestmark = needs_isolation
LEVELS = ("none", "full")
DIGITS = Path(resources.__file__).parent / "digits.tflite"


@pytest.fixture
def outside():
    """A folder that no session is given, and that is below nothing that one is given."""
    with tempfile.TemporaryDirectory(prefix="edge_tester-private-", dir="/tmp") as folder:
        yield Path(folder)


def torchscript(path: Path, read: Path, written: Path) -> Path:
    """A program that reads one file and makes another."""
    import torch

    class Reading(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.written = str(read), str(written)

        def forward(self, values):
            if values.sum() > 0:
                return torch.from_file(self.read, shared=False, size=4, dtype=torch.uint8)
            return torch.from_file(self.written, shared=True, size=4, dtype=torch.uint8)

    torch.jit.save(torch.jit.script(Reading()), str(path))
    return path


@pytest.mark.parametrize("level", LEVELS)
def test_torchscript_that_reads_and_writes_files(tmp_path, outside, level):
    (outside / "key").write_bytes(b"abcd")
    model = torchscript(tmp_path / "model.ts", outside / "key", outside / "written")
    words = ("--isolation", level, "--input-shapes", "1,1:float32")
    with running_agent(tmp_path, *words, runtime="torchscript") as agent:
        client = agent.connect()
        # Loading runs it once on zeros, which writes.
        if level == "full":
            with pytest.raises(TargetError, match="Permission denied"):
                client.upload_model(Artifact.from_file(model))
        else:
            client.upload_model(Artifact.from_file(model))
            answer = client.run_sample([np.ones((1, 1), np.float32)])
            assert list(b"abcd") == answer.outputs[0].tolist()
        client.disconnect()
        assert (level == "none") == (outside / "written").exists()


def exported(folder: Path, payload: str) -> Path:
    """A .pt2 file in which the size of a batch is an expression of Python."""
    import torch

    class Plain(torch.nn.Module):
        def forward(self, values):
            return values + 1

    sizes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Plain(), (torch.zeros(3, 4),), dynamic_shapes=sizes)
    good, bad = folder / "good.pt2", folder / "bad.pt2"
    torch.export.save(program, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename.endswith("model.json"):
                head, marker, rest = content.partition(b'"expr_str": "')
                assert marker
                _, end, rest = rest.partition(b'"')
                content = head + marker + payload.encode() + end + rest
            target.writestr(member, content)
    return bad


ATTACKS = {
    "writes": "open('{folder}/done','w').close()",
    "copies a secret": "open('{folder}/done','w').write(open('/etc/hostname').read())",
    "starts a program": "__import__('subprocess').run(['touch','{folder}/done'])",
    "connects": "__import__('socket').create_connection(('127.0.0.1','{port}'))",
    "kills its parent": "__import__('os').kill(__import__('os').getppid(),9)",
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_exported_program_whose_sizes_are_python(tmp_path, outside, attack, level):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        model = exported(tmp_path, ATTACKS[attack].format(folder=outside, port=port))
        status = -9 if (attack, level) == ("kills its parent", "none") else 0
        words = ("--isolation", level)
        with running_agent(tmp_path, *words, runtime="torch_exported", status=status) as agent:
            client = agent.connect()
            with pytest.raises(Exception):  # noqa: B017  # The agent may be gone.
                client.upload_model(Artifact.from_file(model))
            client.disconnect()
            done = (outside / "done").exists()
            if attack == "connects":
                try:
                    listener.accept()[0].close()
                    done = True
                except TimeoutError:
                    done = False
            elif attack == "kills its parent":
                # A signal takes a moment; one that is not sent takes none.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    agent.process.wait(5 if level == "none" else 0.5)
                done = agent.process.poll() is not None
            assert (level == "none") == done
            if level == "full":
                following = agent.wait(20)
                assert following.welcome.runtime == "torch_exported"
                following.disconnect()


class Weighted(TorchModel):
    input_shapes = ((1, 8, 8),)

    def build(self):
        import torch

        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64))


def saved(folder: Path) -> TorchModel:
    model = Weighted(model_path=folder / "model.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    return model


def test_a_core_ml_package_cannot_have_its_weights_elsewhere(tmp_path, outside):
    """The reader of packages takes the last part of a name alone, also without isolation."""
    package = tmp_path / "model.mlpackage"
    CoreMLCompiler(compiled_model_path=package, precision="float32").compile(saved(tmp_path), None)
    (weights,) = package.rglob("weight.bin")
    (program,) = package.rglob("model.mlmodel")
    shutil.copy(weights, outside / "weights")
    place_weights(program, f"@model_path/{'../' * 16}{outside.relative_to('/')}/weights")
    with running_agent(tmp_path, "--isolation", "none", runtime="mil") as agent:
        client = agent.connect()
        with pytest.raises(TargetError, match="Could not open .*/weights/weights"):
            client.upload_model(Artifact.from_file(package))
        client.disconnect()


def place_weights(program: Path, name: str) -> None:
    """Let a program have its weights in another file."""
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    model.ParseFromString(program.read_bytes())
    changed = 0
    for function in model.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                for value in operation.attributes.values():
                    if value.HasField("blobFileValue"):
                        value.blobFileValue.fileName = name
                        changed += 1
    assert changed
    program.write_bytes(model.SerializeToString())


def made(kind: str, folder: Path) -> Path:
    onnx = small_models.write_onnx(folder / "small.onnx")
    if kind == "tvm":
        compiler = TVMCompiler(compiled_model_path=folder / "small.so", self_check=False)
        return compiler.compile(ONNXFile(model_path=onnx), None).path
    return onnx


@pytest.mark.parametrize("runtime", ["tflite", "onnxruntime", "openvino", "tvm"])
def test_runtimes_run_where_they_are_isolated(tmp_path, runtime):
    """With two threads, and a second model in the same session."""
    if runtime == "tflite":
        path, expected = DIGITS, None
        inputs = [np.zeros((1, 8, 8, 1), np.float32)]
    else:
        path = made(runtime, tmp_path)
        values = small_models.sample((64,))
        inputs, expected = [values], small_models.answer(values)
    with running_agent(tmp_path, "--num-threads", "2", runtime=runtime) as agent:
        client = agent.connect()
        for _ in range(2):
            client.upload_model(Artifact.from_file(path))
            outputs = client.run_sample(inputs).outputs
            if expected is not None:
                np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-5)
        client.disconnect()
        assert "denied" not in agent.log
        assert "not permitted" not in agent.log


@pytest.mark.parametrize("runtime", ["executorch", "mil", "torchscript", "torch_exported"])
def test_runtimes_of_pytorch_run_where_they_are_isolated(tmp_path, runtime):
    import torch

    model = saved(tmp_path)
    example = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    expected = model.run([example])[0]
    path = (
        tmp_path
        / {
            "executorch": "model.pte",
            "mil": "model.mlpackage",
            "torchscript": "model.ts",
            "torch_exported": "model.pt2",
        }[runtime]
    )
    if runtime == "executorch":
        ExecuTorchCompiler(compiled_model_path=path, self_check=False).compile(model, None)
    elif runtime == "mil":
        CoreMLCompiler(compiled_model_path=path, precision="float32").compile(model, None)
    elif runtime == "torchscript":
        torch.jit.save(torch.jit.trace(model.network, torch.zeros(1, 1, 8, 8)), str(path))
    else:
        torch.export.save(torch.export.export(model.network, (torch.zeros(1, 1, 8, 8),)), path)
    words = ("--input-shapes", "1,1,8,8") if runtime == "torchscript" else ()
    with running_agent(tmp_path, *words, runtime=runtime) as agent:
        client = agent.connect()
        client.upload_model(Artifact.from_file(path))
        outputs = client.run_sample([example]).outputs
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-5)
        client.disconnect()


@pytest.mark.parametrize("level", ["full", "files"])
def test_a_runtime_starts_a_program_where_files_alone_are_isolated(tmp_path, monkeypatch, level):
    """A stand-in for benchmark_model, on the agent's PATH."""
    program, printed = tmp_path / "benchmark_model", tmp_path / "printed"
    columns = (
        "\t [node type]\t [first]\t [avg ms]\t [%]\t [cdf%]\t [mem KB]\t [times called]\t[Name]"
    )
    row = "\t CONV_2D\t 9.0\t 4.269\t 9%\t 9%\t 0.0\t 1\t[a]:0"
    title = "Operator-wise Profiling Info for Regular Benchmark Runs:\n==== Run Order ===="
    printed.write_text(f"{title}\n{columns}\n{row}\n\n")
    program.write_text(f"#!/bin/sh\n/bin/cat {printed}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    words = ("--isolation", level, "--allow-paths", str(program), str(printed))
    with running_agent(tmp_path, *words, runtime="tflite") as agent:
        client = agent.connect(features=["profile"])
        client.upload_model(Artifact.from_file(DIGITS))
        profile = profiled(client, [np.zeros((1, 8, 8, 1), np.float32)], 5)
        client.disconnect()
    if level == "files":
        assert [("CONV_2D", 4_269_000)] == [(one.type, one.time_ns) for one in profile.operators]
    else:
        assert "start its agent with --isolation files" in profile.unavailable
