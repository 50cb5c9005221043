"""Phases of a run: each leaves a file, and is done again only if what it rests on has changed."""

from __future__ import annotations

import datetime
import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.run.observer import Observer
from edge_tester.core.system.files import write_atomically

_logger = logging.getLogger(__name__)


class Impossible(EdgeTesterError):
    """A phase has nothing to do here; its message says why."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a phase.

    Attributes
    ----------
    name : str
        Number and word, which is also the name of its file.
    title : str
    status : str
        ``done``; ``failed``; ``impossible``, where there was nothing to do.
    reason : str
        Why it is not done.
    key : str
        Hash of all that it rests on.
    began, ended : str
        UTC, ISO 8601.
    content : dict
        What it found; JSON can hold it.
    """

    name: str
    title: str
    status: Literal["done", "failed", "impossible"]
    reason: str = ""
    key: str = ""
    began: str
    ended: str
    content: dict[str, Any] = {}


class Phases:
    """Goes through phases; the rest goes on where one fails.

    Parameters
    ----------
    directory : Path
        Of the run.
    observer : Observer
    """

    def __init__(self, directory: Path, observer: Observer) -> None:
        self._directory = directory
        self._observer = observer
        self.done: list[Phase] = []

    def run(
        self,
        name: str,
        title: str,
        work: Callable[[], Any],
        rests_on: object = None,
        files: Callable[[dict[str, Any]], Iterable[Path]] = lambda content: (),
    ) -> dict[str, Any]:
        """Do a phase, unless its file says that it was done with the same.

        Parameters
        ----------
        name, title : str
        work : callable
            Returns what was found; JSON can hold it.
        rests_on : object, optional
            All that decides what is found; JSON can hold it. None does it each time.
        files : callable
            Gives what was written besides, of what was found; it is done again if one is gone.

        Returns
        -------
        dict
            What was found, empty if it failed.
        """
        key = _hash(rests_on) if rests_on is not None else ""
        earlier = _read(self._directory / f"{name}.json")
        same = earlier is not None and earlier.status == "done" and earlier.key == key
        if earlier is not None and key and same and all(p.exists() for p in files(earlier.content)):
            self._observer.tell(f"{title}: done before")
            self.done.append(earlier)
            return earlier.content
        self._observer.tell(title)
        began, content, status, reason = _now(), {}, "done", ""
        try:
            content = msgspec.to_builtins(work(), enc_hook=str)
        except Impossible as error:
            status, reason = "impossible", str(error)
        except EdgeTesterError as error:
            status, reason = "failed", str(error)
        # A defect, or what a framework raises, must not take the other phases along.
        except Exception as error:
            _logger.exception("%s failed", title)
            status, reason = "failed", f"{type(error).__name__}: {error}"
        if status != "done":
            self._observer.tell(f"{title} {status}: {reason}")
        phase = msgspec.convert(
            {
                **{"name": name, "title": title, "status": status, "reason": reason, "key": key},
                **{"began": began, "ended": _now(), "content": content},
            },
            Phase,
        )
        text = msgspec.json.format(msgspec.json.encode(phase), indent=1)
        write_atomically(self._directory / f"{name}.json", text)
        self.done.append(phase)
        return phase.content


def _hash(value: object) -> str:
    content = msgspec.json.encode(value, enc_hook=str, order="deterministic")
    return hashlib.sha256(content).hexdigest()


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _read(path: Path) -> Phase | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Phase)
    except (OSError, msgspec.DecodeError):
        # It was not reached, or is of another version: as if it were not there.
        return None
