import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.image_folder import ImageFolderDataset
from edge_tester.testing import DatasetConformance

NHWC = TensorSpec("image", (1, 6, 5, 3), "float32")
NCHW = TensorSpec("image", (1, 3, 6, 5), "float32")


@pytest.fixture
def folder(tmp_path):
    """Two classes; the images' left half is dark and their upper half is red."""
    pixels = np.zeros((12, 10, 3), np.uint8)
    pixels[:, 5:] = 200
    pixels[:6, :, 0] = 255
    for name in ("b/2.PNG", "b/1.jpg", "a/deep/3.bmp", "a/notes.txt", ".hidden/4.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            Image.fromarray(pixels).save(path)
    return tmp_path


def bound(root, spec=NHWC, **options):
    dataset = ImageFolderDataset(dataset_root=root, **options)
    dataset.prepare()
    dataset.bind([spec])
    return dataset


class TestImageFolder(DatasetConformance):
    cls = ImageFolderDataset
    options = {"dataset_root": "images"}
    inputs = (NHWC,)

    @pytest.fixture
    def fresh(self, folder):
        return ImageFolderDataset(dataset_root=folder)


def test_order_is_by_name(folder):
    dataset = bound(folder)
    assert ["a", "b"] == dataset.class_names()
    assert ["3.bmp", "1.jpg", "2.PNG"] == [path.name for path in dataset.files]
    assert [0, 1, 1] == dataset.labels().tolist()
    assert [0, 1, 2] == dataset.test_indices().tolist()


def test_layouts_hold_the_same_image(folder):
    last, first = (bound(folder, spec).load([0]).inputs[0] for spec in (NHWC, NCHW))
    assert ((1, 6, 5, 3), (1, 3, 6, 5)) == (last.shape, first.shape)
    assert np.array_equal(last, np.moveaxis(first, 1, -1))
    assert np.float32 == last.dtype
    assert [255.0, 0.0, 0.0] == last[0, 0, 0].tolist()
    assert [200.0] * 3 == last[0, 5, 4].tolist()


def test_equal_sizes_keep_every_pixel(folder):
    spec = TensorSpec("image", (1, 12, 10, 3), "float32")
    expected = np.asarray(Image.open(folder / "a/deep/3.bmp"), np.float32)
    assert np.array_equal(expected, bound(folder, spec).load([0]).inputs[0][0])


def test_one_channel_is_gray(folder):
    images = bound(folder, TensorSpec("image", (1, 6, 5, 1), "uint8")).load([0]).inputs[0]
    assert (1, 6, 5, 1) == images.shape
    assert 200.0 == images[0, 5, 4, 0]


def test_open_sizes_take_the_option(folder):
    spec = TensorSpec("image", (None, None, None, 3), "float32")
    assert (1, 9, 9, 3) == bound(folder, spec, image_size=9).load([0]).inputs[0].shape


def test_models_without_a_batch_dimension_are_served(folder):
    spec = TensorSpec("image", (6, 5, 3), "float32")
    assert (1, 6, 5, 3) == bound(folder, spec).load([0]).inputs[0].shape


def test_crop_keeps_the_center(tmp_path):
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 100
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "1.png")
    spec = TensorSpec("image", (1, 4, 4, 3), "float32")
    images = bound(tmp_path, spec, resize="crop").load([0]).inputs[0]
    assert (1, 4, 4, 3) == images.shape
    assert 100.0 == images.min() == images.max()
    assert 0.0 == bound(tmp_path, spec).load([0]).inputs[0].min()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_unreadable_image_is_named(folder, content):
    (folder / "a" / "0.png").write_bytes(content)
    with pytest.raises(DatasetError, match="0.png"):
        bound(folder).load([0])


def test_truncated_image_is_named(folder):
    whole = (folder / "b" / "1.jpg").read_bytes()
    (folder / "b" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="1.jpg"):
        bound(folder).load([1])


@pytest.mark.parametrize("made", [(), ("root",), ("root", "root/a")])
def test_empty_folders_are_named(tmp_path, made):
    for name in made:
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match="root"):
        ImageFolderDataset(dataset_root=tmp_path / "root").prepare()


@pytest.mark.parametrize(
    "specs",
    [
        [NHWC, NHWC],
        [TensorSpec("x", (1, 10), "float32")],
        [TensorSpec("x", (1, 8, 8, 2), "float32")],
        [],
    ],
)
def test_models_without_one_image_input_are_refused(folder, specs):
    dataset = ImageFolderDataset(dataset_root=folder)
    dataset.prepare()
    with pytest.raises(DatasetError, match="ImageFolderDataset"):
        dataset.bind(specs)
