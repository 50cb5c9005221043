import hashlib
import io
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError
from edge_tester.core.system.download import PublishedFile
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.pet_dataset import PetDataset
from edge_tester.testing import DatasetConformance
from tests.datasets import pets
from tests.file_server import running_file_server

NHWC = TensorSpec("image", (None, 16, 24, 3), "float32")
TRAINING, TEST = 3 * pets.TRAINING_EACH, 3 * pets.TEST_EACH


@pytest.fixture
def folder(tmp_path):
    return pets.make(tmp_path)


def prepared(root, **options):
    dataset = PetDataset(dataset_root=root, **options)
    dataset.prepare()
    return dataset


class TestPets(DatasetConformance):
    cls = PetDataset
    options = {"dataset_root": "pets"}
    inputs = (NHWC,)

    @pytest.fixture
    def fresh(self, folder):
        return PetDataset(dataset_root=folder)


def test_breeds_and_colors_agree(folder):
    dataset = prepared(folder)
    dataset.bind([NHWC])
    assert list(pets.BREEDS) == dataset.class_names()
    samples = dataset.load(range(len(dataset)))
    (images,) = samples.inputs
    assert ((TRAINING + TEST, 16, 24, 3), np.float32) == (images.shape, images.dtype)
    assert samples.truth.tolist() == images[:, 8, 10].argmax(-1).tolist()
    assert 190 < images[:, 8, 10].max() < 210


def renumbered(folder, numbers):
    """Write the lists anew, with another name and number for each breed."""
    for name in ("trainval.txt", "test.txt"):
        path = folder / "annotations" / name
        lines = [line.split() for line in path.read_text().splitlines()]
        text = ""
        for image, breed, species, order in lines:
            known, number = numbers[int(breed) - 1]
            old = folder / "images" / f"{image}.jpg"
            new = f"{known}_{image.rpartition('_')[2]}"
            old.rename(old.with_name(f"{new}.jpg"))
            text += f"{new} {number} {species} {order}\n"
        path.write_text(text)


def test_some_breeds_keep_their_published_numbers(folder):
    renumbered(folder, [("Abyssinian", 1), ("beagle", 5), ("pug", 26)])
    dataset = prepared(folder)
    assert (37, "pug") == (len(dataset.class_names()), dataset.class_names()[25])
    assert [0, 4, 25] == np.unique(dataset.labels()).tolist()
    expected = [{"A": 0, "b": 4, "p": 25}[path.name[0]] for path in dataset.files]
    assert expected == dataset.labels().tolist()
    assert [] == dataset.remarks()


def test_breeds_with_other_numbers_than_the_published_are_said(folder):
    renumbered(folder, [("Abyssinian", 1), ("beagle", 2), ("pug", 3)])
    assert ["Abyssinian", "beagle", "pug"] == prepared(folder).class_names()
    assert "pug is 26 of 37 there" in prepared(folder).remarks()[0]
    assert [] == prepared(folder, classify="species").remarks()


def test_species_are_two_classes(folder):
    breeds, species = prepared(folder), prepared(folder, classify="species")
    assert ["cat", "dog"] == species.class_names()
    is_dog = {path.stem: path.stem.startswith("american") for path in breeds.files}
    assert [is_dog[path.stem] for path in species.files] == species.labels().astype(bool).tolist()


def test_the_published_lists_decide_what_is_measured(folder):
    dataset = prepared(folder)
    split = dataset.split()
    names = {dataset.files[index].stem for index in split.test}
    assert {line.split()[0] for line in pets.lines(1, pets.TEST_EACH)} == names
    others = [split.train, split.validation, split.calibration]
    assert TRAINING == sum(map(len, others))
    assert [2, 3] == [len(split.validation), len(split.calibration)]


def test_a_limit_takes_equally_many_of_each_breed(folder):
    dataset = prepared(folder, limit=6)
    assert [2, 2, 2] == np.bincount(dataset.labels()[dataset.test_indices()]).tolist()


def test_validation_is_stratified_and_seeded(folder):
    dataset = prepared(folder, validation_fraction=0.25)
    split = dataset.split()
    assert [0, 0, 1, 1, 2, 2] == sorted(dataset.labels()[split.validation])
    other = prepared(folder, validation_fraction=0.25, split_seed=1).split()
    assert split.validation.tolist() != other.validation.tolist()
    assert split.test.tolist() == other.test.tolist()


def test_order_is_the_same_on_every_run(folder):
    first, second = prepared(folder), prepared(folder)
    assert first.files == second.files
    assert first.split().train.tolist() == second.split().train.tolist()


