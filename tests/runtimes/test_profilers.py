"""What profilers tell is read as it is meant: nothing counted twice, nothing given to another."""

import datetime
import stat
from types import SimpleNamespace

import numpy as np
import pytest

from edge_tester.core.profiles import told
from edge_tester.runtimes._executorch import profiler as executorch
from edge_tester.runtimes._onnxruntime import profiler as onnxruntime
from edge_tester.runtimes._openvino import profiler as openvino
from edge_tester.runtimes._tflite import benchmark_model, prefixes
from edge_tester.runtimes._torch import profiler as torch_profiler
from edge_tester.runtimes._tvm import profiler as tvm
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.profiling_runtimes import operators
from tests.runtimes.test_profiles import DIGITS


def session(begin, duration):
    return {"cat": "Session", "name": "model_run", "ts": begin, "dur": duration, "args": {}}


def node(name, op, begin, duration, index=0, **about):
    args = {"op_name": op, "node_index": str(index), "provider": "CPUExecutionProvider", **about}
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": begin,
        "dur": duration,
        "args": args,
    }


def test_a_loop_holds_the_nodes_of_its_graph():
    """Their events come before its own, which tells of the same time."""
    events = [
        node("a", "Conv", 0, 10),
        *(node("inner", "Add", ts, 5, 7) for ts in (12, 20, 28)),
        node("loop", "Loop", 11, 30, 1),
        node("b", "Relu", 42, 4, 2),
        session(0, 50),
    ]
    profile = onnxruntime.profile_in(events, 1)
    assert [("Conv", 10_000), ("Loop", 30_000), ("Relu", 4_000)] == [
        (one.type, one.time_ns) for one in profile.operators
    ]
    assert (44_000, 50_000) == (profile.total_ns, profile.whole_ns)


def test_only_the_last_inferences_count():
    events = []
    for number, duration in enumerate((500, 500, 10, 14, 12)):
        events += [node("a", "Conv", 1000 * number, duration), session(1000 * number, 900)]
    profile = onnxruntime.profile_in(events, 3)
    assert ([12_000], 3) == ([one.time_ns for one in profile.operators], profile.inferences)


def test_graphs_that_run_otherwise_each_time_have_no_times():
    events = [node("a", "Conv", 0, 9), session(0, 10), node("b", "Conv", 20, 9), session(20, 10)]
    assert "differed from inference" in onnxruntime.profile_in(events, 2).unavailable


def test_shapes_and_providers_are_those_that_are_told():
    outputs = [{"float": [1, 2]}, {"int64": [3]}]
    events = [
        node("a", "TopK", 0, 9, output_type_shape=outputs, provider="CUDAExecutionProvider"),
        node("b", "If", 10, 9, 1),
        session(0, 20),
    ]
    first, second = onnxruntime.profile_in(events, 1).operators
    assert ([[1, 2], [3]], ["float32", "int64"]) == (first.shapes, first.dtypes)
    assert (None, None) == (second.shapes, second.dtypes)
    (remark,) = onnxruntime.profile_in(events, 1).remarks
    assert "What CUDAExecutionProvider does while the processor goes on" in remark


class Request:
    """Layers that take so long [us]; tells averages of all inferences, cut off, as OpenVINO."""

    def __init__(self, first, *times_us):
        self.times_us, self.first, self.count = times_us, first, 0

    def infer(self):
        self.count += 1

    def get_profiling_info(self):
        found = []
        for number, time_us in enumerate(self.times_us):
            average = (self.first + (self.count - 1) * time_us) // self.count
            found.append(
                SimpleNamespace(
                    node_name=f"n{number}",
                    node_type="Op",
                    exec_type="jit",
                    status="Status.EXECUTED" if average else "Status.NOT_RUN",
                    real_time=datetime.timedelta(microseconds=average),
                )
            )
        return found


def test_averages_since_the_first_inference_are_not_times():
    compiled = SimpleNamespace(
        get_runtime_model=lambda: SimpleNamespace(get_ordered_ops=lambda: [])
    )
    profile = openvino.profile(Request(9000, 40, 7), compiled, "CPU", 50)
    for one, time_us in zip(profile.operators, (40, 7), strict=True):
        # Cut off twice, by less than a step each.
        assert abs(one.time_ns - 1000 * time_us) <= 1100
    assert ("mean", 1000) == (profile.statistic, profile.resolution_ns)


def event(name, times_ms, delegated=False):
    return SimpleNamespace(
        name=name, perf_data=SimpleNamespace(raw=times_ms), is_delegated_op=delegated
    )


