"""``--profile`` wherever a run is asked for, and what the screen says of it."""

import csv
import io
import re

import pytest

from edge_tester.core.record import OperatorTime, Profile, read_record
from edge_tester.scenarios._show import show
from tests import small_models
from tests.report.records import record

CLIENT = (
    "client cnn.onnx random_inputs out r --start-agent --num-samples 30 --test-fraction 1 "
    "--calibration-fraction 0 --validation-fraction 0 --profile --replicates 2"
)
RUN = """
scenario: measure-host
modelwrapper: cnn.onnx
dataset: {class: random_inputs, num_samples: 20, test_fraction: 1, calibration_fraction: 0}
profile: true
report_directory: out
report_name: host
"""
MATRIX = """
modelwrapper: cnn.onnx
dataset: {class: random_inputs, num_samples: 20, test_fraction: 1, calibration_fraction: 0}
report_directory: many
measurement: {profile: true, replicates: 1}
combinations:
  - runtime: onnxruntime
  - runtime: openvino
"""


@pytest.fixture(scope="module")
def folder(user):
    small_models.write_cnn_onnx(user.folder / "cnn.onnx")
    (user.folder / "run.yml").write_text(RUN)
    (user.folder / "matrix.yml").write_text(MATRIX)
    return user.folder


def kinds(path):
    return [one.type for one in read_record(path).profile.operators]


def test_a_client_shows_and_keeps_them(user, folder):
    said = user.does(*CLIENT.split())
    (head,) = re.findall(r"Time per operator, 5 of \d+, profiled in a run of its own.*", said)
    assert "shares count" in head
    lines = said.partition(head)[2].splitlines()[1:6]
    assert all(re.match(r" *\d+\.\d %  +[\d.]+ µs  \d+ \w+", line) for line in lines), lines
    found = kinds(folder / "out/r.json")
    assert {"Conv", "MaxPool", "Gemm"} <= set(found)
    table = user.does("export", "out/r.json", "--rows", "operator")
    assert found == [row["type"] for row in csv.DictReader(io.StringIO(table))]


def test_a_file_and_a_host_can_say_it(user, folder):
    user.does("run", "run.yml")
    assert "Gemm" in kinds(folder / "out/host.json")


def test_each_of_a_matrix_has_its_own(user, folder):
    user.does("matrix", "matrix.yml")
    assert "Gemm" in kinds(folder / "many/onnxruntime.json")
    assert "FullyConnected" in kinds(folder / "many/openvino.json")


def test_a_framework_that_cannot_is_named(user, folder):
    said = user.refused(
        "client", "m.tflite", "digits", "out", "x", "--start-agent", "--profile", "--runtime", "mil"
    )
    assert "MILRuntime cannot tell the time per operator; --profile works with" in said


def test_the_screen_has_five_lines_of_eighty_columns(capsys, tmp_path):
    operators = [
        OperatorTime(place=n, type="[red]Conv" + "x" * 60, name="y" * 99, time_ns=1 << n)
        for n in range(20)
    ]
    found = Profile(tool="t", operators=operators, inferences=1, differences=True)
    show(record(profile=found), tmp_path / "r.json")
    said = capsys.readouterr().out
    head, *lines = said[said.index("Time per operator") :].splitlines()[:6]
    assert "Time per operator, 5 of 20, differences in a run of its own: shares count" == head
    assert ["50.0 %", "25.0 %"] == [re.match(r" *([\d.]+ %)", line)[1] for line in lines[:2]]
    assert all("[red]Conv" in line for line in lines)
    assert max(map(len, said[said.index("Time per") :].splitlines()[:6])) <= 80


def test_the_screen_says_why_there_are_none(capsys, tmp_path):
    show(record(profile=Profile(tool="t", unavailable="It is off.")), tmp_path / "r.json")
    assert "Time per operator: not available. It is off." in capsys.readouterr().out
