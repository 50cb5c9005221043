"""What a run has measured so far, in a file beside its record, for when it is killed.

One JSON object in each line: first all that is known when measuring begins, then each block with
its predictions and the quality until then. A line is written in one piece when its block is
whole. The file is locked while its run lives, and removed when the record is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.errors import RecordError
from edge_tester.core.figures import Quality
from edge_tester.core.record import (
    Block,
    ColdStart,
    Memory,
    Predictions,
    Replicate,
    RunRecord,
    read_record,
    write_record,
)
from edge_tester.core.run.recording import closed
from edge_tester.core.run.tally import Tally, of_all, settled

SUFFIX = ".journal"
_VERSION = 2
_REASON = "the process that measured it ended without a word; recovered from its journal"
_REMARK = (
    "Recovered from the journal of a run that did not end by itself: how many values the model's "
    "inputs could not hold was not kept."
)


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The first line."""

    version: int
    record: RunRecord


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """One block of a replicate; none where the cold inference is an answer."""

    block: Block | None
    predictions: Predictions
    quality: Quality
    cold_start: ColdStart
    memory: Memory
    replicate: int = 0
    started: str = ""
    idle_w: dict[str, float] = {}


class Journal:
    """A journal that this process has locked; made by :func:`open_journal`.

    Parameters
    ----------
    path : Path
    descriptor : int
        Of the file, open for writing.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.blocks = 0
        self._descriptor = descriptor
        self._length = 0
        self._encode = msgspec.json.Encoder().encode

    @property
    def advice(self) -> str:
        """What to do where the record cannot be written."""
        return (
            f"What was measured is kept in {self.path}: make room, then "
            f"'edge-tester recover {self.path}' makes a record of it."
        )

    def begin(self, record: RunRecord) -> None:
        """Write the first line."""
        self._write(Opened(_VERSION, record))
        os.fsync(self._descriptor)

    def keep(self, tally: Tally, block: Block | None, predictions: Predictions) -> None:
        """Write what came of a block.

        Raises
        ------
        RecordError
            The file cannot be written; what is in it stays whole.
        """
        quality = tally.evaluation.summary()
        place = tally.number, tally.started, tally.idle_w
        self._write(Kept(block, predictions, quality, tally.cold_start, tally.memory, *place))
        self.blocks += block is not None

    def remove(self) -> None:
        """Remove the file: all that is in it is in a record, or it is nothing."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _write(self, line: Opened | Kept) -> None:
        content = memoryview(self._encode(line) + b"\n")
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError as error:
            os.ftruncate(self._descriptor, self._length)
            raise RecordError(
                f"The journal {self.path} cannot be written: {error.strerror}."
            ) from error
        self._length += written


def journal_of(record: Path) -> Path:
    """Return where the journal of a record is."""
    return record.with_name(record.name + SUFFIX)


@contextlib.contextmanager
def open_journal(record: Path, tell: Callable[[str], None]) -> Iterator[Journal]:
    """Make and lock the journal of a record for the time of a run.

    What an earlier run left there, one that was killed, becomes a record of its own first.

    Parameters
    ----------
    record : Path
    tell : callable
        Hears of what was recovered.

    Raises
    ------
    RecordError
        Another process measures the same record now, or the file cannot be used.
    """
    path = journal_of(record)
    descriptor = _locked(path, os.O_RDWR | os.O_CREAT)
    try:
        if os.fstat(descriptor).st_size:
            found = _recovered(path, record)
            told = f"recovered into {found}" if found else "it had measured nothing"
            told = "its record holds all of it" if found == record else told
            tell(f"An earlier run of {record} did not end by itself: {told}")
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        journal = Journal(path, descriptor)
        try:
            yield journal
        finally:
            if not journal.blocks:
                journal.remove()
    finally:
        os.close(descriptor)


