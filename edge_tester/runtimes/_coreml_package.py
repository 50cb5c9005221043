"""Core ML packages as a runtime gets them: a folder, or an archive of one."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import ModelError
from edge_tester.core.files import unpacked


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
    return folder
