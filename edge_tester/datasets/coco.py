"""Pictures with objects in them, as COCO's annotations describe them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array
from edge_tester.datasets._image_files import ImageFilesDataset
from edge_tester.datasets._whole import WholeDataset


class _Picture(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: int
    height: int


class _Object(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Annotations(msgspec.Struct, frozen=True):
    images: list[_Picture]
    annotations: list[_Object]
    categories: list[_Category]


class COCODataset(WholeDataset, ImageFilesDataset):
    """A folder of pictures, and one JSON file with the objects in them.

    The format is that of COCO's instances, T.-Y. Lin et al., "Microsoft COCO: Common Objects in
    Context", ECCV 2014: ``images``, ``annotations`` with ``bbox`` (left, top, width, height in
    pixels) and ``categories``. Classes are numbered from 0 in the order of their ids. Coordinates
    become parts of the picture, which is stretched to the model's size.
    """

    dataset_root: Path = option(help="Folder of the pictures")
    annotations: Path = option(help="File of the annotations, such as instances_val2017.json")

    names: list[str] = state(default_factory=list)
    crowds: int = state(0)

    @property
    def task(self) -> Task:
        """Detection."""
        return "detection"

    def prepare(self) -> None:
        """Read the annotations, and see whether the pictures are there."""
        if self.recipe.resize != "stretch":
            raise DatasetError(
                f"{type(self).__name__} needs whole pictures, since objects are at their places: "
                f"--resize stretch, got {self.recipe.resize!r}."
            )
        try:
            content = msgspec.json.decode(self.annotations.read_bytes(), type=_Annotations)
        except (OSError, msgspec.DecodeError) as error:
            raise DatasetError(
                f"{type(self).__name__}: {self.annotations} cannot be read as annotations of COCO: "
                f"{error}."
            ) from error
        self._require_whole(content)
        categories = sorted(content.categories, key=lambda one: one.id)
        self.names = [one.name for one in categories]
        numbers = {one.id: number for number, one in enumerate(categories)}
        self.files = [self.dataset_root / one.file_name for one in content.images]
        self.targets = self._targets(content, numbers)
        missing = [path for path in self.files if not path.is_file()]
        if missing:
            raise DatasetError(
                f"{type(self).__name__}: {len(missing)} of {len(self.files)} pictures are not in "
                f"{self.dataset_root}, such as {missing[0].name}."
            )
        self.check_pictures()

    def labels(self) -> Array | None:
        """Return None: a picture has several classes, or none."""
        return None

    def class_names(self) -> list[str]:
        """Return the names of the categories in the order of their ids."""
        return self.names

    def remarks(self) -> list[str]:
        """Say what of the annotations was left out."""
        crowds = (
            [
                f"{self.crowds} annotations of crowds were left out: what is detected there counts "
                "as wrong, where COCO's own evaluation does not count it."
            ]
            if self.crowds
            else []
        )
        return [*crowds, *super().remarks()]

    def facts(self) -> dict[str, Any]:
        """Return how many objects there are."""
        there = self.prepared(self.targets)[..., 0] >= 0
        return {**super().facts(), "objects": int(there.sum())}

    def _targets(self, content: _Annotations, numbers: dict[int, int]) -> Array:
        pictures = {one.id: (place, one) for place, one in enumerate(content.images)}
        found: list[list[tuple[float, ...]]] = [[] for _ in content.images]
        self.crowds = 0
        for one in content.annotations:
            if one.iscrowd:
                self.crowds += 1
                continue
            place, picture = pictures[one.image_id]
            left, top, width, height = one.bbox
            box = (top, left, top + height, left + width)
            sizes = (picture.height, picture.width) * 2
            parts = tuple(end / size for end, size in zip(box, sizes, strict=True))
            found[place].append((numbers[one.category_id], *parts))
        most = max(1, *map(len, found))
        targets = np.full((len(found), most, 5), -1.0)
        for place, objects in enumerate(found):
            targets[place, : len(objects)] = np.array(objects).reshape(-1, 5)
        return targets

    def _require_whole(self, content: _Annotations) -> None:
        owner = f"{type(self).__name__}: {self.annotations}"
        if not content.images:
            raise DatasetError(f"{owner} names no picture.")
        pictures = {one.id for one in content.images}
        known = {one.id for one in content.categories}
        for one in content.annotations:
            if one.image_id not in pictures or one.category_id not in known:
                raise DatasetError(
                    f"{owner} has an object of picture {one.image_id} and category "
                    f"{one.category_id}, of which one is not among its images and categories."
                )
        for picture in content.images:
            if min(picture.width, picture.height) < 1:
                raise DatasetError(f"{owner} has the picture {picture.file_name} without a size.")
