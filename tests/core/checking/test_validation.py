"""Outputs beside those of the source: which is which, in which order, and the verdict."""

import msgspec
import numpy as np
import pytest

from edge_tester.core.artifact import Weights
from edge_tester.core.checking.outputs import Answered
from edge_tester.core.checking.validation import Tolerances, Validation, conversion_of, rows_of
from edge_tester.core.errors import RecordError
from edge_tester.core.figures import Quality
from edge_tester.core.record import Predictions
from edge_tester.core.tensors import TensorSpec
from tests.report.records import record

GENERATOR = np.random.default_rng(0)
COUNT = 400
SCORES = GENERATOR.standard_normal((COUNT, 10)).astype(np.float32)
FLOAT32, FLOAT16 = Weights({"float32": 9}, 0.0), Weights({"float16": 9}, 0.0)
INT8 = Weights({"int8": 9}, 1.0)


@pytest.fixture
def answered(tmp_path):
    """Make what a run left: outputs by name, in files, and its record."""

    def answering(weights=None, specs=None, truth=None, index=None, **outputs):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for number, values in enumerate(outputs.values()):
            np.save(folder / f"output_{number}.npy", values)
        made = specs or [
            TensorSpec(name, (None, *values.shape[1:]), str(values.dtype))
            for name, values in outputs.items()
        ]
        first = next(iter(outputs.values()))
        predicted = first.reshape(len(first), -1).argmax(1).tolist()
        one = record()
        model = msgspec.structs.replace(one.model, outputs=made)
        kept = Predictions(
            index=list(range(len(first))) if index is None else index,
            truth=predicted if truth is None else truth,
            predicted=predicted,
        )
        task = one.quality if first.ndim == 2 else Quality(task="none", samples=len(first))
        changed = msgspec.structs.replace(one, model=model, predictions=kept, quality=task)
        return Answered(changed, folder, weights)

    return answering


def _judged(found, source, **changes):
    return conversion_of("conversion", found, source, Tolerances(**changes))


def test_outputs_are_matched_by_name_then_by_place_then_by_size(answered):
    boxes = GENERATOR.standard_normal((COUNT, 4)).astype(np.float32)
    source = answered(FLOAT32, scores=SCORES, boxes=boxes)
    same = {"alike": ["scores", "boxes"]}
    for outputs in (
        {"boxes": boxes, "scores": SCORES},
        {"first": SCORES, "second": boxes},
        {"second": boxes, "first": SCORES},
    ):
        found = _judged(answered(FLOAT32, **outputs), source)
        assert same == {found.verdict: [one.name for one in found.outputs]}
        assert all(one.agreement.identical for one in found.outputs)


def test_outputs_of_one_size_are_told_by_their_names(answered):
    """Converters may sort them by name."""
    source = answered(FLOAT32, upper=SCORES, lower=-SCORES)
    found = _judged(answered(FLOAT32, lower=-SCORES, upper=SCORES), source)
    assert "alike" == found.verdict
    assert [("upper", "upper"), ("lower", "lower")] == [
        (one.name, one.found_name) for one in found.outputs
    ]


def test_channels_that_were_moved_are_brought_back(answered):
    picture = GENERATOR.standard_normal((COUNT, 3, 5, 6)).astype(np.float32)
    source = answered(FLOAT32, y=picture)
    (output,) = _judged(answered(FLOAT32, y=picture.transpose(0, 2, 3, 1)), source).outputs
    assert output.agreement.identical and "(5, 6, 3)" in output.moved
    (output,) = _judged(answered(FLOAT32, y=picture), source).outputs
    assert "" == output.moved


@pytest.mark.parametrize(
    "outputs", [{"a": SCORES, "b": SCORES}, {"a": SCORES[:, :7]}], ids=["number", "size"]
)
def test_outputs_of_another_number_or_size_differ(answered, outputs):
    found = _judged(answered(FLOAT32, **outputs), answered(FLOAT32, a=SCORES))
    assert "differs" == found.verdict and [] == found.outputs
    assert "outputs" in found.reasons[0]


def test_integers_count_as_the_real_values_they_are(answered):
    spec = TensorSpec("scores", (None, 10), "int8", scale=0.05, zero_point=3)
    integers = spec.conform(SCORES)
    found = _judged(answered(INT8, [spec], scores=integers), answered(FLOAT32, scores=SCORES))
    assert "integers" == found.precision
    assert found.outputs[0].agreement.max_absolute <= 0.026


@pytest.mark.parametrize(
    ("weights", "noise", "verdict"),
    [
        (FLOAT32, 5e-5, "alike"),
        (FLOAT32, 5e-4, "differs"),
        (FLOAT16, 5e-3, "alike"),
        (FLOAT16, 5e-2, "differs"),
    ],
)
def test_floats_are_judged_by_the_largest_difference(answered, weights, noise, verdict):
    largest = abs(SCORES).max()
    other = SCORES.copy()
    other[7, 3] += noise * largest
    truth = SCORES.argmax(1).tolist()
    source = answered(FLOAT32, scores=SCORES, truth=truth)
    assert verdict == _judged(answered(weights, scores=other, truth=truth), source).verdict


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(0, "alike"), (2, "unknown"), (7, "unknown"), (40, "differs")]
)
def test_integers_are_judged_by_classes_and_by_what_is_ruled_out(answered, wrong, verdict):
    truth = SCORES.argmax(1).tolist()
    other = SCORES.copy()
    other[:wrong] = -other[:wrong]
    source = answered(FLOAT32, scores=SCORES, truth=truth)
    found = _judged(answered(INT8, scores=other, truth=truth), source)
    assert verdict == found.verdict, found.reasons
    assert wrong == found.answers.now_wrong


def test_integers_without_classes_are_judged_by_the_ratio(answered):
    field = GENERATOR.standard_normal((COUNT, 4, 4)).astype(np.float32)
    noise = GENERATOR.standard_normal(field.shape).astype(np.float32)
    source = answered(FLOAT32, y=field)
    near, far = (answered(INT8, y=field + part * noise) for part in (0.1, 0.3))
    assert ("alike", "differs") == (_judged(near, source).verdict, _judged(far, source).verdict)
    assert "alike" == _judged(far, source, signal_to_noise_db=5).verdict


def test_what_is_no_number_differs_whatever_the_tolerance(answered):
    other = SCORES.copy()
    other[0, 0] = np.nan
    found = _judged(answered(FLOAT32, scores=other), answered(FLOAT32, scores=SCORES), float32=1e9)
    assert "differs" == found.verdict and "NaN or infinite" in found.reasons[0]


def test_answers_about_other_samples_are_not_compared(answered):
    found = answered(FLOAT32, scores=SCORES, index=list(range(1, COUNT + 1)))
    with pytest.raises(RecordError, match="same samples"):
        _judged(found, answered(FLOAT32, scores=SCORES))


def test_every_conversion_has_rows_with_the_same_columns(answered):
    source = answered(FLOAT32, scores=SCORES)
    good, bad = answered(FLOAT32, scores=SCORES), answered(FLOAT32, a=SCORES[:, :7])
    validation = Validation(
        source="m.onnx",
        samples=COUNT,
        random=False,
        tolerances=Tolerances(),
        conversions=[_judged(good, source), _judged(bad, source)],
    )
    first, second = rows_of(validation)
    assert first.keys() == second.keys()
    assert 0 == first["l2_max"] and second["l2_max"] is None
