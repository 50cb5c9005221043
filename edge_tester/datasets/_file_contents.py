"""Tell what a file really is, whatever its name says."""

from __future__ import annotations

from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_WEB_PAGE = (b"<!doctype html", b"<html")
# How much of a file is looked at.
_HEAD_BYTES = 64


def impostor(path: Path) -> str | None:
    """Return what a file is that is not what it seems, in words; None if nothing is known of it.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "is empty"
    if head.startswith(LFS_POINTER):
        return "is a Git LFS pointer, not the file itself; `git lfs pull` fetches that"
    if head.lstrip().lower().startswith(_WEB_PAGE):
        return "is a web page, perhaps of a download that failed"
    return None
