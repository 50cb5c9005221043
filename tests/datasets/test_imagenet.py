import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.imagenet import ImageNetDataset
from edge_tester.testing import DatasetConformance

NHWC = TensorSpec("image", (None, 8, 8, 3), "float32")
SYNSETS = ("n01440764", "n01443537", "n01484850")
MAPPING = (
    "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    "n01484850 great white shark\nn01491361 tiger shark\n"
)
# Synset of each of the images in one folder.
ORDER = (2, 0, 0, 1, 2, 2, 1, 0, 1, 2, 0, 0)
NAMES = [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, len(ORDER) + 1)]


def save(path, label):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., label] = 200
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


@pytest.fixture
def flat(tmp_path):
    """All images in one folder, beside a list of synsets and a mapping."""
    for name, label in zip(NAMES, ORDER, strict=True):
        save(tmp_path / "val" / name, label)
    (tmp_path / "synsets.txt").write_text("".join(f"{SYNSETS[label]}\n" for label in ORDER))
    (tmp_path / "mapping.txt").write_text(MAPPING)
    return tmp_path


@pytest.fixture
def folders(tmp_path):
    for name, label in zip(NAMES, ORDER, strict=True):
        save(tmp_path / SYNSETS[label] / name, label)
    return tmp_path


def prepared(root, **options):
    dataset = ImageNetDataset(dataset_root=root, shorter_side=10, **options)
    dataset.prepare()
    dataset.bind([NHWC])
    return dataset


class TestClassFolders(DatasetConformance):
    cls = ImageNetDataset
    options = {"dataset_root": "imagenet", "shorter_side": 10}
    inputs = (NHWC,)

    @pytest.fixture
    def fresh(self, folders):
        return ImageNetDataset(dataset_root=folders, shorter_side=10)


class TestFlatFolder(TestClassFolders):
    @pytest.fixture
    def fresh(self, flat):
        return ImageNetDataset(
            dataset_root=flat / "val", shorter_side=10, ground_truth=flat / "synsets.txt"
        )


def colors(dataset):
    images = dataset.load(range(len(dataset))).inputs[0]
    return images[:, 4, 4].argmax(-1).tolist()


def test_classes_are_the_sorted_folders(folders):
    dataset = prepared(folders)
    assert sorted(ORDER) == dataset.labels().tolist() == colors(dataset)
    assert list(SYNSETS) == dataset.class_names()


LISTS = {
    "folders of images": [f"val/{n} {SYNSETS[c]}" for n, c in zip(NAMES, ORDER, strict=True)],
    "synsets": [SYNSETS[label] for label in ORDER],
    "images and synsets": [f"{n} {SYNSETS[c]}" for n, c in zip(NAMES, ORDER, strict=True)],
    "images and indices": [f"{n} {c}" for n, c in zip(NAMES, ORDER, strict=True)],
    "Kaggle": [
        "ImageId,PredictionString",
        *(f"{n[:-5]},{SYNSETS[c]} 1 2 3 4 " for n, c in zip(NAMES, ORDER, strict=True)),
    ],
}


@pytest.mark.parametrize("kind", LISTS)
def test_every_kind_of_list_says_the_same(flat, kind):
    (flat / "list.txt").write_text("\n".join(LISTS[kind]) + "\n")
    dataset = prepared(
        flat / "val", ground_truth=flat / "list.txt", synset_mapping=flat / "mapping.txt"
    )
    assert list(ORDER) == dataset.labels().tolist() == colors(dataset)
    assert NAMES == [path.name for path in dataset.files]
    assert "tench, Tinca tinca" == dataset.class_names()[0]
    assert 4 == len(dataset.class_names())


def test_a_list_may_name_some_images_in_its_own_order(flat):
    (flat / "list.txt").write_text("".join(f"{NAMES[i]} {SYNSETS[ORDER[i]]}\n" for i in (5, 1)))
    dataset = prepared(flat / "val", ground_truth=flat / "list.txt")
    assert [NAMES[5], NAMES[1]] == [path.name for path in dataset.files]
    assert [1, 0] == dataset.labels().tolist()
    assert "10 of the 12 images in" in dataset.remarks()[0]


def test_a_list_may_name_more_images_than_there_are(flat):
    (flat / "list.txt").write_text("\n".join(LISTS["images and synsets"]))
    for index in (0, 4):
        (flat / "val" / NAMES[index]).unlink()
    dataset = prepared(flat / "val", ground_truth=flat / "list.txt")
    assert [label for i, label in enumerate(ORDER) if i not in (0, 4)] == colors(dataset)
    assert colors(dataset) == dataset.labels().tolist()
    assert f"2 of the 12 images that {flat / 'list.txt'} lists are not" in dataset.remarks()[0]


def test_names_without_suffixes_must_tell_images_apart(flat):
    save(flat / "val" / "a.jpg", 0)
    save(flat / "val" / "a.png", 1)
    (flat / "list.txt").write_text("a.png n01443537\na.jpg n01440764\n")
    assert [1, 0] == colors(prepared(flat / "val", ground_truth=flat / "list.txt"))
    (flat / "list.txt").write_text("a n01443537\n")
    with pytest.raises(DatasetError, match="lists a, which"):
        prepared(flat / "val", ground_truth=flat / "list.txt")


def test_numbered_images_find_their_lines(flat):
    for index in (0, 7):
        (flat / "val" / NAMES[index]).unlink()
    dataset = prepared(flat / "val", ground_truth=flat / "synsets.txt")
    assert [label for i, label in enumerate(ORDER) if i not in (0, 7)] == colors(dataset)
    assert colors(dataset) == dataset.labels().tolist()
    assert "has 10 of the 12 images" in dataset.remarks()[0]


