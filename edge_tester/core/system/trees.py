"""Folders that a model has filled: to be looked through and removed, however they are made.

A model may nest folders without end. Paths then become longer than the system takes, and what
goes from a folder to those in it by calling itself ends with a RecursionError: neither
:func:`os.walk` nor :func:`shutil.rmtree` is fit for them on every Python that this runs on.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# More than any runtime nests its folders; each level costs two descriptors while it is looked at.
DEPTH_LIMIT = 32
# Source: stat(2): blocks are of 512 bytes, whatever those of the file system are.
BLOCK_BYTES = 512
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def looked_through(folder: Path) -> Iterator[os.stat_result | str]:
    """Give what there is of each file and folder beneath a folder.

    What goes meanwhile is left out.

    Yields
    ------
    os.stat_result or str
        For a folder that is not looked into why, in words: it lies deeper than
        :data:`DEPTH_LIMIT`, or this user may not look.
    """
    stack: list[tuple[int, Any]] = []
    try:
        with contextlib.suppress(OSError):
            stack.append(_entered(folder))
        while stack:
            descriptor, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                _left(*stack.pop())
                continue
            try:
                about = entry.stat(follow_symlinks=False)
                yield about
                if not stat.S_ISDIR(about.st_mode):
                    continue
                if len(stack) == DEPTH_LIMIT:
                    yield f"folders more than {DEPTH_LIMIT} deep"
                else:
                    stack.append(_entered(entry.name, descriptor))
            except PermissionError:
                # One that can be entered and not listed: files in it have names all the same.
                yield "a folder into which nobody may look"
            except OSError:
                continue
    finally:
        for one in stack:
            _left(*one)


def removed(folder: Path) -> OSError | None:
    """Remove a folder and all in it; return the first problem, None if nothing is left.

    A folder within a folder is moved to the top before it is looked into, so that this never
    goes deeper than one level.
    """
    problems: list[OSError] = []
    names = (f".{secrets.token_hex(8)}-{number}" for number in itertools.count())
    try:
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode):
            raise NotADirectoryError(f"{folder} is no folder")
        _open_up(str(folder), about, None)
        top = os.open(folder, _FOLDER)
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else error
    try:
        waiting = _emptied(top, None, names, problems)
        while waiting:
            name = waiting.pop()
            try:
                inner = os.open(name, _FOLDER, dir_fd=top)
                try:
                    waiting += _emptied(inner, top, names, problems)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
            except OSError as error:
                problems.append(error)
    finally:
        os.close(top)
    try:
        folder.rmdir()
    except OSError as error:
        problems.append(error)
    return problems[0] if problems else None


def _emptied(
    folder: int, top: int | None, names: Iterator[str], problems: list[OSError]
) -> list[str]:
    """Remove the files of an open folder; return the names of its folders at the top.

    ``top`` is where these are moved to, None where this is the top.
    """
    found = []
    with os.scandir(folder) as entries:
        # All of them first: what is removed while it is listed may hide others.
        listed = list(entries)
    for entry in listed:
        try:
            about = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(about.st_mode):
                os.unlink(entry.name, dir_fd=folder)
                continue
            _open_up(entry.name, about, folder)
            name = entry.name
            if top is not None:
                name = next(names)
                os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
            found.append(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(error)
    return found


def _open_up(name: str, about: os.stat_result, folder: int | None) -> None:
    """Let this user into a folder that a model may have closed to itself."""
    if about.st_mode & stat.S_IRWXU == stat.S_IRWXU:
        return
    if not hasattr(os, "O_PATH"):
        os.chmod(name, stat.S_IRWXU, dir_fd=folder, follow_symlinks=False)
        return
    # Linux takes no name here that it does not follow, and by now this may be one of a link.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)
    finally:
        os.close(descriptor)


def _entered(name: str | Path, folder: int | None = None) -> tuple[int, Any]:
    """Open a folder, and begin to list it."""
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        return descriptor, os.scandir(descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _left(descriptor: int, entries: Any) -> None:
    entries.close()
    os.close(descriptor)
