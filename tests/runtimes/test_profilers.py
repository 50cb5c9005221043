"""What profilers tell is read as it is meant: nothing counted twice, nothing given to another."""

import datetime
from types import SimpleNamespace

from edge_tester.core.profiles import told
from edge_tester.runtimes._executorch import profiler as executorch
from edge_tester.runtimes._onnxruntime import profiler as onnxruntime
from edge_tester.runtimes._openvino import profiler as openvino
from edge_tester.runtimes._torch import profiler as torch_profiler
from edge_tester.runtimes._tvm import profiler as tvm
from tests.profiling_runtimes import operators


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
