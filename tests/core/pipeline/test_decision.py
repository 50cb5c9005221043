import msgspec
import pytest

from edge_tester.core.pipeline.decision import Candidate, Thresholds, decide
from edge_tester.core.results.known import Known


def figure(number, low=None, high=None, why=""):
    return Known(number=number, low=low, high=high, why=why)


def candidate(name, p50=None, *, framework=False, agrees="alike", on_device=True, **figures):
    known = {key: one if isinstance(one, Known) else figure(one) for key, one in figures.items()}
    if p50 is not None:
        known["latency_p50_ms"] = p50 if isinstance(p50, Known) else figure(p50, p50, p50)
    return Candidate(
        name=name,
        framework=framework,
        agrees=agrees,
        figures=known,
        accuracy=0.9,
        measured_on="pi",
        on_device=on_device,
    )


FAST = Thresholds(latency_p50_ms=10)


def test_the_framework_is_run_where_it_meets_every_threshold():
    found = decide([candidate("torchscript", 9, framework=True), candidate("onnx", 2)], FAST)
    assert "torchscript" == found.recommended
    assert "Run the framework itself on the device: torchscript." == found.sentence
    assert found.rule.startswith("The framework itself meets every threshold")
    assert "high" == found.confidence and [] == found.unknown


def test_a_conversion_is_deployed_where_the_framework_is_too_slow():
    slow = candidate("torchscript", figure(15, 12, 18), framework=True)
    found = decide([slow, candidate("onnx", figure(4, 3.5, 4.5)), candidate("tvm", 5)], FAST)
    assert "onnx" == found.recommended
    assert {"torchscript": "exceeded", "onnx": "met", "tvm": "met"} == {
        one.name: one.fit for one in found.judged
    }
    assert "latency p50 (ms) is 12 to 18, above 10" in found.judged[0].reasons


def test_what_only_may_exceed_is_not_out_and_not_called_met():
    found = decide([candidate("onnx", figure(9, 8, 11))], FAST)
    assert "unknown" == found.judged[0].fit
    assert "provisionally" in found.sentence
    assert ["Not known of onnx: latency p50 (ms)."] == found.unknown
    assert "medium" == found.confidence


def test_what_answers_otherwise_is_out_however_fast():
    wrong = candidate("int8", 1, agrees="differs")
    found = decide([wrong, candidate("onnx", 5)], FAST)
    assert "onnx" == found.recommended
    assert "its answers differ" in found.judged[0].reasons[0]


def test_what_nobody_measured_is_named_and_never_guessed():
    limits = Thresholds(latency_p50_ms=10, power_w=2)
    found = decide([candidate("onnx", 5, on_device=False)], limits)
    assert "low" == found.confidence
    assert [
        "onnx was measured on pi, not on the device.",
        "Not known of onnx: power (W).",
    ] == found.unknown


def test_a_single_observation_lowers_the_confidence():
    by_hand = figure(5, why="one observation, without an interval")
    found = decide([candidate("onnx", by_hand)], FAST)
    assert "met" == found.judged[0].fit and "medium" == found.confidence
    assert "one observation" in found.unknown[0]


def test_the_lowest_cost_comes_before_the_lowest_latency():
    dear, cheap = candidate("tvm", 2, cost=9), candidate("onnx", 5, cost=3)
    assert "onnx" == decide([dear, cheap], FAST).recommended
    assert (
        "tvm"
        == decide(
            [dear, msgspec.structs.replace(cheap, figures={"latency_p50_ms": figure(5, 5, 5)})],
            FAST,
        ).recommended
    )


def test_a_difference_that_is_not_shown_is_said():
    near = [candidate("a", figure(5, 4.8, 5.2)), candidate("b", figure(5.1, 4.9, 5.3))]
    found = decide(near, FAST)
    assert "a" == found.recommended
    assert "That it is faster than b is not shown." in found.rule


def test_nothing_is_recommended_where_nothing_is_left():
    found = decide([candidate("onnx", 50)], FAST)
    assert found.recommended is None and "Deploy none of them" in found.sentence
    assert "There is no candidate" in decide([], FAST).sentence


def test_without_thresholds_nothing_is_good_enough_for_sure():
    found = decide([candidate("onnx", 5)], Thresholds())
    assert "No threshold was given" in found.unknown[0]


@pytest.mark.parametrize(("power", "expected"), [(2.0, 0.9 / (0.005 * 2)), (None, None)])
def test_the_edge_score_needs_a_power(power, expected):
    figures = {} if power is None else {"power_w": power}
    (judged,) = decide([candidate("onnx", 5, **figures)], FAST).judged
    assert expected == pytest.approx(judged.edge_score)


def test_what_was_not_measured_is_never_recommended():
    nothing = msgspec.structs.replace(candidate("source", framework=True), measured_on="")
    found = decide([nothing], Thresholds())
    assert found.recommended is None
    assert "There is no candidate: nothing could be measured." == found.sentence
    assert ["nothing was measured of it"] == found.judged[0].reasons
    assert "onnx" == decide([nothing, candidate("onnx", 5)], Thresholds()).recommended
