"""Two profiles side by side: what got slower, what moved, what is converted back and forth."""

import msgspec
import numpy as np
import pytest

from edge_tester.core.checking.operators import Operators, compare_operators
from edge_tester.core.errors import RecordError
from edge_tester.core.profiles import told, unavailable
from edge_tester.core.results.profile import OperatorTime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from tests.damaged_networks import feeds, made


def profile(*operators):
    """Of operators given as type, name, time and further facts."""
    found = [
        OperatorTime(
            place=place, type=kind, name=name, time_ns=time_ns, **(facts[0] if facts else {})
        )
        for place, (kind, name, time_ns, *facts) in enumerate(operators)
    ]
    return told("a test", found, 5)


def test_what_got_slower_by_most_comes_first():
    first = profile(("Conv", "a", 100), ("Conv", "b", 100), ("Add", "c", 50))
    second = profile(("Conv", "b", 400), ("Conv", "a", 150), ("Add", "c", 20))
    found = compare_operators(first, second)
    assert ["b", "a", "c"] == [one.name for one in found.timed]
    assert [300, 50, -30] == [one.slower_ns for one in found.timed]
    assert (1, 0) == found.timed[0].places
    assert (100 / 250, 400 / 570) == found.timed[0].shares
    assert (250, 570) == found.totals_ns
    assert ({}, {}) == found.left_over


def test_an_operator_without_a_name_is_known_by_type_and_sizes():
    first = profile(
        ("CONV_2D", "", 100, {"shapes": [[1, 8]]}), ("ADD", "", 5, {"shapes": [[1, 8]]})
    )
    second = profile(("Conv2D", "x", 200, {"shapes": [[1, 8]]}), ("ADD", "", 5))
    found = compare_operators(first, second)
    assert [("Conv2D", (100, 200))] == [(one.type, one.times_ns) for one in found.timed]
    assert ({"ADD": 5}, {"ADD": 5}) == found.left_over


def test_of_two_that_may_be_meant_none_is_paired():
    first = profile(("Conv", "", 100, {"shapes": [[1, 8]]}))
    second = profile(*[("Conv", "", 60, {"shapes": [[1, 8]]})] * 2)
    found = compare_operators(first, second)
    assert [] == found.timed
    assert ({"Conv": 100}, {"Conv": 120}) == found.left_over


def test_what_fell_back_is_told():
    gpu, cpu = {"delegate": "GPU"}, {"delegate": "CPU"}
    first = profile(("Conv", "a", 300, gpu), ("Add", "b", 100, cpu), ("Mul", "c", 100))
    second = profile(("Conv", "a", 700, cpu), ("Add", "b", 200, cpu), ("Mul", "c", 100, gpu))
    found = compare_operators(first, second)
    assert ["a"] == [one.name for one in found.moved]
    assert ("GPU", "CPU") == found.moved[0].delegates
    assert {"GPU": 0.6, "CPU": 0.2, "unknown": 0.2} == found.by_delegate[0]
    assert {"CPU": pytest.approx(0.9), "GPU": 0.1} == found.by_delegate[1]


def test_conversions_there_and_back_are_paired():
    first = profile(("Conv", "a", 100))
    nhwc, nchw = {"shapes": [[1, 8, 8, 3]]}, {"shapes": [[1, 3, 8, 8]]}
    second = profile(
        ("Transpose", "t1", 10, nhwc),
        ("Cast", "c1", 5, {"dtypes": ["float16"]}),
        ("Conv", "a", 60),
        ("Cast", "c2", 5, {"dtypes": ["float32"]}),
        ("Transpose", "t2", 10, nchw),
        ("Transpose", "t3", 10, {"shapes": [[7, 5]]}),
    )
    before, after = compare_operators(first, second).conversions
    assert (0, 0.0, []) == (before.count, before.share, before.there_and_back)
    assert (5, 0.4) == (after.count, pytest.approx(after.share))
    assert {"Transpose": pytest.approx(0.3), "Cast": pytest.approx(0.1)} == after.by_type
    pairs = [(one.converts, one.places, one.between) for one in after.there_and_back]
    assert [("type", (1, 3), 1), ("layout", (0, 4), 3)] == pairs
    assert pytest.approx(0.2) == after.there_and_back[1].share


@pytest.mark.parametrize(
    ("types", "count"),
    [
        (("QUANTIZE", "DEQUANTIZE"), 1),
        (("DequantizeLinear", "QuantizeLinear"), 1),
        (("ReorderInput", "ReorderOutput"), 1),
        (("aten::permute", "aten::permute"), 1),
        (("QUANTIZE", "QUANTIZE"), 0),
        (("ReorderInput", "ReorderInput"), 0),
        (("Cast", "Transpose"), 0),
    ],
)
def test_only_what_undoes_another_is_its_pair(types, count):
    second = profile(*((kind, "", 10) for kind in types))
    found = compare_operators(second, second).conversions[1]
    assert (2, count) == (found.count, len(found.there_and_back))


def test_a_cast_to_the_same_type_undoes_nothing():
    facts = {"dtypes": ["float16"]}
    second = profile(("Cast", "", 10, facts), ("Cast", "", 10, facts))
    assert [] == compare_operators(second, second).conversions[1].there_and_back


def test_a_profile_without_times_is_refused():
    with pytest.raises(RecordError, match="second profile has no times: it was off"):
        compare_operators(profile(("Conv", "a", 1)), unavailable("a test", "it was off"))


def test_real_profiles_are_compared_and_kept(tmp_path):
    """A session that is not optimized has the quantizations that a fused one has not."""
    path = made("plain", "int8.onnx", tmp_path)
    # Enough for the profiler's steps of a microsecond.
    values = np.concatenate([one[0] for one in feeds("plain", 16, last=False)])
    found = []
    for level in ("all", "disable"):
        runtime = ONNXRuntime(graph_optimization_level=level)
        runtime.prepare()
        runtime.load(path, len(values))
        found.append(runtime.profile([values], 20))
    compared = compare_operators(*found)
    assert compared.conversions[1].count > compared.conversions[0].count
    assert compared.conversions[1].there_and_back
    assert compared == msgspec.json.decode(msgspec.json.encode(compared), type=Operators)