def test_other_images_than_lines_are_refused(flat):
    (flat / "val" / NAMES[0]).unlink()
    (flat / "val" / NAMES[1]).rename(flat / "val" / "other.JPEG")
    with pytest.raises(DatasetError, match="12 lines, .*11 images: there is no telling"):
        prepared(flat / "val", ground_truth=flat / "synsets.txt")


def test_some_synsets_without_the_whole_list_are_said(folders):
    assert "--synset-mapping" in prepared(folders).remarks()[0]
    (folders / "mapping.txt").write_text(MAPPING)
    told = prepared(folders, synset_mapping=folders / "mapping.txt").remarks()
    assert not any("--synset-mapping" in remark for remark in told)


def test_images_without_classes_are_refused(flat):
    with pytest.raises(DatasetError, match="val has images in no folders.*--ground-truth"):
        prepared(flat / "val")


def test_indices_without_a_mapping_have_no_names(flat):
    (flat / "list.txt").write_text("\n".join(LISTS["images and indices"]))
    dataset = prepared(flat / "val", ground_truth=flat / "list.txt")
    assert [] == dataset.class_names()
    assert list(ORDER) == dataset.labels().tolist()


def test_a_mapping_numbers_folders_too(folders):
    (folders / "mapping.txt").write_text("n00000000 nothing\n" + MAPPING)
    dataset = prepared(folders, synset_mapping=folders / "mapping.txt")
    assert [1, 2, 3] == np.unique(dataset.labels()).tolist()


def test_all_images_are_measured_in_their_order(flat):
    options = {"ground_truth": flat / "synsets.txt"}
    assert [*range(12)] == prepared(flat / "val", **options).test_indices().tolist()


@pytest.mark.parametrize(("count", "each"), [(3, [1, 1, 1]), (6, [2, 2, 2]), (12, [5, 3, 4])])
def test_a_subset_is_balanced_and_seeded(flat, count, each):
    options = {"ground_truth": flat / "synsets.txt", "balanced_subset": count}
    dataset = prepared(flat / "val", **options)
    assert each == np.bincount(dataset.labels()).tolist()
    assert dataset.files == sorted(dataset.files) == prepared(flat / "val", **options).files
    assert colors(dataset) == dataset.labels().tolist()
    others = [prepared(flat / "val", split_seed=seed, **options).files for seed in range(1, 6)]
    assert (count == 12) == all(dataset.files == other for other in others)


def test_a_subset_that_is_no_multiple_is_nearly_balanced(flat):
    options = {"ground_truth": flat / "synsets.txt", "balanced_subset": 7}
    dataset = prepared(flat / "val", **options)
    assert [2, 2, 3] == sorted(np.bincount(dataset.labels()).tolist())


def test_a_subset_of_more_than_all_is_refused(folders):
    with pytest.raises(DatasetError, match="balanced_subset must be at most 12, .*got 13"):
        prepared(folders, balanced_subset=13)


def test_the_usual_preprocessing_takes_the_center(tmp_path):
    """A frame around the center 7/8 of the shorter side is cut off, stretching keeps it."""
    pixels = np.full((160, 320, 3), 255, np.uint8)
    pixels[10:150, 90:230] = 100
    (tmp_path / SYNSETS[0]).mkdir()
    Image.fromarray(pixels).save(tmp_path / SYNSETS[0] / "1.png")
    dataset = ImageNetDataset(dataset_root=tmp_path)
    dataset.prepare()
    images = dataset.load([0]).inputs[0]
    assert (1, 224, 224, 3) == images.shape
    # One pixel at the edge mixes with the frame.
    assert 100.0 == images[:, 1:-1, 1:-1].min() == images[:, 1:-1, 1:-1].max()
    dataset.resize = "stretch"
    assert 255.0 == dataset.load([0]).inputs[0][0, 0, 0, 0]


def test_larger_models_need_a_larger_side(folders):
    dataset = prepared(folders)
    dataset.bind([TensorSpec("image", (None, 11, 11, 3), "float32")])
    with pytest.raises(DatasetError, match="shorter_side must be at least 11, .*got 10"):
        dataset.load([0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("ImageId,PredictionString\n", "lists no image"),
        ("65\n" * 12, "numbers alone, as in the development kit"),
        ("n01440764\n" * 3, "has 3 lines, .* 12 images"),
        ("other.JPEG n01440764\n", "lists other.JPEG, which .*val lacks"),
        ("n09999999\n" * 12, "mapping.txt does not list n09999999"),
        (f"{NAMES[0]} n01440764\n" * 2, "list.txt lists ILSVRC2012_val_00000001.JPEG 2 times"),
        (f"{NAMES[0]} 4\n", "has class index 4, .*mapping.txt only 4 classes"),
        (None, "list.txt cannot be read"),
    ],
)
def test_broken_lists_are_named(flat, content, said):
    if content is not None:
        (flat / "list.txt").write_text(content)
    with pytest.raises(DatasetError, match=f"ImageNetDataset: .*{said}"):
        prepared(flat / "val", ground_truth=flat / "list.txt", synset_mapping=flat / "mapping.txt")


def test_missing_and_empty_folders_are_named(flat):
    for root in (flat / "none", flat / "val"):
        with pytest.raises(DatasetError, match=f"ImageNetDataset: .*{root.name}"):
            prepared(root)
    with pytest.raises(DatasetError, match="folder .*none does not exist"):
        prepared(flat / "none", ground_truth=flat / "synsets.txt")


def test_a_corrupt_image_is_named(folders):
    dataset = prepared(folders)
    dataset.files[2].write_bytes(b"no image")
    with pytest.raises(DatasetError, match=f"cannot read image .*{dataset.files[2].name}"):
        dataset.load([2])
