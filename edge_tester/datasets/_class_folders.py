"""What data sets with one folder of pictures per class have in common."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tester.core.dataset import Split
from edge_tester.core.errors import DatasetError
from edge_tester.core.options import state
from edge_tester.core.tensors import Array
from edge_tester.datasets._image_files import ImageFilesDataset
from edge_tester.datasets._picture_tree import Folder, LeftOut, printable
from edge_tester.datasets._whole import WholeDataset

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_LEVELS = {
    **dict.fromkeys(("train", "training", "trainset"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "testset"), TEST),
}
# Other words in the names of such folders, as in seg_train or test-images.
_FILLERS = frozenset(("", "data", "dataset", "image", "images", "imgs", "seg", "set", "split"))


class Listing(NamedTuple):
    """Pictures with the names of their classes, and the part that each belongs to."""

    files: list[Path]
    labels: list[str]
    parts: list[str]
    """Empty if the folders are not divided into parts."""
    classes: list[str]
    """All folders of classes in alphabetic order, those without a picture included.

    None where the pictures lie in one folder without classes.
    """


class ClassFoldersDataset(WholeDataset, ImageFilesDataset):
    """A subclass must number the classes that :meth:`listed` finds in a folder.

    Where the folders are divided into ``train``, ``val`` and ``test``, the last of
    them is measured, and the others serve training, validation and calibration.
    """

    parts: Array | None = state()
    listing_remarks: list[str] = state(default_factory=list)

    def own_split(self) -> Split:
        """Split by the parts that the folders are divided into, or all by the fractions.

        With ``test_fraction`` below 1 all samples are split by the fractions.
        """
        if self.parts is None or self.test_fraction < 1:
            return super().own_split()
        train = np.flatnonzero(self.parts == TRAIN)
        targets = self.labels()
        rules = copy.copy(self)
        rules.test_fraction = 0.0
        shares = rules.split_of(len(train), None if targets is None else targets[train])
        validation = np.flatnonzero(self.parts == VALIDATION)
        return Split(
            train[shares.train],
            np.union1d(train[shares.validation], validation),
            train[shares.calibration],
            np.flatnonzero(self.parts == TEST),
        )

    def remarks(self) -> list[str]:
        """Return what was found out about the folders, and what else is to be known."""
        return [*self.listing_remarks, *super().remarks()]

    def listed(self, root: Path) -> Listing:
        """Find classes and pictures, and keep what is to be said of them.

        Raises
        ------
        DatasetError
            There is no such folder, no picture in it, or no telling which folders are classes.
        """
        if not root.is_dir():
            missing = "is a file" if root.exists() else "does not exist"
            raise self._refusal(root, f"{missing}; a folder is needed")
        left_out = LeftOut()
        tree = Folder(root, self, left_out)
        if not tree.has_pictures:
            told = " ".join(left_out.remarks(root))
            raise self._refusal(root, f"has no picture in its folders. {told}".strip().rstrip("."))
        remarks: list[str] = []
        tree = _descended(tree, remarks)
        levels = self._levels(tree)
        if not levels and not any(folder.has_pictures for folder in tree.folders):
            self.listing_remarks = [*remarks, *left_out.remarks(root)]
            return Listing(sorted(tree.everything()), [], [], [])
        files: list[Path] = []
        labels: list[str] = []
        parts: list[str] = []
        classes: dict[str, set[str]] = {}
        for part, top in (levels or {"": tree}).items():
            below = _descended(top, remarks) if levels else top
            for path in below.pictures:
                left_out.add(path, "beside the folders of classes")
            for folder in self._classes(below):
                found = sorted(folder.everything())
                files += found
                labels += [folder.name] * len(found)
                parts += [part] * len(found) if levels else []
                classes.setdefault(folder.name, set())
                classes[folder.name] |= {part} if found else set()
        if levels and self.test_fraction < 1:
            names = " and ".join(folder.name for folder in levels.values())
            remarks.append(
                f"The pictures in {names} of {tree.path} were split together by --test-fraction; "
                "without it those in one of them are measured."
            )
        elif levels:
            remarks += _told(tree, levels)
        remarks += _told_of_gaps(classes, levels)
        self.listing_remarks = [*remarks, *left_out.remarks(root)]
        return Listing(files, labels, parts, sorted(classes))

    def _levels(self, tree: Folder) -> dict[str, Folder]:
        """Return the folders that are parts of a data set by their names, {} if none is.

        What is measured comes as ``test``, also where its folder is called another way.
        """
        full = [folder for folder in tree.folders if folder.has_pictures]
        named = [(level_of(folder.name), folder) for folder in full]
        divided = [
            (level, folder)
            for level, folder in named
            if level and any(inner.has_pictures for inner in folder.folders)
        ]
        if not divided:
            return {}
        names = ", ".join(folder.name for _, folder in divided)
        others = [folder.name for level, folder in named if level is None]
        if others:
            raise self._refusal(
                tree.path,
                f"has {names}, which look like parts of a data set, beside {', '.join(others)}; "
                f"say which folder has the classes, such as --dataset-root {divided[-1][1].path}",
            )
        levels = {str(level): folder for level, folder in divided}
        if len(levels) < len(divided):
            raise self._refusal(
                tree.path,
                f"has {names}, several for one part of a data set; say which one is to be "
                f"measured, such as --dataset-root {divided[-1][1].path}",
            )
        flat = [folder.name for level, folder in named if folder not in levels.values()]
        if set(levels) == {TRAIN} and flat:
            raise self._refusal(
                tree.path,
                f"has classes in {names}, but not in {', '.join(flat)}: pictures without a class "
                "cannot be evaluated. To measure those for training, say --dataset-root "
                f"{levels[TRAIN].path}",
            )
        for part in (VALIDATION, TRAIN):
            if TEST not in levels and part in levels:
                levels[TEST] = levels.pop(part)
        return levels

    def _classes(self, tree: Folder) -> list[Folder]:
        found = []
        for folder in tree.folders:
            if folder.describes:
                continue
            if printable(folder.name) != folder.name:
                raise self._refusal(
                    folder.path, "is a class whose name is not UTF-8, which no record can hold"
                )
            rest = list(folder.rest())
            if rest and not folder.has_pictures:
                raise self._refusal(
                    folder.path,
                    f"has {len(rest)} files, but no picture that Pillow can read ({rest[0].name}); "
                    "if it is no class, move it elsewhere",
                )
            found.append(folder)
        return found

    def _refusal(self, path: Path, what: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {printable(path)} {what}.")


def level_of(name: str) -> str | None:
    """Return which part of a data set a folder of this name holds, None if it says none."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word not in _FILLERS]
    return _LEVELS.get(words[0]) if len(words) == 1 else None


