"""Files that are whole or absent, and their checksums."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from edge_tester.core.errors import ModelError
from edge_tester.core.system.temporary import (
    folder_beside,
    locked,
    prefix_of,
    remove_abandoned,
)
from edge_tester.core.system.text import printable

if TYPE_CHECKING:
    import hashlib
    import io
    import tarfile

CHUNK_BYTES = 1 << 20
# A Core ML package has a dozen files, an ONNX model with external data hundreds.
ARCHIVED_FILES_LIMIT = 10_000
# How much of a file is looked at to tell what it is.
_HEAD_BYTES = 64


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that replaces ``path`` on success.

    Whatever goes wrong inside the block, an earlier file at ``path`` stays as it was, and what was
    written is removed with all that lies beside it.

    Parameters
    ----------
    path : Path
        Where the file shall be; missing parent folders are made.

    Yields
    ------
    Path
        An existing empty file of the same name, in a folder of its own on the same disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder is locked and not the file: some libraries lock what they write themselves.
    with folder_beside(path) as place:
        temporary = place / path.name
        temporary.touch()
        yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary empty folder beside ``path`` that replaces it on success.

    The counterpart of :func:`atomic_path` for what is a folder. No system replaces a folder
    that is not empty in one step: an earlier one steps aside first, for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _step_back(path)
    with folder_beside(path) as place:
        temporary, earlier = place / f"new{path.suffix}", place / "earlier"
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                path.rename(earlier)
            temporary.rename(path)
        finally:
            if earlier.exists() and not path.exists():
                earlier.rename(path)


def _step_back(path: Path) -> None:
    """Return a folder to its place whose process was killed in that moment."""
    for left in path.parent.glob(f"{glob.escape(prefix_of(path))}*/earlier"):
        with contextlib.suppress(OSError), locked(left.parent):
            if not path.exists():
                left.rename(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; a reader sees all of it or none.

    Where the system can, what is written has no name until it is whole: a process that is killed
    meanwhile leaves nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _nameless(path.parent)
    if descriptor is not None:
        remove_abandoned(path)
        with open(descriptor, "wb") as file:
            _write(file, content)
            # No file can be linked over another.
            named = path.with_name(f"{prefix_of(path)}{os.urandom(4).hex()}{path.suffix}")
            # Some systems make files without names, and let nobody give them one.
            with contextlib.suppress(OSError):
                # Python follows a link there only where it is given a descriptor: linkat(2).
                os.link(f"/proc/self/fd/{descriptor}", named, src_dir_fd=descriptor)
                named.replace(path)
                return
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        _write(file, content)


def _nameless(folder: Path) -> int | None:
    """Return a new file without a name, None where there is none (other than Linux, some disks)."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.open(folder, flag | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return None
        raise


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def is_empty(path: Path) -> bool:
    """Tell whether a file has no bytes, or a folder nothing in it."""
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, with bounded memory."""
    # Imported here: OpenSSL takes 4 MB, and the target's supervisor hashes nothing.
    import hashlib

    with path.open("rb", buffering=0) as file:
        return hashed(file, hashlib.sha256()).hexdigest()


def sha256_of_all(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names, in hexadecimal.

    Of a folder that does not exist it is that of nothing.
    """
    import hashlib

    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for one in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{one.relative_to(path).as_posix()}\n{sha256_of(one)}\n".encode())
    return digest.hexdigest()


def hashed(file: BinaryIO | io.RawIOBase, digest: hashlib._Hash) -> hashlib._Hash:
    """Feed the rest of a file to a hash, in pieces; return it.

    ``hashlib.file_digest`` does it too, but Python 3.10 has none.
    """
    while piece := file.read(CHUNK_BYTES):
        digest.update(piece)
    return digest


def packed(files: Iterable[tuple[str, Path]]) -> BinaryIO:
    """Return an uncompressed archive of files; it depends on names and contents alone.

    Parameters
    ----------
    files : iterable of (str, Path)
        Name in the archive, and where the file is.
    """
    import tarfile

    # The caller closes it, and with that it is gone.
    file = tempfile.TemporaryFile()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files:
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)
    file.flush()
    file.seek(0)
    return cast(BinaryIO, file)


def unpacked(
    archive: Path,
    folder: Path,
    *,
    members_limit: int = ARCHIVED_FILES_LIMIT,
    size_limit_bytes: int | None = None,
) -> list[str]:
    """Unpack an archive of :func:`packed` into a new folder; return the names in it.

    Nothing is written before the list of members was read and found in order: plain files and
    folders inside of the folder, no more of them and no more bytes than allowed.

    Parameters
    ----------
    archive : Path
    folder : Path
        Removed first if it exists.
    members_limit : int
    size_limit_bytes : int, optional
        Of all files together; by default what the archive itself has, since it is not
        compressed.

    Raises
    ------
    ModelError
        It is no archive, breaks a limit, or would write elsewhere (PEP 706, filter ``data``).
    """
    import tarfile

    shutil.rmtree(folder, ignore_errors=True)
    try:
        limit_bytes = archive.stat().st_size if size_limit_bytes is None else size_limit_bytes
        # Uncompressed: a few bytes cannot become many.
        with tarfile.open(archive, mode="r:") as content:
            members, size_bytes = [], 0
            for member in content:
                members.append(member.name)
                size_bytes += member.size
                if len(members) > members_limit or size_bytes > limit_bytes:
                    raise ModelError(
                        f"{archive} must hold at most {members_limit:,} files of {limit_bytes:,} "
                        f"bytes in all, got {len(members):,} of {size_bytes:,} so far."
                    )
                if member.issparse() or not (member.isfile() or member.isdir()):
                    raise ModelError(
                        f"{archive} must hold plain files and folders alone, got "
                        f"{printable(member.name)}."
                    )
            extract_data(content, folder)
            return members
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"{archive} is no archive of a model: {error}") from error


def extract_data(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract an archive that nobody has to trust: plain files and folders inside a folder.

    Notes
    -----
    Source: PEP 706, filter ``data``. Python has it from 3.10.12, 3.11.4 and 3.12 on; before
    that, everything else than plain files and folders is refused, so that no link leads out.

    Raises
    ------
    tarfile.TarError
        It would write elsewhere, or holds something else.
    """
    import tarfile

    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    root = folder.resolve()
    for entry in archive.getmembers():
        inside = (root / entry.name).resolve().is_relative_to(root)
        if not inside or not (entry.isfile() or entry.isdir()):
            raise tarfile.TarError(f"{entry.name!r} is no plain file or folder inside {folder}")
        entry.mode &= 0o755
    archive.extractall(folder)


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive of :func:`packed`."""
    import tarfile

    if not path.is_file():
        return False
    try:
        tarfile.open(path, mode="r:").close()
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False
    return True


def impostor(path: Path) -> str | None:
    """Return what a file is that is not what it seems, in words; None if nothing is known of it.

    Downloads that went wrong leave such files: the pointer of a Git LFS file that was not
    fetched (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md), or a web page.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; `git lfs pull` fetches that"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page (HTML), perhaps of a download that failed"
    return None
