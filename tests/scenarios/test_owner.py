"""What only the owner of a target may set, where host and owner are the same."""

import contextlib
import re

import pytest

from edge_tester.core import registry
from edge_tester.core.record import read_record


@pytest.mark.parametrize("way", ["start-agent", "loopback"])
def test_the_owner_of_a_target_that_is_this_machine_sets_everything(user, way):
    kept = user.folder / f"{way}.tflite"
    place = ("loopback",) if way == "loopback" else ()
    flags = () if place else ("--start-agent",)
    words = (
        "client",
        "m.tflite",
        *place,
        "runtimes.tflite",
        "data.npz",
        f"of-{way}",
        f"owner-{way}",
    )
    user.does(*words, *flags, "--limit", "20", "--save-model-path", kept)
    assert (user.folder / "m.tflite").read_bytes() == kept.read_bytes()
    record = read_record(user.folder / f"of-{way}" / f"owner-{way}.json")
    (runtime,) = [one for one in record.components if one.role == "runtime"]
    assert str(kept) == runtime.options["save_model_path"]


MATRIX = """
modelwrapper: {class: tflite_file, model_path: m.tflite}
dataset: {class: npz_file, dataset_path: data.npz, limit: 20}
report_directory: OUT
"""


@pytest.mark.parametrize(
    "targets", ["", "targets: {here: {class: loopback}}\n"], ids=["agent", "loopback"]
)
def test_so_does_the_owner_of_a_matrix(user, tmp_path, targets):
    kept = tmp_path / "kept.tflite"
    runtime = f"{{class: tflite, save_model_path: {kept}}}"
    (tmp_path / "matrix.yml").write_text(
        MATRIX.replace("OUT", str(tmp_path / "report"))
        + targets
        + f"combinations:\n  - {{runtime: {runtime}}}\n"
    )
    user.does("matrix", tmp_path / "matrix.yml")
    assert (user.folder / "m.tflite").read_bytes() == kept.read_bytes()


def test_elsewhere_it_is_as_its_owner_says(user, tmp_path):
    words = "client m.tflite network runtimes.tflite data.npz elsewhere owners --limit 20 --port"
    flags = ("--save-model-path", tmp_path / "kept", "--delegates-list", "libnowhere.so")
    with user.agent() as (_, port):
        told = " ".join(user.does(*words.split(), port, *flags).split())
    for name in ("save_model_path", "delegates_list"):
        assert f"TFLiteRuntime.{name}" in told
    assert "belongs to the target's owner, who has []" in told
    assert not (tmp_path / "kept").exists()


def served(user, *words) -> set[str]:
    """The runtimes that an agent serves, by its own words."""
    process = user.start("server", "--port", 0, *words, agent=True)
    try:
        line = process.stdout.readline()
        return set(re.search(r" runs (.*)", line)[1].split(", "))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_without_a_named_runtime_only_models_that_are_data_are_served(user):
    every = {registry.load("runtimes", name) for name in registry.names("runtimes")}
    code = {cls.__name__ for cls in every if cls.runs_code}
    data = {cls.__name__ for cls in every if not cls.runs_code}
    assert {"EchoRuntime", "TFLiteRuntime", "ONNXRuntime", "OpenVINORuntime"} == data
    found = served(user)
    assert "TFLiteRuntime" in found
    assert found <= data
    assert served(user, "--serve-code") & code
    assert {"TorchScriptRuntime"} == served(user, "torchscript")


@pytest.mark.parametrize("verbosity", ["ERROR", "INFO"])
def test_an_agent_without_protection_says_so_in_one_line(user, verbosity):
    words = ("server", "network", "echo", "--port", 0, "--verbosity", verbosity)
    with contextlib.ExitStack() as stack:
        process = user.start(*words, "--host", "0.0.0.0", "--insecure", agent=True)
        stack.callback(process.kill)
        assert process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=20)
    warnings = [line for line in errors.splitlines() if line.startswith("WARNING: --insecure")]
    assert 1 == len(warnings)
    assert "0.0.0.0" in warnings[0]
    assert "run any code" in warnings[0]