def recover(path: Path) -> Path:
    """Make a record of a journal, and remove the journal.

    Parameters
    ----------
    path : Path
        A journal, or the record that it belongs to.

    Returns
    -------
    Path
        The record: the one that the run was to write if there is none or it is this run's, else
        one beside it.

    Raises
    ------
    RecordError
        There is no such journal, its run still goes on, or nothing was measured.
    """
    journal = path if path.name.endswith(SUFFIX) else journal_of(path)
    if not journal.exists():
        raise RecordError(f"There is no journal {journal}: nothing is to be recovered.")
    descriptor = _locked(journal, os.O_RDWR)
    try:
        found = _recovered(journal, journal.with_name(journal.name[: -len(SUFFIX)]))
        if found is None:
            raise RecordError(f"The journal {journal} has no measured block.")
        journal.unlink()
        return found
    finally:
        os.close(descriptor)


def read_journal(path: Path) -> RunRecord | None:
    """Return what a journal holds as an incomplete record, None if that is nothing.

    A last line that is torn does not count.

    Raises
    ------
    RecordError
        It is no journal of this version.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    decode = msgspec.json.Decoder(Opened | Kept).decode
    found: list[Any] = []
    for line in lines:
        try:
            found.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not found:
                raise RecordError(f"{path} is no journal of a run: {error}") from error
            break
    if not found or not isinstance(found[0], Opened):
        return None
    opened, *kept = found
    if opened.version != _VERSION:
        raise RecordError(
            f"{path} is a journal of version {opened.version}, this edge_tester reads version "
            f"{_VERSION}."
        )
    return _record_of(opened, kept)


def _record_of(opened: Opened, kept: list[Kept]) -> RunRecord | None:
    replicates = _replicates(kept)
    if not replicates:
        return None
    last = kept[-1]
    truth = [value for one in kept for value in one.predictions.truth or []]
    index = [value for one in kept for value in one.predictions.index]
    predicted = [value for one in kept for value in one.predictions.predicted]
    scores = [value for one in kept for value in one.predictions.scores or []]
    return closed(
        opened.record,
        replicates,
        Predictions(
            index=index,
            truth=of_all(truth, index),
            predicted=settled(predicted, last.quality),
            scores=of_all(scores, index) or None,
        ),
        last.quality,
        incomplete_reason=_REASON,
        remarks=[*opened.record.remarks, _REMARK],
    )


def _replicates(kept: Sequence[Kept]) -> list[Replicate]:
    """Return the replicates that have a block; all but the last one of them have ended."""
    found = []
    for number, group in itertools.groupby(kept, lambda one: one.replicate):
        lines = list(group)
        blocks = [one.block for one in lines if one.block is not None]
        if blocks:
            last = lines[-1]
            found.append(
                Replicate(
                    started=last.started,
                    cold_start=last.cold_start,
                    memory=last.memory,
                    idle_w=last.idle_w,
                    blocks=blocks,
                    complete=number < kept[-1].replicate,
                )
            )
    return found


def _recovered(journal: Path, record: Path) -> Path | None:
    """Return the record of what a journal holds, which is written unless there is one."""
    found = read_journal(journal)
    if found is None:
        return None
    if _is_written(found, record):
        return record
    path = _free(record)
    write_record(msgspec.structs.replace(found, name=path.stem), path)
    return path


def _is_written(found: RunRecord, path: Path) -> bool:
    """Tell whether a run was killed after it had written its record: same blocks, same times."""
    try:
        written = read_record(path)
    except RecordError:
        return False
    return [one.blocks for one in written.replicates] == [one.blocks for one in found.replicates]


def _free(record: Path) -> Path:
    """Return a name that no file has: nobody's record is overwritten."""
    path, number = record, 1
    while path.exists():
        number += 1
        ending = "-recovered" if number == 2 else f"-recovered-{number - 1}"
        path = record.with_name(f"{record.stem}{ending}{record.suffix}")
    return path


def _locked(path: Path, flags: int) -> int:
    """Open and lock a file; one that another process removes meanwhile is opened anew."""
    while True:
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise RecordError(f"The journal {path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise RecordError(
                f"{path} is written by another process, which measures the same record now: wait "
                "until it has ended, or choose another name."
            ) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
