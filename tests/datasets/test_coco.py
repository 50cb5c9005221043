"""Annotations as COCO has them."""

import json

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.coco import COCODataset
from edge_tester.testing import DatasetConformance

NHWC = TensorSpec("image", (1, 6, 5, 3), "float32")
CONTENT = {
    "info": {"year": 2026},
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    "images": [
        {"id": 40 + number, "file_name": f"{number}.png", "width": 20, "height": 10}
        for number in range(3)
    ],
    "annotations": [
        {"id": 1, "image_id": 41, "category_id": 7, "bbox": [5, 2, 10, 4], "area": 40},
        {"id": 2, "image_id": 41, "category_id": 3, "bbox": [0, 0, 20, 10], "iscrowd": 0},
        {"id": 3, "image_id": 42, "category_id": 3, "bbox": [0, 5, 2, 5], "iscrowd": 1},
    ],
}


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "a.json").write_text(json.dumps(CONTENT))
    return tmp_path


def made(folder, content=None, **options):
    if content is not None:
        (folder / "a.json").write_text(json.dumps(content))
    return COCODataset(dataset_root=folder, annotations=folder / "a.json", **options)


class TestCOCO(DatasetConformance):
    cls = COCODataset
    options = {"dataset_root": "pictures", "annotations": "a.json"}
    inputs = (NHWC,)

    @pytest.fixture
    def fresh(self, folder):
        return made(folder)


def test_boxes_are_parts_of_the_picture(folder):
    dataset = made(folder)
    dataset.prepare()
    assert ["dog", "cat"] == dataset.class_names()
    truth = dataset.load([0, 1, 2]).truth
    assert (3, 2, 5) == truth.shape
    # Top, left, bottom, right; a picture without objects has rows of -1.
    assert [[1, 0.2, 0.25, 0.6, 0.75], [0, 0, 0, 1, 1]] == truth[1].tolist()
    assert (truth[[0, 2], :, 0] == -1).all()
    assert "1 annotations of crowds were left out" in dataset.remarks()[0]
    assert 2 == dataset.facts()["objects"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": []}, "names no picture"),
        ({"categories": [{"id": 3, "name": "dog"}]}, "picture 41 and category 7"),
        ({"images": CONTENT["images"][:1]}, "picture 41"),
        ({"images": [{**CONTENT["images"][0], "width": 0}], "annotations": []}, "without a size"),
        ({"images": [{**CONTENT["images"][0], "file_name": "x"}], "annotations": []}, "such as x"),
        ({"annotations": [{"id": 1, "image_id": 1}]}, "cannot be read as annotations"),
    ],
)
def test_what_is_wrong_is_named(folder, changes, said):
    with pytest.raises(DatasetError, match=said):
        made(folder, {**CONTENT, **changes}).prepare()


def test_cropped_pictures_have_no_such_objects(folder):
    with pytest.raises(DatasetError, match="--resize stretch, got 'crop'"):
        made(folder, resize="crop").prepare()


def test_pictures_are_those_of_the_annotations(folder):
    dataset = made(folder)
    dataset.prepare()
    dataset.bind([NHWC])
    assert [0, 1, 2] == dataset.load([0, 1, 2]).inputs[0][:, 0, 0, 0].astype(int).tolist()
    assert np.float32 == dataset.load([0]).inputs[0].dtype
