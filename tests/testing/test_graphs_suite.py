"""Wrappers that tell graphs keep the suite, and one that tells too little does not."""

import shutil
from pathlib import Path

import msgspec
import pytest

from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.modelwrappers.generic.torch_exported_file import TorchExportedFile
from edge_tester.testing import GraphsConformance
from tests.scenarios.conftest import ROOT

# 3 x 3 kernels: 8 x 8 outputs of 16 channels of 1, 4 x 4 of 32 of 16; 128 values to 10.
MACS = 64 * 16 * 9 + 16 * 32 * 9 * 16 + 128 * 10
PARAMETERS = 16 * 9 + 16 + 32 * 16 * 9 + 32 + 128 * 10 + 10


def shipped(suffix, folder):
    return Path(shutil.copy(ROOT / f"edge_tester/resources/digits.{suffix}", folder))


class TestONNX(GraphsConformance):
    cls = ONNXFile
    options = {"model_path": "m.onnx"}
    macs, parameters = MACS, PARAMETERS

    @pytest.fixture
    def model_file(self, tmp_path):
        return shipped("onnx", tmp_path)


class TestLiteRT(GraphsConformance):
    cls = TFLiteFile
    options = {"model_path": "m.tflite"}
    macs, parameters = MACS, PARAMETERS

    @pytest.fixture
    def model_file(self, tmp_path):
        return shipped("tflite", tmp_path)


class TestTorchExported(GraphsConformance):
    cls = TorchExportedFile
    options = {"model_path": "m.pt2"}
    macs, parameters = 6 * 6 * 4 * 9 + 144 * 5, 4 * 9 + 4 + 144 * 5 + 5

    @pytest.fixture
    def model_file(self, tmp_path):
        import torch
        from torch import nn

        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
        batch = torch.export.Dim("batch")
        examples = (torch.zeros(2, 1, 8, 8),)
        program = torch.export.export(network.eval(), examples, dynamic_shapes=({0: batch},))
        torch.export.save(program, tmp_path / "network.pt2")
        return tmp_path / "network.pt2"


class ForgetfulFile(ONNXFile):
    """Leaves out the convolutions."""

    def graph(self, batch_size=None, shapes=()):
        graph = super().graph(batch_size, shapes)
        left = tuple(one for one in graph.operators if one.kind != "Conv")
        return msgspec.structs.replace(graph, operators=left)


def test_a_wrapper_that_leaves_out_operators_is_rejected(tmp_path):
    suite = type("Forgetful", (TestONNX,), {"cls": ForgetfulFile})()
    graph = suite._told(shipped("onnx", tmp_path), 1)
    with pytest.raises(AssertionError, match="which nothing has made"):
        suite.test_every_tensor_is_told_and_made_before_it_is_read(graph)
    with pytest.raises(AssertionError):
        suite.test_work_and_parameters_are_those_by_hand(graph)