def test_a_call_is_not_counted_with_what_it_calls():
    cold = [50.0, 50.0]
    events = [
        event("native_call_add.out", [*cold, 1.0]),
        event("OPERATOR_CALL", [*cold, 1.1]),
        event("Convolution (NHWC, F32) GEMM #1", [*cold, 2.0], True),
        event("Softmax (NC, F32) #1", [*cold, 3.0], True),
        event("DELEGATE_CALL", [*cold, 6.0]),
        # One that tells nothing of itself.
        event("DELEGATE_CALL", [*cold, 4.0]),
        event("Method::execute", [*cold, 12.0]),
    ]
    profile = executorch.profile_in(events, ["XnnpackBackend"], 1)
    assert [
        ("add.out", 1_000_000, "ExecuTorch's kernels"),
        ("Convolution (NHWC, F32) GEMM", 2_000_000, "XnnpackBackend"),
        ("Softmax (NC, F32)", 3_000_000, "XnnpackBackend"),
        ("DELEGATE_CALL", 4_000_000, "XnnpackBackend"),
    ] == [(one.type, one.time_ns, one.delegate) for one in profile.operators]
    assert 12_000_000 == profile.whole_ns
    # Of two delegates nothing tells whose an operator is.
    several = executorch.profile_in(events, ["A", "B"], 1).operators
    assert [None] * 3 == [one.delegate for one in several[1:]]


def test_an_event_that_lacks_an_inference_is_not_divided_among_others():
    events = [event("native_call_add.out", [1.0, 1.0])]
    assert "has 2 times in 3 inferences" in executorch.profile_in(events, [], 1).unavailable


def fx(name, schema):
    value = SimpleNamespace(shape=(1, 2), dtype="torch.float32")
    return SimpleNamespace(name=name, target=SimpleNamespace(_schema=schema), meta={"val": value})


def test_names_of_a_graph_go_to_what_ran_in_its_order_alone():
    nodes = [fx("first", "aten::relu(Tensor x)"), fx("second", "aten::add.Tensor(Tensor x)")]
    profile = told("t", [*operators(5, 6)], 1)
    assert profile == torch_profiler.named(profile, nodes)
    ran = [
        type(one)(place=one.place, type=kind, time_ns=one.time_ns)
        for one, kind in zip(profile.operators, ("relu", "add"), strict=True)
    ]
    found = torch_profiler.named(told("t", ran, 1), nodes)
    assert [("first", [[1, 2]]), ("second", [[1, 2]])] == [
        (one.name, one.shapes) for one in found.operators
    ]
    reordered = told("t", ran, 1)
    assert reordered == torch_profiler.named(reordered, nodes[::-1])


class Tensor:
    def __init__(self, place, *shape):
        self.place, self.shape, self.dtype = place, shape, "float32"

    def data_ptr(self):
        return self.place


def test_outputs_of_a_function_are_what_it_writes_first():
    instrument = tvm._Instrument(lambda: None)
    given, one, two = Tensor(1, 4), Tensor(2, 3), Tensor(3, 2)
    for made in (one, two):
        instrument(None, "vm.builtin.alloc_tensor", False, made)
    instrument(None, "split", True, None, given, one, two)
    # What calls others holds their time.
    instrument(None, "inner", True, None, one)
    instrument(None, "inner", False, None, one)
    instrument(None, "split", False, None, given, one, two)
    (call,) = instrument.calls
    assert ("split", [[3], [2]]) == (call.symbol, call.shapes)


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
    from edge_tester.runtimes._tflite import profiler

    asked = profiler.Asked(DIGITS, [], [], 1, True, ("libdelegate.so",), (), 5)
    assert "takes the graph as a whole" in profiler.profile(asked, None, None).unavailable


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
    # Nearly all is of one operator; which of the others takes more, the halves do not agree on.
    odd = [sum((1000, 10, 14, 10, 14, 10, 14)[:n]) for n in range(8)]
    even = [sum((1000, 14, 10, 14, 10, 14, 10)[:n]) for n in range(8)]
    turned = judged(*([a, b] * 4 for a, b in zip(odd, even, strict=True)))
    assert "the rank correlation was -" in turned.unavailable


def test_an_operator_that_adds_nothing_takes_no_time():
    profile = judged([100] * 8, [600] * 8, [590] * 8, [900] * 8)
    assert [500, 0, 310] == [one.time_ns for one in profile.operators]
    assert "1 of 3 differences were below 0, and are 0 here." in profile.remarks
