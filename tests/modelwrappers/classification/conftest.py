import gzip

import numpy as np
import pytest

from edge_tester.datasets.mnist import MNISTDataset
from edge_tester.datasets.pet_dataset import PetDataset
from tests.datasets import pets
from tests.datasets.test_mnist import NAMES, idx

TRAINING, TEST = 120, 30


@pytest.fixture(scope="session")
def pet_folder(tmp_path_factory):
    return pets.make(tmp_path_factory.mktemp("pets"))


@pytest.fixture
def pet_images(pet_folder):
    """Three breeds whose images differ in color."""
    dataset = PetDataset(dataset_root=pet_folder, image_size=48)
    dataset.prepare()
    return dataset


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """Ten classes: a bright bar at one of ten heights, on noise."""
    folder = tmp_path_factory.mktemp("mnist")
    generator = np.random.default_rng(0)
    for names, count in ((NAMES[:2], TRAINING), (NAMES[2:], TEST)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = generator.integers(0, 100, (count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 + 2 * label : 6 + 2 * label] += 150
        for name, array in zip(names, (images, labels), strict=True):
            (folder / name).write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.fixture
def small_mnist(mnist_folder):
    dataset = MNISTDataset(dataset_root=mnist_folder)
    dataset.prepare()
    return dataset
