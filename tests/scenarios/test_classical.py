"""The four commands of a whole benchmark, word for word, with full class names and flags."""

import socket

import pytest

from edge_tester.core.record import read_record

MODEL = "edge_tester.modelwrappers.classification.tensorflow_digits.TensorFlowDigitsClassifier"
DATASET = "edge_tester.datasets.digits.DigitsDataset"
PROTOCOL = "edge_tester.runtimeprotocols.network.NetworkProtocol"
RUNTIME = "edge_tester.runtimes.tflite.TFLiteRuntime"
TRAIN = f"""
    python -m edge_tester.scenarios.model_training {MODEL} {DATASET}
    --logdir build/logs --batch-size 32 --learning-rate 0.001 --num-epochs 2
    --model-path build/digits.h5 --verbosity INFO
"""
MEASURE_HOST = f"""
    python -m edge_tester.scenarios.inference_performance {MODEL} {DATASET}
    build/report digits-native --model-path build/digits.h5 --verbosity INFO
"""
SERVER = f"""
    python -m edge_tester.scenarios.inference_server {PROTOCOL} {RUNTIME}
    --host 127.0.0.1 --port PORT --packet-size 32768
    --save-model-path build/target/model.tflite --verbosity INFO
"""
CLIENT = f"""
    python -m edge_tester.scenarios.inference_client {MODEL}
    edge_tester.compilers.tflite.TFLiteCompiler {PROTOCOL} {RUNTIME} {DATASET}
    build/report digits-int8 --model-path build/digits.h5 --model-framework keras
    --target int8 --compiled-model-path build/digits.tflite
    --inference-input-type int8 --inference-output-type int8 --host 127.0.0.1 --port PORT
    --packet-size 32768 --inference-batch-size 1 --verbosity INFO
"""


@pytest.fixture(scope="module")
def trained(user):
    assert "Saved build/digits.h5" in user.does(*TRAIN.split())
    return user


@pytest.fixture(scope="module")
def int8(trained):
    """The record of the client's run against the server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    with trained.agent(*SERVER.replace("PORT", port).split()):
        output = trained.does(*CLIENT.replace("PORT", port).split())
    assert "Record: build/report/digits-int8.json" in output
    return read_record(trained.folder / "build/report/digits-int8.json")


def test_training_writes_the_model_and_its_log(trained):
    assert (trained.folder / "build/digits.h5").stat().st_size > 10_000
    assert list((trained.folder / "build/logs").rglob("events*"))


def test_the_host_measures_it_in_its_own_framework(trained):
    trained.does(*MEASURE_HOST.split())
    record = read_record(trained.folder / "build/report/digits-native.json")
    assert record.complete
    assert "keras" == record.model.format
    assert 359 == record.quality.samples == len(record.target_ns)
    # Two epochs are few; chance would be 0.1.
    assert record.quality.accuracy > 0.6
    # One process has no other side.
    assert [] == record.host_ns


def test_the_target_measures_it_quantized(int8, trained):
    assert int8.complete
    assert 359 == int8.quality.samples == len(int8.target_ns)
    assert 1.0 == int8.model.quantized_weight_share
    assert ["int8"] == [spec.dtype for spec in int8.model.inputs]
    assert ["int8"] == [spec.dtype for spec in int8.model.outputs]
    assert "digits.h5" == int8.model.parents[0]["name"]
    # By the host's clock, a block takes longer than its inferences.
    assert all(block.host_ns[0] > sum(block.target_ns) > 0 for block in int8.blocks)
    assert min(int8.target_ns) > 0


def test_the_target_keeps_the_model_where_its_owner_said(int8, trained):
    made = (trained.folder / "build/digits.tflite").read_bytes()
    assert made == (trained.folder / "build/target/model.tflite").read_bytes()
    assert len(made) == int8.model.size_bytes


def test_the_record_holds_the_command_and_every_option(int8):
    assert ["edge-tester", "client"] == int8.command_line[:2]
    assert "--inference-batch-size" in int8.command_line
    options = {component.role: component.options for component in int8.components}
    assert "int8" == options["compiler"]["inference_input_type"]
    assert 32768 == options["runtimeprotocol"]["packet_size"]
    assert 0.2 == options["dataset"]["test_fraction"]
