"""Times of a .tflite model: what benchmark_model prints, and beginnings of the graph."""

import stat

import numpy as np
import pytest

from edge_tester.runtimes._tflite import benchmark_model, prefixes
from edge_tester.runtimes._tflite import profiler as tflite
from edge_tester.runtimes._tflite.delegates import executors
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.runtimes.test_profiles import DIGITS

HEAD = "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t"
HEAD += "[times called]\t[Name]"
OLD = (
    "\t             [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t"
)
OLD += "[times called]\t[Name]"


def printed(graph, *inside, head=HEAD):
    """What benchmark_model prints, after the table of its own begin."""
    begin = "\t AllocateTensors\t 9.0\t 9.0\t 99%\t 100%\t 0.000\t 1\tAllocateTensors/0"
    parts = [
        "INFO: Inference timings in us: Init: 9, First inference: 9, Warmup (avg): 9, "
        "Inference (avg): 6419.96",
        "Profiling Info for Benchmark Initialization:",
        f"============================== Run Order ==============================\n{HEAD}\n{begin}",
        "Operator-wise Profiling Info for Regular Benchmark Runs:",
    ]
    tables = [graph, *(f"Delegate internal: \n{one}" for one in inside)]
    return "\n".join([*parts, *tables])


def table(*rows, head=HEAD):
    title = "============================== Run Order =============================="
    after = "============================== Top by Computation Time ======================"
    return "\n".join([title, head, *rows, "", after, head, *reversed(rows), ""])


def row(kind, ms, name, calls=1, start=""):
    return f"\t {kind}\t {start}   9.000\t    {ms}\t 0.1%\t 0.1%\t 0.000\t        {calls}\t{name}"


def test_benchmark_model_tells_of_regular_runs():
    graph = table(row("CONV_2D", "4.269", "[a/Relu]:0"), row("SOFTMAX", "0.010", "[b]:1", 3))
    profile = benchmark_model.profile_in(printed(graph), 50)
    # A call takes so long; there are three of them in an inference.
    assert [("CONV_2D", "[a/Relu]:0", 4_269_000), ("SOFTMAX", "[b]:1", 30_000)] == [
        (one.type, one.name, one.time_ns) for one in profile.operators
    ]
    assert ("mean", 6_419_960, 50) == (profile.statistic, profile.whole_ns, profile.inferences)


def test_benchmark_model_of_old_has_another_column():
    graph = table(row("CONV_2D", "4.269", "[a]", 0, "0.000\t"), head=OLD)
    (one,) = benchmark_model.profile_in(printed(graph), 50).operators
    assert 4_269_000 == one.time_ns


def test_what_a_delegate_is_made_of_stands_for_it():
    graph = table(row("TfLiteXNNPackDelegate", "5.0", "[d]:9"), row("SHAPE", "0.5", "[s]:1"))
    inside = table(row("Convolution (NHWC, F32)", "3.0", "c:0"), row("Copy", "1.0", "e:1"))
    profile = benchmark_model.profile_in(printed(graph, inside), 50)
    expected = [("Convolution (NHWC, F32)", "TfLiteXNNPackDelegate")]
    expected += [("Copy", "TfLiteXNNPackDelegate"), ("SHAPE", None)]
    assert expected == [(one.type, one.delegate) for one in profile.operators]
    # Of two delegates nothing tells which is which.
    twice = benchmark_model.profile_in(printed(graph, inside, inside), 50)
    assert ["TfLiteXNNPackDelegate", "SHAPE"] == [one.type for one in twice.operators]


