"""Validate, as a user types it: conversions that are right, wrong, and moved."""

import csv
import json
import shutil

import numpy as np
import pytest

QUICK = ("--replicates", 1, "--min-count", 20, "--limit", 60)


def _changed(source, path, change):
    """Write an ONNX file with something else in it."""
    import onnx

    model = onnx.load(str(source))
    change(model)
    onnx.save(model, str(path))


def _permute_last_weights(model):
    from onnx import numpy_helper

    weights = next(w for w in reversed(model.graph.initializer) if len(w.dims) == 2)
    values = numpy_helper.to_array(weights)
    axis = values.shape.index(10)
    moved = np.take(values, np.roll(np.arange(10), 1), axis)
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(moved), weights.name))


@pytest.fixture(scope="module")
def validated(user):
    """What validating the shipped model against three files and two conversions printed."""
    _changed(user.folder / "m.onnx", user.folder / "broken.onnx", _permute_last_weights)
    shutil.copy(user.folder / "m.onnx", user.folder / "same.onnx")
    words = ("validate", "m.onnx", "same.onnx", "broken.onnx", "m.tflite", "data.npz")
    ways = ("--ways", "onnx-int8", "tvm")
    status, output, errors = user.run(*words, *ways, *QUICK, "--report-directory", "v")
    # A conversion differs.
    assert 1 == status, errors
    user.assert_clean()
    return output


def _validation(user, folder="v"):
    content = json.loads((user.folder / folder / "validation.json").read_text())
    return {one["name"]: one for one in content["conversions"]}, content


def test_each_conversion_has_a_verdict(user, validated):
    found, content = _validation(user)
    verdicts = {name: one["verdict"] for name, one in found.items()}
    # Sixty samples do not rule out that int8 loses a point.
    assert {
        "same": "alike",
        "broken": "differs",
        "m": "alike",
        "onnx-int8": "unknown",
        "tvm": "alike",
    } == verdicts
    assert 60 == content["samples"]
    same, moved = (found[name]["outputs"][0]["agreement"] for name in ("same", "broken"))
    assert same["identical"] and 0 == same["l2_max"] == same["max_absolute"]
    assert moved["top1"] < 0.2
    assert found["broken"]["answers"]["now_wrong"] > 40
    assert {"float32", "integers"} == {one["precision"] for one in found.values()}


def test_every_form_of_the_result_says_the_same(user, validated):
    said = " ".join(validated.split())
    assert "broken differs" in said and "more samples would tell" in said
    with (user.folder / "v/validation.csv").open() as file:
        rows = {row["conversion"]: row for row in csv.DictReader(file)}
    assert "differs" == rows["broken"]["verdict"] and "0.0" == rows["same"]["l2_max"]
    page = (user.folder / "v/validation.html").read_text()
    assert "broken: not within the tolerances." in page
    assert "same: equal to m.onnx in every value." in page
    assert (user.folder / "v/report.html").exists()


def test_the_layer_that_breaks_is_named_and_cut_out(user, validated):
    found = json.loads((user.folder / "v/diagnosis.json").read_text())
    # The weights of the last layer were moved; all else is as it was.
    assert {"broken"} == found["layers"].keys() == found["cuts"].keys()
    layers = found["layers"]["broken"]["layers"]
    verdicts = [one["verdict"] for one in layers]
    assert 1 == verdicts.count("breaks")
    # What comes before it is as it was.
    assert {"sound"} == set(verdicts[: verdicts.index("breaks")])
    assert "broken breaks at " in " ".join(validated.split())
    folder = user.folder / "v/broken/broken"
    status, output, errors = user.run("python", "-I", folder / "reproduce.py")
    assert 0 == status and "expected" in output, errors
    assert {} == found["feeding"]


def test_a_conversion_that_is_fed_otherwise_says_how(user):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    for name, values in (("rgb", weights), ("bgr", weights[:, ::-1])):
        graph = helper.make_graph(
            [
                helper.make_node("Conv", ["x", "w"], ["c"]),
                helper.make_node("Relu", ["c"], ["y"]),
            ],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
            [numpy_helper.from_array(np.ascontiguousarray(values), "w")],
        )
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        onnx.save(model, user.folder / f"{name}.onnx")
    words = ("validate", "rgb.onnx", "bgr.onnx", *QUICK, "--report-directory", "f")
    status, output, errors = user.run(*words)
    assert 1 == status, errors
    assert "bgr: it agrees if the channels come in reverse order" in " ".join(output.split())


def test_what_to_do_about_integers_is_looked_for_on_request(user):
    words = ("validate", "m.onnx", "data.npz", "--ways", "onnx-int8", *QUICK)
    more = ("--selective", "--calibrations", "--profile", "--report-directory", "s")
    status, output, errors = user.run(*words, *more)
    assert 0 == status, errors
    found = json.loads((user.folder / "s/diagnosis.json").read_text())
    selection, report = found["selections"]["onnx-int8"], found["calibrations"]["onnx-int8"]
    assert selection["steps"][0]["latency_ns"] > 0
    assert {"minmax", "percentile", "entropy"} == {one["method"] for one in report["trials"]}
    assert {"onnx-int8"} == found["operators"].keys() and "source" == found["profiled"]
    assert [] == found["reasons"]
    page = (user.folder / "s/validation.html").read_text()
    for title in ("left in float", "Calibrations of onnx-int8", "operator by operator"):
        assert title in page


def test_what_was_run_is_not_run_again(user, validated):
    # The samples that calibrating takes away are those that it took before.
    words = ("validate", "m.onnx", "same.onnx", "data.npz", "--min-calibration", 200, *QUICK)
    status, _, errors = user.run(*words, "--report-directory", "v")
    assert 0 == status
    assert "source: done before" in errors and "same: done before" in errors


def test_conversions_that_are_not_there_say_why(user, validated):
    refusal = user.refused("validate", "m.onnx", "--ways", "tflit", "--report-directory", "w")
    assert "There is no way 'tflit' to deploy a model" in refusal
    words = ("validate", "m.onnx", "--ways", "executorch", *QUICK, "--report-directory", "w")
    status, output, _ = user.run(*words)
    assert 0 == status and "Not tried: executorch" in output
    assert (
        "takes torch, torch-exported, the model is &#39;onnx&#39;"
        in (user.folder / "w/validation.html").read_text()
    )


def test_a_model_that_draws_random_numbers_has_no_conversion(user):
    from onnx import helper

    def randomize(model):
        output = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["before" if name == output else name for name in node.output]
        model.graph.node.append(
            helper.make_node("RandomNormalLike", ["before"], ["noise"], scale=1.0)
        )
        model.graph.node.append(helper.make_node("Add", ["before", "noise"], [output]))

    _changed(user.folder / "m.onnx", user.folder / "random.onnx", randomize)
    refusal = user.refused(
        "validate", "random.onnx", "m.tflite", "data.npz", *QUICK, "--report-directory", "x"
    )
    assert "gives different answers for the same input" in refusal
