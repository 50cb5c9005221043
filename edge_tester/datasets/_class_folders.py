"""Find images that are sorted into one folder per class."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import DatasetError
from edge_tester.datasets._image_files import SUFFIXES


def class_folders(root: Path, owner: str) -> dict[str, list[Path]]:
    """Return the images of every class, classes and images in alphabetic order.

    Raises
    ------
    DatasetError
        There is no such folder, it has no subfolders, or one of them has no images.
    """
    if not root.is_dir():
        raise DatasetError(f"{owner}: folder {root} does not exist.")
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise DatasetError(f"{owner}: {root} has no subfolders; it needs one per class.")
    found = {}
    for folder in folders:
        found[folder.name] = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not found[folder.name]:
            raise DatasetError(
                f"{owner}: class folder {folder} has no images ({', '.join(SUFFIXES)})."
            )
    return found
