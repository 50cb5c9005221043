"""A folder with one subfolder of images per class."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array
from edge_tester.datasets._class_folders import ClassFoldersDataset

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_NUMBERED = re.compile(r"(.*?)(\d+)", re.ASCII | re.DOTALL)
_MAXIMUM_SHOWN = 20


class ImageFolderDataset(ClassFoldersDataset):
    """Images in one subfolder per class, resized to what the model takes.

    Classes are the names of the subfolders in alphabetic order, numbers in that of
    their values. Images in no subfolder have no class, so only times are measured.
    Samples are 0 to 255, in the model's layout, unless ``preprocessing`` scales them.
    """

    dataset_root: Path = option(help="Folder with one subfolder of images per class")
    class_numbers: str = option(
        "auto",
        choices=("auto", "alphabetic", "folder"),
        help="How classes are numbered: from 0 in the order of the numbers in the folders' names, "
        "or else of the alphabet; always of the alphabet, as training frameworks do; or by the "
        "number that is the folder's name",
    )

    names: list[str] | None = state()

    @property
    def task(self) -> Task:
        """Classification, none where the images are in no subfolders."""
        self.prepared(self.files)
        return "none" if self.targets is None else "classification"

    def prepare(self) -> None:
        """List classes and images, and see whether the images can be opened."""
        found = self.listed(self.dataset_root)
        self.files = found.files
        self.names, self.targets, self.parts = [], None, None
        if found.classes:
            numbers = self._numbers(found.classes)
            self.names = [str(number) for number in range(max(numbers.values()) + 1)]
            for name, number in numbers.items():
                self.names[number] = name
            self.targets = np.array([numbers[label] for label in found.labels], np.int64)
            self.parts = np.array(found.parts) if found.parts else None
        else:
            self.listing_remarks.append(
                f"The pictures in {self.dataset_root} are in no folders of classes: nothing is "
                "known of the right answers, so no accuracy is measured."
            )
        self.check_pictures()

    def class_names(self) -> list[str]:
        """Return the names of the subfolders."""
        return self.prepared(self.names)

    def _numbers(self, names: list[str]) -> dict[str, int]:
        """Return the number of each class, and keep what must be said of it."""
        if self.class_numbers == "folder":
            return self._own_numbers(names)
        values = None if self.class_numbers == "alphabetic" else _values(names)
        ordered = names if values is None else sorted(names, key=lambda n: (values[n], n))
        usual = sorted(names, key=str.casefold)
        # Numbers that are not the classes' own let a reader wonder.
        numbers = [values[name] for name in ordered] if values and _is_number(names[0]) else None
        others = numbers not in (None, list(range(len(names))))
        counted = all(name.isascii() and name.isdecimal() for name in names)
        if ordered != names or usual != names or others:
            shown = ", ".join(f"{number} {name}" for number, name in enumerate(ordered))
            if len(ordered) > _MAXIMUM_SHOWN:
                last = f"{len(ordered) - 1} {ordered[-1]}"
                shown = ", ".join(shown.split(", ")[: _MAXIMUM_SHOWN - 2]) + f", ..., {last}"
            other = "alphabetic" if ordered != names else "folder" if counted else None
            advice = f"; --class-numbers {other} numbers them otherwise" if other else ""
            self.listing_remarks.append(f"Classes are numbered so: {shown}{advice}.")
        return {name: number for number, name in enumerate(ordered)}

    def _own_numbers(self, names: list[str]) -> dict[str, int]:
        wrong = [name for name in names if not (name.isascii() and name.isdecimal())]
        numbers = {} if wrong else {name: int(name) for name in names}
        if wrong or len(set(numbers.values())) < len(numbers):
            shown = ", ".join(wrong[:3]) or "two of one number"
            raise DatasetError(
                f"{type(self).__name__}.class_numbers is folder, so the folders of classes in "
                f"{self.dataset_root} must be named by their numbers, got {shown}."
            )
        return numbers

    def labels(self) -> Array | None:
        """Return the class index of every image, None where there are no classes."""
        self.prepared(self.files)
        return self.targets


def _values(names: list[str]) -> dict[str, float] | None:
    """Return the numbers that tell the names apart, None if it is not numbers that do."""
    if all(map(_is_number, names)):
        return {name: float(name) for name in names}
    matches = {name: _NUMBERED.fullmatch(name) for name in names}
    prefixes = {match.group(1) for match in matches.values() if match}
    if None in matches.values() or len(prefixes) > 1:
        return None
    return {name: float(match.group(2)) for name, match in matches.items() if match}


def _is_number(name: str) -> bool:
    return _NUMBER.fullmatch(name) is not None
