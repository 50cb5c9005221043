"""The test cases of the ONNX standard: what the wrapper answers is what plain ONNX Runtime does."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.test.loader import load_model_tests

from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

# Cases that take and give tensors of real numbers, and that ONNX Runtime runs.
LEAST = 1300


def plain_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Many cases are newer than ONNX Runtime; it says so at length.
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception:  # Its errors have no other base in common.
        return None


def answers(session, inputs):
    names = [given.name for given in session.get_inputs()]
    try:
        return session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception:
        return None


def is_equal(expected, found):
    return len(expected) == len(found) and all(
        mine.dtype == theirs.dtype
        and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
        for mine, theirs in zip(expected, found, strict=True)
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_answers_are_those_of_plain_onnxruntime(tmp_path):
    path = tmp_path / "model.onnx"
    equal, different = [], []
    for case in load_model_tests(kind="node"):
        onnx.save(case.model, path)
        session = plain_session(path)
        if session is None:
            continue
        wrapper = ONNXFile(model_path=path)
        try:
            wrapper.load()
        except ModelError as error:
            # Text, sequences, optional values and types that numpy has not.
            assert "must be a tensor of real numbers or bool" in str(error), case.name
            continue
        inputs = case.data_sets[0][0]
        expected = answers(session, inputs)
        if expected is not None:
            found = wrapper.run([np.asarray(values) for values in inputs])
            (equal if is_equal(expected, found) else different).append(case.name)
    assert [] == different
    assert len(equal) > LEAST
