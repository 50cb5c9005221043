"""Walk through folders of pictures, and remember what is left out and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge_tester.core.backends import backend
from edge_tester.core.system.files import impostor

# Files with these are pictures by their name; all others are looked into.
SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif "
    ".tiff .webp".split()
)
# Looked into by nobody: there may be as many of them as of pictures.
_TEXT_SUFFIXES = frozenset(".csv .html .json .md .rst .tsv .txt .xml .yaml .yml".split())
# What Pillow recognises, but is data, film or drawing.
_NO_PICTURES = frozenset("BUFR EPS FITS GRIB HDF5 MPEG PDF WMF".split())
# What systems, file managers, notebooks and storage devices leave behind, in lower case.
_TOOL_NAMES = frozenset(
    "$recycle.bin @eadir @recycle @recently-snapshot #recycle #snapshot __macosx __pycache__ "
    "desktop.ini lost+found thumbs.db ehthumbs.db".split()
) | {"system volume information", "icon\r"}
_MAXIMUM_EXAMPLES = 3
# Cameras write further data behind a picture; in one that was cut off no end is found.
_TAIL_BYTES = 1 << 16


class LeftOut:
    """Counts files that are no samples, by the reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[Path]] = {}

    def add(self, path: Path, reason: str) -> None:
        """Note one file."""
        self._counts[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _MAXIMUM_EXAMPLES:
            examples.append(path)

    def remarks(self, root: Path) -> list[str]:
        """Return one remark on everything, with some names below ``root``; none if empty."""
        if not self._counts:
            return []
        parts = []
        for reason, count in sorted(self._counts.items()):
            names = ", ".join(_below(root, path) for path in self._examples[reason])
            more = ", ..." if count > _MAXIMUM_EXAMPLES else ""
            parts.append(f"{count} {reason} ({names}{more})")
        total = sum(self._counts.values())
        files = "1 file was" if total == 1 else f"{total} files were"
        return [f"{files} left out of {printable(root)}: {'; '.join(parts)}."]


class Folder:
    """A folder of pictures and of other folders, as far as they count.

    Parameters
    ----------
    path : Path
    owner : object
        The data set, for messages.
    left_out : LeftOut
        Hears of files that are no pictures.
    above : tuple of str
        Folders that this one lies in, so that a link back is not followed for ever.
    """

    def __init__(
        self, path: Path, owner: object, left_out: LeftOut, above: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self.pictures: list[Path] = []
        self.folders: list[Folder] = []
        self.others: list[Path] = []
        real = os.path.realpath(path)
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            left_out.add(path, f"folder that cannot be read: {error.strerror}")
            return
        for entry in found:
            if entry.name.startswith(".") or entry.name.lower() in _TOOL_NAMES:
                continue
            place = path / entry.name
            if entry.is_dir():
                if os.path.realpath(place) in (real, *above):
                    left_out.add(place, "link to a folder that it lies in")
                else:
                    self.folders.append(Folder(place, owner, left_out, (real, *above)))
                continue
            reason = _reason_against(place, entry, owner)
            if reason is None:
                self.pictures.append(place)
            else:
                self.others.append(place)
                left_out.add(place, reason)

    @property
    def name(self) -> str:
        """Name of the folder alone."""
        return self.path.name

    def everything(self) -> Iterator[Path]:
        """Yield the pictures here and below."""
        yield from self.pictures
        for folder in self.folders:
            yield from folder.everything()

    def rest(self) -> Iterator[Path]:
        """Yield the files here and below that are no pictures."""
        yield from self.others
        for folder in self.folders:
            yield from folder.rest()

    @property
    def has_pictures(self) -> bool:
        """Whether there is a picture here or below."""
        return any(True for _ in self.everything())

    @property
    def describes(self) -> bool:
        """Whether there are texts, and nothing else, such as of annotations."""
        rest = list(self.rest())
        texts = all(path.suffix.lower() in _TEXT_SUFFIXES for path in rest)
        return bool(rest) and texts and not self.has_pictures


def _reason_against(path: Path, entry: os.DirEntry[str], owner: object) -> str | None:
    """Return why a file is no sample, None if it is one."""
    if not entry.is_file():
        return "dead link" if entry.is_symlink() else "neither file nor folder"
    if not os.access(path, os.R_OK):
        return "not readable for want of permission"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    if suffix in _TEXT_SUFFIXES or not _opens(path, owner):
        return f"no picture ({suffix or 'no suffix'})"
    return None


def _opens(path: Path, owner: object) -> bool:
    pillow = backend("PIL.Image", owner)
    try:
        with pillow.open(path) as image:
            return image.format not in _NO_PICTURES
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
        return False


def printable(name: object) -> str:
    """Return a path or name as text that every terminal and record can hold."""
    return str(name).encode(errors="replace").decode()


def _below(root: Path, path: Path) -> str:
    return printable(path.relative_to(root) if path.is_relative_to(root) else path)


def damage(path: Path, owner: object) -> str | None:
    """Return what is wrong with a picture file, None if it seems whole.

    The header is read; the whole picture only if its end is not what it should be.
    """
    pillow = backend("PIL.Image", owner)
    try:
        found = impostor(path)
        if found:
            return found
        with pillow.open(path) as image:
            if not _ends_well(path, image.format):
                image.load()
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        return "is no picture that Pillow can read" if "cannot identify" in reason else reason
    return None


def _ends_well(path: Path, format: str | None) -> bool:
    """Tell whether the end of a JPEG, PNG or GIF file is there.

    Notes
    -----
    Source: ITU-T T.81, B.1.1.3, end of image marker; PNG specification (third
    edition), 11.2.5, IEND; GIF89a specification, 27, trailer.
    """
    # Within a picture the first two cannot occur, and IEND hardly does.
    ends = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\0;"}
    marker = ends.get(format or "")
    if marker is None:
        return True
    length = 64 if format == "GIF" else _TAIL_BYTES
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - length))
        return marker in file.read()
