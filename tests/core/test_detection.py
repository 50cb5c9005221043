"""Mean average precision, against COCO's own tools."""

import json

import numpy as np
import pytest

from edge_tester.core.detection import DetectionAccumulator, detections_of
from edge_tester.core.errors import DatasetError, InputError, ModelError
from edge_tester.core.record import read_record
from edge_tester.core.results.measures import measure_all
from edge_tester.core.statistics.detection import matched, overlaps, precision_intervals
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.runs import EchoModel, npz, plan_of, run

PICTURES = 40
# What pycocotools 2.0.11 says of made(seed): AP and AP50.
COCO = {
    0: (0.10166153539275773, 0.2758018226370461),
    7: (0.09252949909319565, 0.28274242099193386),
    10: (0.0946271167981327, 0.32834479876559086),
}


def made(seed, pictures=PICTURES):
    """Objects of four classes, and detections near most of them, many with equal scores."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(pictures):
        objects, detections = [], []
        for _ in range(generator.integers(0, 8)):
            label = int(generator.integers(0, 4))
            (y, x), (h, w) = generator.uniform(0, 60, 2), generator.uniform(5, 40, 2)
            objects.append([label, y / 100, x / 100, (y + h) / 100, (x + w) / 100])
            for _ in range(generator.integers(0, 3)):
                dy, dx, dh, dw = generator.normal(0, 3, 4)
                other = generator.random() >= 0.9
                said = int(generator.integers(0, 4)) if other else label
                score = float(np.round(generator.random(), 2))
                size = max(1, h + dh), max(1, w + dw)
                box = [y + dy, x + dx, y + dy + size[0], x + dx + size[1]]
                detections.append([said, score, *(end / 100 for end in box)])
        found.append((detections, objects))
    return found


def rows(values, width):
    return np.array(values or [[-1.0] * width], np.float64).reshape(1, -1, width)


def seen(found):
    accumulator = DetectionAccumulator()
    for detections, objects in found:
        accumulator.update(rows(detections, 6), rows(objects, 5))
    return accumulator


@pytest.mark.parametrize("seed", COCO)
def test_it_is_what_cocos_tools_say(seed):
    quality = seen(made(seed)).result()
    assert COCO[seed] == (
        pytest.approx(quality.map, abs=1e-12),
        pytest.approx(quality.map50, abs=1e-12),
    )
    assert PICTURES == quality.samples


def test_by_hand():
    """Two objects; one is found twice, the other not: precision 1 up to a recall of one half."""
    box, other = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]
    detections = [[0, 0.9, *box], [0, 0.8, *box]]
    quality = seen([(detections, [[0, *box], [0, *other]])]).result()
    # 51 of 101 recalls are reached.
    assert (pytest.approx(51 / 101),) * 2 == (quality.map, quality.map50)
    nothing = seen([([], [])]).result()
    assert (None, None, 1) == (nothing.map, nothing.map50, nothing.samples)
    # A class without objects counts for nothing, however often it is detected.
    more = seen([([*detections, [3, 1.0, *box]], [[0, *box], [0, *other]])]).result()
    assert quality.map == more.map


def test_overlaps():
    first = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    second = np.array([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    assert [[pytest.approx(1 / 7), 1.0, 0.0], [0.0, 0.0, 0.0]] == overlaps(first, second).tolist()


def test_each_object_is_found_once_and_by_the_best_score():
    boxes = np.array([[0, 0, 1.0, 1.0], [0, 0, 1.0, 0.9]])
    scores, hits = matched(np.array([0.3, 0.7]), boxes, np.array([[0, 0, 1.0, 1.0]]))
    assert [0.7, 0.3] == scores.tolist()
    # At an overlap of 0.95 the better score is not near enough, and leaves it to the other.
    assert [True, False] == hits[:, 0].tolist() and [False, True] == hits[:, 9].tolist()
    many = matched(np.arange(150.0), np.tile(boxes[:1], (150, 1)), boxes[:1])[0]
    assert 100 == len(many)


def test_merging_is_the_same_as_all_at_once():
    found = made(3)
    first, second = seen(found[:13]), seen(found[13:])
    first.merge(second)
    assert seen(found).result() == first.result()


def test_what_is_no_detection_is_refused():
    with pytest.raises(InputError, match="--detections says how"):
        DetectionAccumulator().update(np.zeros((1, 10)), np.zeros((1, 1, 5)))
    with pytest.raises(DatasetError, match="Objects are rows"):
        DetectionAccumulator().update(np.zeros((1, 2, 6)), np.zeros((1, 4)))
    with pytest.raises(DatasetError, match="got none"):
        DetectionAccumulator().update(np.zeros((1, 2, 6)), None)


def test_intervals_hold_in_other_pictures():
    """The truth is the figure of very many pictures, above which that of few lies."""
    truth = seen(made(99, 1500)).result()
    held = []
    for seed in range(15):
        intervals = precision_intervals(seen(made(1000 + seed, 200)).classes())
        for (low, high), right in zip(intervals, (truth.map, truth.map50), strict=True):
            held.append(low <= right <= high)
    assert np.mean(held) >= 0.85
    assert (None, None) == precision_intervals(seen(made(1, 49)).classes())


def test_a_run_keeps_detections_and_tells_their_precision(tmp_path):
    """An echo model gives back the detections that it gets."""
    found = made(0)
    most = max(len(one) for one, _ in found), max(len(one) for _, one in found)
    x, y = np.full((PICTURES, most[0], 6), -1.0, np.float32), np.full((PICTURES, most[1], 5), -1.0)
    for number, (detections, objects) in enumerate(found):
        x[number, : len(detections)] = np.array(detections).reshape(-1, 6)
        y[number, : len(objects)] = np.array(objects).reshape(-1, 5)
    dataset = npz(tmp_path, x=x, y=y)
    dataset.truth_as = "detection"
    path = echo_model(tmp_path, dtype="float32").path
    content = path.read_text()
    path.write_text(content.replace("[null, 4]", f"[null, {most[0]}, 6]"))
    run(plan_of(EchoModel(model_path=path), dataset, EchoRuntime()), path=tmp_path / "r.json")
    record = read_record(tmp_path / "r.json")
    assert "detection" == record.quality.task
    assert COCO[0][0] == pytest.approx(record.quality.map, abs=1e-5)
    values = measure_all(record)
    # Of 40 pictures there is none.
    assert record.quality.map == values["map"].number and values["map"].interval is None
    again = detections_of(record.predictions.predicted, record.predictions.truth).result()
    assert record.quality.map == again.map
    assert {"mAP at IoU 0.50 to 0.95", "mAP at IoU 0.50"} <= {one.title for one in record.figures()}
    json.dumps(record.predictions.predicted)


def wrapper(**options):
    return TFLiteFile(model_path="m.tflite", **options)


def test_four_outputs_are_boxes_classes_scores_and_their_number():
    boxes = np.array([[[0.1, 0.2, 0.3, 0.4], [9, 9, 9, 9]]])
    outputs = [boxes, np.array([[2.0, 5.0]]), np.array([[0.9, 0.8]]), np.array([1.0])]
    found = wrapper(detections="tflite").postprocess(outputs)
    assert [2.0, 0.9, 0.1, 0.2, 0.3, 0.4] == found[0, 0].tolist()
    assert -1 == found[0, 1, 0]
    with pytest.raises(ModelError, match="four outputs"):
        wrapper(detections="tflite").postprocess(outputs[:1])


def test_rows_are_left_top_right_bottom_score_class():
    values = np.array([[[64, 128, 320, 640, 0.7, 3], [0, 0, 0, 0, 0, 0]]], np.float32)
    found = wrapper(detections="rows", box_scale=1 / 640).postprocess([values])
    assert [3.0, pytest.approx(0.7), 0.2, 0.1, 1.0, 0.5] == pytest.approx(found[0, 0].tolist())
    assert -1 == found[0, 1, 0]
    with pytest.raises(ModelError, match="left, top"):
        wrapper(detections="rows").postprocess([values[..., :5]])