def test_benchmark_model_that_prints_no_table_has_no_times():
    assert "no table" in benchmark_model.profile_in("nothing\n", 5).unavailable
    assert "no table" in benchmark_model.profile_in(printed("nothing"), 5).unavailable


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a stand-in for benchmark_model on the PATH; give where it writes its flags."""

    def make(text, status=0):
        path = tmp_path / "benchmark_model"
        (tmp_path / "printed").write_text(text)
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/flags\n'
            f"/bin/cat {tmp_path}/printed\nexit {status}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path / "flags"

    return make


def digits(**options):
    runtime = TFLiteRuntime(**options)
    runtime.prepare()
    runtime.load(DIGITS, 1)
    return runtime.profile([np.zeros((1, 8, 8, 1), np.float32)], 7)


def test_benchmark_model_is_asked_where_the_target_has_it(program):
    flags = program(printed(table(row("CONV_2D", "4.269", "[a]:0"))))
    profile = digits(num_threads=2, xnnpack=False)
    assert ("benchmark_model --enable_op_profiling", 4_269_000) == (profile.tool, profile.total_ns)
    said = flags.read_text().split()
    wanted = {f"--graph={DIGITS}", "--num_threads=2", "--use_xnnpack=false", "--num_runs=7"}
    assert wanted | {"--enable_op_profiling=true", "--input_layer_shape=1,8,8,1"} <= set(said)


def test_benchmark_model_that_fails_says_why(program):
    program("Failed to load", 1)
    assert "ended with status 1: Failed to load" in digits().unavailable


def test_a_delegate_that_is_asked_for_has_no_beginnings():
    asked = tflite.Asked(DIGITS, [], [], 1, True, ("libdelegate.so",), (), 5)
    assert "takes the graph as a whole" in tflite.profile(asked, None, None).unavailable


def test_a_beginning_answers_as_the_whole_graph_does_there():
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    content = DIGITS.read_bytes()
    plain = {
        "experimental_op_resolver_type": (
            interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
    }
    whole = interpreter.Interpreter(
        model_content=content, experimental_preserve_all_tensors=True, **plain
    )
    values = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)

    def run(one):
        one.allocate_tensors()
        one.set_tensor(one.get_input_details()[0]["index"], values)
        one.invoke()
        return one

    run(whole)
    real = whole._get_ops_details()
    for count, operation in enumerate(real, 1):
        begun = run(
            interpreter.Interpreter(model_content=prefixes.beginning(content, count), **plain)
        )
        (output,) = begun.get_output_details()
        assert operation["outputs"][0] == output["index"]
        assert np.array_equal(whole.get_tensor(output["index"]), begun.get_tensor(output["index"]))
    # And without any, there is its input.
    begun = run(interpreter.Interpreter(model_content=prefixes.beginning(content, 0), **plain))
    assert np.array_equal(values, begun.get_tensor(begun.get_output_details()[0]["index"]))


def judged(*blocks, outputs=1):
    """What is made of the times of the blocks of each beginning."""
    ops = [prefixes.Operator(f"OP{n}", "", outputs, ["int8"], "x") for n in range(len(blocks) - 1)]
    shapes = {n: [1, n] for n in range(len(blocks))}
    return prefixes._judged(dict(enumerate(blocks)), ops, shapes, 8)


def test_a_time_is_what_the_operator_adds():
    profile = judged([100] * 8, [150] * 8, [450] * 8)
    assert ([50, 300], True) == ([one.time_ns for one in profile.operators], profile.differences)
    assert (450, [[1, 1]]) == (profile.whole_ns, profile.operators[0].shapes)
    assert None is judged([100] * 8, [150] * 8, outputs=2).operators[0].shapes


def test_times_that_do_not_repeat_are_no_times():
    """The two halves are the even and the odd blocks."""
    noise = judged([100] * 8, [150, 250] * 4, [450, 300] * 4)
    assert [] == noise.operators
    assert "did not repeat" in noise.unavailable
    assert noise.unavailable.endswith("With built-in kernels (--no-xnnpack) they often do.")
    # Nearly all is of one operator; which of the others takes more, the halves do not agree on.
    odd = [sum((1000, 10, 14, 10, 14, 10, 14)[:n]) for n in range(8)]
    even = [sum((1000, 14, 10, 14, 10, 14, 10)[:n]) for n in range(8)]
    turned = judged(*([a, b] * 4 for a, b in zip(odd, even, strict=True)))
    assert "the rank correlation was -" in turned.unavailable


def test_blocks_that_others_disturb_do_not_count():
    """Half of them, in either half of the blocks."""
    profile = judged([100] * 8, [150, 150, 900, 900] * 2, [450, 450, 800, 800] * 2)
    assert [50, 300] == [one.time_ns for one in profile.operators]
    assert "first decile" == profile.statistic


def test_an_operator_that_adds_nothing_takes_no_time():
    profile = judged([100] * 8, [600] * 8, [590] * 8, [900] * 8)
    assert [500, 0, 310] == [one.time_ns for one in profile.operators]
    assert "1 of 3 differences were below 0, and are 0 here." in profile.remarks


def operation(index, name, inputs, outputs):
    return {
        "index": index,
        "op_name": name,
        "inputs": np.array(inputs),
        "outputs": np.array(outputs),
    }


class Told:
    """An interpreter that has these operations."""

    def __init__(self, *operations):
        self._operations = operations

    def _get_ops_details(self):
        return list(self._operations)

    def get_tensor_details(self):
        return []


def test_what_an_operation_leaves_out_leads_to_no_other():
    interpreter = Told(
        operation(0, "WHILE", [0], [1, -1]),
        operation(1, "FULLY_CONNECTED", [1, 2, -1], [3]),
        operation(2, "DELEGATE", [1, 2], [3]),
    )
    assert [("WHILE", 2), ("FULLY_CONNECTED", 1)] == [
        (one["op_name"], executor) for one, executor in executors(interpreter, 0)
    ]


def delegates(monkeypatch, *operations):
    """Who runs each operation, as a profile has it."""
    told_of = []
    monkeypatch.setattr(prefixes, "profile", lambda *given: told_of.extend(given[3]))
    asked = tflite.Asked(DIGITS, [], [], 1, True, (), (), 5)
    tflite.profile(asked, Told(*operations), None)
    return [one.delegate for one in told_of]


def test_who_runs_what_beside_resources_is_not_told(monkeypatch):
    """A delegate takes what writes a resource, and nothing leads from there to its output."""
    handle = operation(0, "VAR_HANDLE", [], [1])
    write = operation(1, "ASSIGN_VARIABLE", [1, 2], [])
    delegate = operation(2, "DELEGATE", [2], [])
    assert [None, None] == delegates(
        monkeypatch, handle, write, delegate, operation(3, "DELEGATE", [2], [1])
    )
    # Where there is no delegate, it is known.
    assert ["built-in kernels"] * 2 == delegates(monkeypatch, handle, write)