def test_cropping_leaves_the_pet_alone(folder):
    left, top, right, bottom = pets.PET
    spec = TensorSpec("image", (None, bottom - top, right - left, 3), "float32")
    whole, cropped = prepared(folder), prepared(folder, crop_to_trimap=True)
    whole.bind([NHWC])
    cropped.bind([spec])
    expected = whole.load([0, 5]).inputs[0][:, top:bottom, left:right]
    assert np.array_equal(expected, cropped.load([0, 5]).inputs[0])


def test_a_model_without_sizes_gets_the_option(folder):
    dataset = prepared(folder, image_size=10)
    assert (1, 10, 10, 3) == dataset.load([0]).inputs[0].shape
    assert (1, 224, 224, 3) == prepared(folder).load([0]).inputs[0].shape


def test_the_archives_are_downloaded_and_unpacked(folder, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("root")
    archives = {}
    with running_file_server() as server:
        for name in ("images", "annotations"):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                archive.add(folder / name, name)
            server.files[name] = packed.getvalue()
            checksum = f"md5:{hashlib.md5(packed.getvalue()).hexdigest()}"
            archives[name] = PublishedFile(f"{name}.tar.gz", (server.url(name),), checksum)
        monkeypatch.setattr(PetDataset, "archives", archives)
        with pytest.raises(
            DatasetError, match="PetDataset: .*images.tar.gz does not exist; --down"
        ):
            prepared(root)
        # What was interrupted is resumed.
        (root / "images.tar.gz.part").write_bytes(server.files["images"][:100])
        downloaded = prepared(root, download=True)
    assert [("images", "bytes=100-"), ("annotations", None)] == server.requests
    expected = prepared(folder)
    assert np.array_equal(expected.load([3]).inputs[0], downloaded.load([3]).inputs[0])
    assert len(expected) == len(prepared(root))


def test_archives_that_are_there_need_no_network(folder, tmp_path):
    for name in ("images", "annotations"):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder / name, name)
        (folder / name).rename(folder / f"old-{name}")
    assert TRAINING + TEST == len(prepared(folder))
    (folder / "annotations.tar.gz").write_bytes(b"no archive")
    (folder / "annotations").rename(folder / "older")
    with pytest.raises(DatasetError, match="cannot unpack .*annotations.tar.gz"):
        prepared(folder)


def test_a_missing_folder_is_named(tmp_path):
    missing = re.escape(str(tmp_path / "no" / "images.tar.gz"))
    with pytest.raises(DatasetError, match=f"{missing} does not exist.*by hand"):
        prepared(tmp_path / "no")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("test.txt", "", "test.txt lists no image"),
        ("test.txt", pets.HEADER, "test.txt lists no image"),
        ("trainval.txt", "a_1 1 1\n", "line 1 of trainval.txt must be an image.*got 'a_1 1 1'"),
        ("trainval.txt", "a_1 1 3 1\n", "species"),
        ("trainval.txt", "a_1 x 1 1\n", "line 1"),
        ("trainval.txt", "a_1 0 1 1\n", "line 1"),
        ("trainval.txt", "../a_1 1 1 1\n", "line 1"),
        ("trainval.txt", "Bengal_1 3 1 2\n", "name 1 images twice"),
        (
            "trainval.txt",
            "Beagle_7 5 2 3\n",
            r"number the classes from 1 on, .* got \[1, 2, 3, 5\]",
        ),
        ("test.txt", None, "test.txt cannot be read"),
    ],
)
def test_broken_lists_are_named(folder, name, content, said):
    path = folder / "annotations" / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DatasetError, match=f"PetDataset: in .*annotations.*{said}"):
        prepared(folder)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((16, 24), 2, np.uint8), "Abyssinian_100.png outlines no pet"),
        (np.full((24, 16), 1, np.uint8), "must be as large as its image, 24 x 16 .*got 16 x 24"),
        (None, "cannot read image .*Abyssinian_100.png"),
    ],
)
def test_broken_trimaps_are_named(folder, pixels, said):
    dataset = prepared(folder, crop_to_trimap=True)
    index = [path.stem for path in dataset.files].index("Abyssinian_100")
    path = folder / "annotations" / "trimaps" / "Abyssinian_100.png"
    path.unlink() if pixels is None else Image.fromarray(pixels).save(path)
    with pytest.raises(DatasetError, match=said):
        dataset.load([index])


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_broken_images_are_named(folder, content):
    dataset = prepared(folder)
    path = dataset.files[1]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"PetDataset cannot read image {re.escape(str(path))}"):
        dataset.load([1])
