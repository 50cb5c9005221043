import json

import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.pipeline.handmade import Import, read_by_hand

# As benchmark_model of TensorFlow 2.16 prints it.
BENCHMARK = """STARTING!
INFO: Running benchmark for at least 50 iterations and at least 1 seconds.
count=50 first=912 curr=871 min=868 max=1010 avg=880.5 std=21 p5=869 median=875 p95=921

INFO: Inference timings in us: Init: 4021, First inference: 1320, Warmup (avg): 893.1, \
Inference (avg): 880.5
INFO: Overall peak memory footprint (MB) via periodic monitoring: 7.5
"""
INSTRUMENTS = """<?xml version="1.0"?>
<trace-query-result><node><schema name="os-signpost-interval"/>
<row><start-time id="1">10</start-time><duration id="2" fmt="1.20 ms">1200000</duration>
<string id="3" fmt="prediction">prediction</string></row>
<row><start-time id="4">20</start-time><duration ref="2"/><string ref="3"/></row>
<row><start-time id="5">30</start-time><duration id="6">9000000</duration>
<string id="7" fmt="load">load</string></row>
</node></trace-query-result>"""


@pytest.fixture
def read(tmp_path):
    def reading(content, name="results", **more):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_by_hand(Import(file=path, **more))

    return reading


PHONE = {"candidate": "tflite", "device": "phone"}


def test_the_form_is_read_from_csv_and_json(read):
    head = "candidate,device,latency_p50_ms,power_mw,accuracy"
    text = f"{head}\nonnx,board,3.5,1200,0.91\ntvm,board,4,,\n"
    for found in (
        read(text),
        read(
            [
                {
                    "candidate": "onnx",
                    "device": "board",
                    "latency_p50_ms": 3.5,
                    "power_mw": 1200,
                    "accuracy": 0.91,
                },
                {"candidate": "tvm", "device": "board", "latency_p50_ms": 4},
            ]
        ),
    ):
        assert ["onnx", "tvm"] == [one.candidate for one in found]
        assert 3.5 == found[0].figures["latency_p50_ms"].number
        assert 1.2 == pytest.approx(found[0].figures["power_w"].number)
        assert 0.91 == found[0].accuracy and found[1].accuracy is None
        assert "power_w" not in found[1].figures
        assert "without an interval" in found[0].figures["latency_p50_ms"].why


def test_benchmark_model_is_read(read):
    (found,) = read(BENCHMARK, **PHONE)
    assert 0.875 == found.figures["latency_p50_ms"].number
    assert 0.921 == found.figures["latency_p95_ms"].number
    assert 7.5 == found.figures["memory_mib"].number
    assert "50 inferences of one process" in found.figures["latency_p50_ms"].why


def test_a_mean_is_no_median(read):
    older = "Inference timings in us: Init: 4021, Inference (avg): 880.5\n"
    (found,) = read(older, **PHONE)
    assert found.figures["latency_p50_ms"].number is None
    assert "the mean alone, 0.8805 ms" in found.figures["latency_p50_ms"].why


def test_traces_are_read(read):
    (found,) = read(
        "ts,dur,name\n0,2000000,infer\n5,4000000,infer\n9,900,other\n", label="infer", **PHONE
    )
    assert 2.0 == found.figures["latency_p50_ms"].number
    assert 4.0 == found.figures["latency_p95_ms"].number
    events = [{"ph": "X", "name": "infer", "dur": 1500}, {"ph": "B", "name": "infer"}]
    (found,) = read({"traceEvents": events}, **PHONE)
    assert 1.5 == found.figures["latency_p50_ms"].number
    (found,) = read(INSTRUMENTS, label="prediction", **PHONE)
    assert 1.2 == found.figures["latency_p50_ms"].number
    assert "2 inferences" in found.figures["latency_p50_ms"].why


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "candidate,device,latency_ms\nonnx,board,3\n",
            "unknown column 'latency_ms'; did",
        ),
        ("candidate,device,power_w\nonnx,board,much\n", "power_w must be a number, got 'much'"),
        ("candidate,device,power_w\nonnx,board,-1\n", "power_w must be at least 0"),
        ("candidate,device,power_w,power_mw\nonnx,board,1,2\n", "says power_w twice"),
        ("candidate,device,accuracy\nonnx,board,91\n", "accuracy must be a part, 0 to 1"),
        ("candidate,power_w\nonnx,1\n", "must say of which device"),
        ("candidate,device\n", "are empty"),
        ('{"broken": ', "are no JSON"),
        ("<broken>", "are no XML"),
        ('{"traceEvents": []}', "has no event"),
        (BENCHMARK, "must say of which candidate"),
    ],
)
def test_what_is_no_result_is_refused(read, content, said):
    with pytest.raises(RecordError, match="results") as refusal:
        read(content)
    assert said in str(refusal.value)
