"""Core ML packages as a runtime gets them: a folder, or an archive of one."""

from __future__ import annotations

import json
from pathlib import Path

from edge_tester.core.errors import ModelError
from edge_tester.core.system.files import unpacked


def package_of(path: Path, scratch: Path) -> Path:
    """Return the folder of a package; an archive is unpacked into ``scratch`` first.

    Raises
    ------
    ModelError
        It is neither, or the archive would write elsewhere (PEP 706, filter ``data``).
    """
    # Core ML's tools insist on the suffix.
    folder = scratch / "model.mlpackage"
    if path.is_dir():
        folder.symlink_to(path.resolve())
    else:
        unpacked(path, folder)
    if not (folder / "Manifest.json").is_file():
        raise ModelError(f"{path} is no Core ML package: it has no Manifest.json.")
    if not path.is_dir():
        try:
            _make_empty_folders(folder)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{path} is no Core ML package: its Manifest.json is none.") from error
    return folder


def _make_empty_folders(folder: Path) -> None:
    """Make the folders that the manifest names and the archive of a package leaves out.

    A model whose few weights lie in its program has an empty folder for the others.
    """
    manifest = json.loads((folder / "Manifest.json").read_bytes())
    for entry in manifest.get("itemInfoEntries", {}).values():
        place = folder / "Data" / entry["path"]
        inside = place.resolve().is_relative_to(folder.resolve())
        if inside and not place.suffix and not place.exists():
            place.mkdir(parents=True)
