"""The Oxford-IIIT Pet data set: cats and dogs of 37 breeds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.system.download import PublishedFile, unpack
from edge_tester.core.tensors import Array
from edge_tester.datasets._image_files import ImageFilesDataset
from edge_tester.datasets._published import PublishedDataset

PLACE = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
# Folder -> archive; checksums as torchvision lists them (torchvision/datasets/oxford_iiit_pet.py).
ARCHIVES = {
    name: PublishedFile(f"{name}.tar.gz", (f"{PLACE}{name}.tar.gz",), f"md5:{checksum}")
    for name, checksum in (
        ("images", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        ("annotations", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    )
}
TRAINING_LIST, TEST_LIST = "trainval.txt", "test.txt"
SPECIES = ("cat", "dog")
# In the order of their published numbers, which begin at 1 (annotations/list.txt).
BREEDS = (
    "Abyssinian american_bulldog american_pit_bull_terrier basset_hound beagle Bengal Birman "
    "Bombay boxer British_Shorthair chihuahua Egyptian_Mau english_cocker_spaniel "
    "english_setter german_shorthaired great_pyrenees havanese japanese_chin keeshond leonberger "
    "Maine_Coon miniature_pinscher newfoundland Persian pomeranian pug Ragdoll Russian_Blue "
    "saint_bernard samoyed scottish_terrier shiba_inu Siamese Sphynx "
    "staffordshire_bull_terrier wheaten_terrier yorkshire_terrier"
).split()
# Value of the pixels of a trimap that show the pet's surroundings.
BACKGROUND = 2


class Entry(NamedTuple):
    """One line of a list: an image without its suffix; numbers begin at 1."""

    image: str
    breed: int
    species: int
    breed_of_species: int


class PetDataset(PublishedDataset, ImageFilesDataset):
    """7,349 photographs of cats and dogs of 37 breeds, the Oxford-IIIT Pet data set.

    ``dataset_root`` has the folders ``images`` and ``annotations``, or the two
    archives that hold them. Samples are float32, 0 to 255, in the model's layout
    and size. They go around the classes, one image of each after another.

    Notes
    -----
    Source: O. Parkhi, A. Vedaldi, A. Zisserman, C. Jawahar, "Cats and Dogs",
    CVPR 2012; the formats from the README in ``annotations.tar.gz``.
    """

    classify: str = option(
        "breed", choices=("breed", "species"), help="What is to be told: breed, or cat or dog"
    )
    crop_to_trimap: bool = option(
        False, help="Use only the rectangle around the pet that its trimap outlines"
    )

    archives: ClassVar[dict[str, PublishedFile]] = ARCHIVES

    names: list[str] | None = state()
    listing_remarks: list[str] = state(default_factory=list)

    def prepare(self) -> None:
        """Unpack the archives if need be, read the lists, and see whether images can be opened."""
        for name, archive in self.archives.items():
            if not (self.dataset_root / name).is_dir():
                unpack(self.obtain(archive), self.dataset_root, (name,), self)
        training, test = self._entries(TRAINING_LIST), self._entries(TEST_LIST)
        entries = training + test
        doubled = len(entries) - len({entry.image for entry in entries})
        if doubled:
            raise self._error(f"{TRAINING_LIST} and {TEST_LIST} name {doubled} images twice")
        breeds = self._breeds(entries)
        by_species = self.classify == "species"
        targets = np.array([(e.species if by_species else e.breed) - 1 for e in entries], np.int64)
        is_test = np.repeat([False, True], [len(training), len(test)])
        order = _around_the_classes(targets, is_test)
        self.names = list(SPECIES) if by_species else breeds
        self.files = [self.dataset_root / "images" / f"{entries[i].image}.jpg" for i in order]
        self.targets, self.published_test = targets[order], is_test[order]
        self.check_pictures()

    def class_names(self) -> list[str]:
        """Return the breeds as the images' names spell them, or the species."""
        return self.prepared(self.names)

    def region(self, path: Path, width: int, height: int) -> tuple[int, int, int, int] | None:
        """Return the rectangle around all that is not background in the trimap."""
        if not self.crop_to_trimap:
            return None
        trimap = self.dataset_root / "annotations" / "trimaps" / f"{path.stem}.png"
        values = np.asarray(self.reader().read(trimap, "L").image)
        if values.shape != (height, width):
            raise DatasetError(
                f"{type(self).__name__}: {trimap} must be as large as its image, "
                f"{width} x {height} pixels, got {values.shape[1]} x {values.shape[0]}."
            )
        rows, columns = np.nonzero(values != BACKGROUND)
        if not len(rows):
            raise DatasetError(f"{type(self).__name__}: {trimap} outlines no pet.")
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        return int(left), int(top), int(right), int(bottom)

    def _entries(self, name: str) -> list[Entry]:
        path = self.dataset_root / "annotations" / name
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"{name} cannot be read: {error}") from error
        entries = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            match line.split():
                case [image, breed, ("1" | "2") as species, order] if breed.isdecimal():
                    if int(breed) and order.isdecimal() and Path(image).name == image:
                        entries.append(Entry(image, int(breed), int(species), int(order)))
                        continue
            raise self._error(
                f"line {number} of {name} must be an image and the numbers of its class, "
                f"species (1 or 2) and breed, got {line!r}"
            )
        if not entries:
            raise self._error(f"{name} lists no image")
        return entries

    def _breeds(self, entries: list[Entry]) -> list[str]:
        """Return the breeds in the order of their numbers; "yorkshire_terrier_12" is of one.

        Some of the published breeds with their own numbers are taken as a part of all.
        """
        names = {entry.breed: entry.image.rpartition("_")[0] for entry in entries}
        published = {number: name for number, name in enumerate(BREEDS, 1) if number in names}
        whole = set(names) == set(range(1, len(names) + 1))
        if not whole and names != published:
            raise self._error(
                "the lists must number the classes from 1 on, or as the published ones do, "
                f"got {sorted(names)}"
            )
        renumbered = sorted(names[n] for n in names if names[n] in BREEDS and names != published)
        if renumbered and self.classify == "breed":
            example = renumbered[-1]
            self.listing_remarks = [
                f"The {len(names)} breeds have other numbers than the published ones ({example} is "
                f"{BREEDS.index(example) + 1} of {len(BREEDS)} there): a model of all breeds "
                "needs those."
            ]
        return [names[number] for number in sorted(names)] if whole else list(BREEDS)

    def remarks(self) -> list[str]:
        """Return what is to be said of the breeds' numbers, and what else is to be known."""
        return [*self.listing_remarks, *super().remarks()]

    def _error(self, what: str) -> DatasetError:
        folder = self.dataset_root / "annotations"
        return DatasetError(f"{type(self).__name__}: in {folder} {what}.")


def _around_the_classes(targets: Array, is_test: Array) -> Array:
    """Return the order in which the first samples of each class come first, then the second.

    Samples for testing are counted apart from the others and come last.
    """
    groups = targets * 2 + is_test
    turns = np.empty(len(targets), int)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        turns[members] = np.arange(len(members))
    return np.lexsort((targets, turns, is_test))
