"""ImageNet: the validation images of ILSVRC 2012, in either usual layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array
from edge_tester.datasets._class_folders import class_folders
from edge_tester.datasets._image_files import SUFFIXES, ImageFilesDataset
from edge_tester.datasets._whole import WholeDataset


class ImageNetDataset(WholeDataset, ImageFilesDataset):
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
    resize: str = option(
        "crop",
        choices=("stretch", "crop"),
        help="Stretch images to the model's size, or fit the shorter side and crop the center",
    )
    shorter_side: int = option(
        256, minimum=1, help="Shorter side before the center is cropped", unit="pixel"
    )

    names: list[str] | None = state()

    def prepare(self) -> None:
        """List images and classes; no image is opened yet."""
        mapping = self._mapping()
        if self.ground_truth is None:
            found = class_folders(self.dataset_root, type(self).__name__)
            files = [path for paths in found.values() for path in paths]
            labels = [synset for synset, paths in found.items() for _ in paths]
        else:
            files, labels = self._listed(self.ground_truth)
        if all(label.isdecimal() for label in labels):
            targets = np.array([int(label) for label in labels], np.int64)
            if mapping and targets.max() >= len(mapping):
                raise self._error(
                    self.ground_truth,
                    f"has class index {targets.max()}, {self.synset_mapping} only "
                    f"{len(mapping)} classes",
                )
        else:
            mapping = mapping or {synset: synset for synset in sorted(set(labels))}
            unknown = sorted(set(labels) - set(mapping))
            if unknown:
                raise self._error(self.synset_mapping, f"does not list {', '.join(unknown[:3])}")
            indices = {synset: index for index, synset in enumerate(mapping)}
            targets = np.array([indices[label] for label in labels], np.int64)
        kept = self._kept(targets)
        self.files, self.targets = [files[index] for index in kept], targets[kept]
        self.names = list(mapping.values())

    def class_names(self) -> list[str]:
        """Return the names of the mapping, or the synsets; none where only indices are known."""
        return self.prepared(self.names)

    def crop_scale(self, width: int, height: int) -> float:
        """Return what makes the shorter side as long as the option says.

        Raises
        ------
        DatasetError
            The model takes more than that.
        """
        if max(self.wanted_size()) > self.shorter_side:
            raise DatasetError(
                f"{type(self).__name__}.shorter_side must be at least {max(self.wanted_size())}, "
                f"the size of the model's images, got {self.shorter_side}."
            )
        return self.shorter_side / min(width, height)

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
        if not self.dataset_root.is_dir():
            raise DatasetError(f"{type(self).__name__}: folder {self.dataset_root} does not exist.")
        images = sorted(p for p in self.dataset_root.iterdir() if p.suffix.lower() in SUFFIXES)
        if all(len(words) > 1 for words in lines):
            by_name = {name: image for image in images for name in (image.name, image.stem)}
            missing = [words[0] for words in lines if words[0] not in by_name]
            if missing:
                raise self._error(path, f"lists {missing[0]}, which {self.dataset_root} lacks")
            return [by_name[words[0]] for words in lines], [words[1] for words in lines]
        labels = [words[0] for words in lines]
        if any(label.isdecimal() for label in labels):
            # ILSVRC2012_validation_ground_truth.txt: its numbers are in no order of synsets.
            raise self._error(
                path,
                "has numbers alone, as in the development kit, whose order of classes is "
                "its own; a list with synsets, or of images and class indices, is needed",
            )
        if len(labels) != len(images):
            raise self._error(
                path, f"has {len(labels)} lines, {self.dataset_root} {len(images)} images"
            )
        return images, labels

    def _lines(self, path: Path) -> list[str]:
        try:
            lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(path, f"cannot be read: {error}") from error
        if not lines:
            raise self._error(path, "is empty")
        return lines

    def _kept(self, targets: Array) -> Array:
        """Return the indices of a random subset that is as balanced as can be, in order."""
        if self.balanced_subset is None:
            return np.arange(len(targets))
        if self.balanced_subset > len(targets):
            raise DatasetError(
                f"{type(self).__name__}.balanced_subset must be at most {len(targets)}, the "
                f"number of images, got {self.balanced_subset}."
            )
        generator = np.random.default_rng(self.split_seed)
        turns = np.empty(len(targets), int)
        for label in np.unique(targets):
            members = generator.permutation(np.flatnonzero(targets == label))
            turns[members] = np.arange(len(members))
        # Which classes give one more, where N is no multiple, is random too.
        order = np.lexsort((generator.permutation(len(targets)), turns))
        return np.sort(order[: self.balanced_subset])

    def _error(self, path: Path | None, what: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {path} {what}.")
