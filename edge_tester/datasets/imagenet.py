"""ImageNet: the validation images of ILSVRC 2012, in either usual layout."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array
from edge_tester.datasets._class_folders import TEST, ClassFoldersDataset
from edge_tester.datasets._picture_tree import Folder, LeftOut
from edge_tester.datasets._recipes import Recipe

# Of the 50,000 images for validation, which have their place in the list in their names.
_NUMBERED_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})")
_SYNSET = re.compile(r"n\d{8}")
_USUAL_CLASSES = 1000


class ImageNetDataset(ClassFoldersDataset):
    """ImageNet's validation images, in one folder with a list or in a folder per class.

    Classes are numbered in the order of their synsets (n01440764 is 0), as the
    usual pretrained models number them, or in that of ``synset_mapping``. Samples
    are float32, 0 to 255, in the model's layout and size.

    Notes
    -----
    Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition
    Challenge", IJCV 2015. The usual preprocessing, 256 pixels on the shorter side
    and the center 224 of it, is the single-crop test of K. He et al., "Deep
    Residual Learning for Image Recognition", CVPR 2016, and others.
    """

    dataset_root: Path = option(help="Folder with the images, or with one folder per synset")
    ground_truth: Path | None = option(
        None,
        help="List for images in one folder: in each line a synset, in the order of the images, "
        "or an image and its synset or class index",
    )
    synset_mapping: Path | None = option(
        None, help="List of all classes: in each line a synset and its names"
    )
    balanced_subset: int | None = option(
        None, minimum=1, help="Use only N images, equally many of each class, by split_seed"
    )
    usual = Recipe(resize="crop", shorter_side=256)

    names: list[str] | None = state()

    def prepare(self) -> None:
        """List images and classes, and see whether the images can be opened."""
        mapping = self._mapping()
        if self.ground_truth is None:
            files, labels, parts, classes = self.listed(self.dataset_root)
            if not classes:
                raise DatasetError(
                    f"{type(self).__name__}: {self.dataset_root} has images in no folders of "
                    "classes: --ground-truth must name a list of their classes."
                )
        else:
            files, labels = self._listed(self.ground_truth)
            parts, classes = [], sorted(set(labels))
        if all(label.isdecimal() for label in labels):
            targets = np.array([int(label) for label in labels], np.int64)
            if mapping and targets.max() >= len(mapping):
                raise self._error(
                    self.ground_truth,
                    f"has class index {targets.max()}, {self.synset_mapping} only "
                    f"{len(mapping)} classes",
                )
        else:
            synsets = all(map(_SYNSET.fullmatch, classes))
            if not mapping and (len(classes) != _USUAL_CLASSES or not synsets):
                self.listing_remarks.append(
                    f"The {len(classes)} {'synsets' if synsets else 'classes'} are numbered 0 to "
                    f"{len(classes) - 1} in alphabetic order; a model of {_USUAL_CLASSES} classes "
                    "numbers them by the order of all synsets, which --synset-mapping names."
                )
            mapping = mapping or {synset: synset for synset in classes}
            unknown = sorted(set(labels) - set(mapping))
            if unknown:
                raise self._error(self.synset_mapping, f"does not list {', '.join(unknown[:3])}")
            indices = {synset: index for index, synset in enumerate(mapping)}
            targets = np.array([indices[label] for label in labels], np.int64)
        self.parts = np.array(parts) if parts else None
        kept = self._kept(targets)
        self.files, self.targets = [files[index] for index in kept], targets[kept]
        self.parts = None if self.parts is None else self.parts[kept]
        self.names = list(mapping.values())
        self.check_pictures()

    def class_names(self) -> list[str]:
        """Return the names of the mapping, or the synsets; none where only indices are known."""
        return self.prepared(self.names)

    def _mapping(self) -> dict[str, str]:
        """Return name by synset, in the order of the list."""
        if self.synset_mapping is None:
            return {}
        pairs = (line.partition(" ") for line in self._lines(self.synset_mapping))
        return {synset: name or synset for synset, _, name in pairs}

    def _listed(self, path: Path) -> tuple[list[Path], list[str]]:
        """Return the images of a flat folder and the label of each.

        The list of the Kaggle challenge, "image,synset x y x y", is one of images
        and synsets too, once its header and rectangles are left out.
        """
        lines = [line.replace(",", " ").split() for line in self._lines(path)]
        lines = [words for words in lines if words and words[0] != "ImageId"]
        if not lines:
            raise self._error(path, "lists no image")
        images = self._flat()
        if all(len(words) > 1 for words in lines):
            by_name = _by_name(images)
            # Some lists name the folder of an image too.
            lines = [[w[0] if w[0] in by_name else Path(w[0]).name, *w[1:]] for w in lines]
            name, times = Counter(words[0] for words in lines).most_common(1)[0]
            if times > 1:
                raise self._error(path, f"lists {name} {times} times")
            missing = [words[0] for words in lines if words[0] not in by_name]
            if len(missing) == len(lines):
                raise self._error(path, f"lists {missing[0]}, which {self.dataset_root} lacks")
            if missing:
                self.listing_remarks.append(
                    f"{len(missing)} of the {len(lines)} images that {path} lists are not in "
                    f"{self.dataset_root} ({missing[0]}{', ...' if missing[1:] else ''}); the "
                    "others were used."
                )
            there = [words for words in lines if words[0] in by_name]
            if len(images) > len(there):
                self.listing_remarks.append(
                    f"{len(images) - len(there)} of the {len(images)} images in "
                    f"{self.dataset_root} were left out: {path} does not list them."
                )
            return [by_name[words[0]] for words in there], [words[1] for words in there]
        labels = [words[0] for words in lines]
        if any(label.isdecimal() for label in labels):
            # ILSVRC2012_validation_ground_truth.txt: its numbers are in no order of synsets.
            raise self._error(
                path,
                "has numbers alone, as in the development kit, whose order of classes is "
                "its own; a list with synsets, or of images and class indices, is needed",
            )
        if len(labels) == len(images):
            return images, labels
        matches = [_NUMBERED_IMAGE.fullmatch(image.stem) for image in images]
        places = [int(match.group(1)) for match in matches if match]
        if (
            len(places) < len(images)
            or not places
            or not 1 <= min(places) <= max(places) <= len(labels)
        ):
            raise self._error(
                path,
                f"has {len(labels)} lines, {self.dataset_root} {len(images)} images: there is no "
                "telling which line is of which image; a list of images and synsets tells",
            )
        self.listing_remarks.append(
            f"{self.dataset_root} has {len(images)} of the {len(labels)} images that {path} is of; "
            "the numbers in their names say which."
        )
        return images, [labels[place - 1] for place in places]

    def _flat(self) -> list[Path]:
        """Return the images that lie in ``dataset_root`` itself."""
        if not self.dataset_root.is_dir():
            raise DatasetError(f"{type(self).__name__}: folder {self.dataset_root} does not exist.")
        left_out = LeftOut()
        images = Folder(self.dataset_root, self, left_out).pictures
        self.listing_remarks = left_out.remarks(self.dataset_root)
        return images

    def _lines(self, path: Path) -> list[str]:
        try:
            lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(path, f"cannot be read: {error}") from error
        if not lines:
            raise self._error(path, "is empty")
        return lines

    def _kept(self, targets: Array) -> Array:
        """Return the indices of the images that are used; those not to be measured all are."""
        if self.balanced_subset is None:
            return np.arange(len(targets))
        if self.parts is None:
            return self._balanced(targets, self.balanced_subset)
        measured = np.flatnonzero(self.parts == TEST)
        kept = measured[self._balanced(targets[measured], self.balanced_subset)]
        return np.union1d(np.flatnonzero(self.parts != TEST), kept)

    def _balanced(self, targets: Array, count: int) -> Array:
        """Return the indices of a random subset that is as balanced as can be, in order."""
        if count > len(targets):
            raise DatasetError(
                f"{type(self).__name__}.balanced_subset must be at most {len(targets)}, the "
                f"number of images, got {count}."
            )
        generator = np.random.default_rng(self.split_seed)
        turns = np.empty(len(targets), int)
        for label in np.unique(targets):
            members = generator.permutation(np.flatnonzero(targets == label))
            turns[members] = np.arange(len(members))
        # Which classes give one more, where N is no multiple, is random too.
        order = np.lexsort((generator.permutation(len(targets)), turns))
        return np.sort(order[:count])

    def _error(self, path: Path | None, what: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {path} {what}.")


def _by_name(images: list[Path]) -> dict[str, Path]:
    """Return images by their names, also without a suffix where that tells them apart."""
    stems = Counter(image.stem for image in images)
    without = {image.stem: image for image in images if stems[image.stem] == 1}
    return {**without, **{image.name: image for image in images}}