def _descended(top: Folder, remarks: list[str]) -> Folder:
    """Return the folder with the classes: below ``top`` if that has nothing but one folder."""
    tree = top
    while not tree.pictures:
        full = [folder for folder in tree.folders if folder.has_pictures]
        empty = [f for f in tree.folders if not f.has_pictures and not f.describes]
        # The first folder that is named as a part is kept, so that its name is told.
        if len(full) != 1 or empty or (level_of(full[0].name) and not level_of(tree.name)):
            break
        tree = full[0]
    if tree.pictures or tree is top:
        return top
    remarks.append(f"The folders were taken from {tree.path}, the only one in {top.path}.")
    return tree


def _told(tree: Folder, levels: dict[str, Folder]) -> list[str]:
    measured = levels[TEST]
    others = [folder.name for part, folder in levels.items() if part != TEST]
    told = f"The pictures in {measured.path} are measured"
    if others:
        told += f"; those in {' and '.join(others)} serve training, validation and calibration"
    elif level_of(measured.name) == TRAIN:
        told += "; a model that was trained on them looks better than it is"
    remarks = [f"{told}. --dataset-root names another folder."]
    for folder in tree.folders:
        if folder.has_pictures and folder not in levels.values():
            count = sum(1 for _ in folder.everything())
            remarks.append(f"{count} pictures in {folder.path} have no class and were left out.")
    return remarks


def _told_of_gaps(classes: dict[str, set[str]], levels: dict[str, Folder]) -> list[str]:
    wanted = set(levels) or {""}
    told = []
    if len(classes) == 1:
        told.append(f"There is only one class, {next(iter(classes))}.")
    for part in sorted(wanted):
        missing = [name for name, having in sorted(classes.items()) if part not in having]
        if missing:
            where = f" in {levels[part].path}" if levels else ""
            shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            verb = "has" if len(missing) == 1 else "have"
            told.append(
                f"{len(missing)} of {len(classes)} classes {verb} no picture{where}: {shown}. "
                f"{'It keeps its number' if len(missing) == 1 else 'They keep their numbers'}."
            )
    return told
