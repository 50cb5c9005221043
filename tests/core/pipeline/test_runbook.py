import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.pipeline.runbook import (
    Artifact,
    DeviceProfile,
    Step,
    read_device,
    runbook_of,
)
from edge_tester.core.system.profilefiles import shipped_profiles

ONNX = Artifact(name="onnx-int8", file="a/x.onnx", format="onnx", runtime="onnxruntime")
TFLITE = Artifact(name="tflite", file="a/x.tflite", format="tflite", runtime="tflite")


def profile(*commands, formats=("onnx",), **step):
    steps = [Step(title="Run", commands=list(commands), **step)]
    return DeviceProfile(title="Board", about="A board.", formats=list(formats), steps=steps)


def test_commands_are_filled_in_for_each_artifact_that_the_device_runs():
    one = profile("run {{ artifact.file }} on {{ device }} in {{ directory }}", each=True)
    found = runbook_of("board", one, [TFLITE, ONNX, ONNX], {"directory": "d"})
    assert [ONNX, ONNX] == found.artifacts
    assert ["run a/x.onnx on DEVICE in d"] * 2 == found.steps[0].commands


def test_without_anything_to_run_there_is_nothing_to_do():
    assert (
        [] == runbook_of("board", profile("ls {{ (artifacts | first).file }}"), [TFLITE], {}).steps
    )


def test_a_command_that_names_what_there_is_not_is_refused():
    with pytest.raises(OptionError, match="profile board cannot be filled in: .*modle"):
        runbook_of("board", profile("run {{ modle }}"), [ONNX], {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("title: [", "cannot be used"),
        ("title: Board\nabout: x\nformats: [onnx]\n", "missing required field `steps`"),
        ("title: B\nabout: x\nformats: [onnx]\nsteps: []\ncolour: red\n", "unknown field `colour`"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, said):
    path = tmp_path / "own.yml"
    path.write_text(content)
    with pytest.raises(OptionError, match=said):
        read_device(str(path))


def test_an_unknown_name_is_answered_with_what_was_meant():
    with pytest.raises(OptionError, match="no device profile 'rasperry-pi-5'.*'raspberry-pi-5'"):
        read_device("rasperry-pi-5")
    assert {"raspberry-pi-4", "jetson", "coral", "android", "iphone", "cortex-m"} <= set(
        shipped_profiles("devices")
    )
