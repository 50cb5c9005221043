"""Run records: what one benchmark measured, as one versioned JSON file.

Raw values are primary; statistics are computed when a record is read. The JSON
Schema of a record is generated from the classes (:func:`record_schema`).
"""

from __future__ import annotations

import html
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import RecordError
from edge_tester.core.figures import Quality
from edge_tester.core.results.figures import Figure, figures_of, told
from edge_tester.core.results.parts import (
    Block,
    ColdStart,
    Component,
    Machine,
    Memory,
    ModelFacts,
    Part,
    PatternFacts,
    Predictions,
    Replicate,
    about,
)
from edge_tester.core.results.profile import OperatorTime, Profile
from edge_tester.core.results.tables import rows_of
from edge_tester.core.results.version1 import upgraded
from edge_tester.core.system.files import write_atomically
from edge_tester.core.system.temporary import prefix_of

__all__ = [
    "Block",
    "ColdStart",
    "Component",
    "Machine",
    "Memory",
    "ModelFacts",
    "OperatorTime",
    "PatternFacts",
    "Predictions",
    "Profile",
    "Replicate",
    "RunRecord",
    "read_record",
    "record_schema",
    "require_encodable",
    "require_writable",
    "write_record",
]

SCHEMA_VERSION: Final = 2


class RunRecord(Part, frozen=True, kw_only=True):
    """One benchmark: what was run, where, and everything that was measured."""

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str
    created: Annotated[str, about("Start, UTC, ISO 8601")]
    complete: Annotated[bool, about("False if the run was interrupted; what is here is valid")]
    incomplete_reason: str | None = None
    command_line: list[str]
    together: Annotated[
        str | None,
        about(
            "The same in all runs that were measured together: the replicates of one number ran in "
            "the same minutes, their blocks in random order where the target can hold several "
            "models"
        ),
    ] = None
    batch_size: Annotated[int, about("Samples per inference")]
    components: list[Component]
    model: ModelFacts
    replicates: list[Replicate]
    host_interval: Annotated[
        Literal["flight", "between_oks"],
        about(
            "What host_ns spans: from sending the requests of a block to having heard all "
            "answers; or the time between OK (started) and OK (finished)"
        ),
    ] = "flight"
    pace: Annotated[
        Literal["loop", "isolated"],
        about(
            "Whether inferences came right after others, timed or not, so that their time is that "
            "of a loop, or each after a pause or when it arrived"
        ),
    ] = "loop"
    pattern: PatternFacts = PatternFacts()
    quality: Quality
    predictions: Predictions
    class_names: list[str] = []
    runtime_facts: Annotated[
        dict[str, Any], about("What the runtime really used: kernels, providers, threads")
    ] = {}
    input_facts: Annotated[
        dict[str, dict[str, Any]],
        about("Of each input: range of the values, and how many it could not hold"),
    ] = {}
    dataset_facts: Annotated[
        dict[str, Any], about("What the data set did to its samples to fit the model")
    ] = {}
    profile: Annotated[
        Profile | None,
        about("Time per operator, of a run of its own; null where nobody asked for it"),
    ] = None
    remarks: Annotated[list[str], about("Doubts about the figures, in words")] = []
    target: Machine
    host: Machine

    @property
    def blocks(self) -> list[Block]:
        """All blocks in their order."""
        return [block for replicate in self.replicates for block in replicate.blocks]

    @property
    def target_ns(self) -> list[int]:
        """Time of every inference but the cold ones, by the target's clock, in their order [ns]."""
        return [time_ns for block in self.blocks for time_ns in block.target_ns]

    @property
    def host_ns(self) -> list[float]:
        """Time by the host's clock, for each inference or for each block shared by its own [ns]."""
        return [
            time_ns
            if len(block.host_ns) == len(block.target_ns)
            else time_ns / len(block.target_ns)
            for block in self.blocks
            for time_ns in block.host_ns
        ]

    @property
    def cold_start(self) -> ColdStart:
        """That of the first replicate."""
        return self.replicates[0].cold_start if self.replicates else ColdStart()

    @property
    def memory(self) -> Memory:
        """That of the replicate with the highest peak."""
        found = [one.memory for one in self.replicates]
        return max(found, key=lambda memory: memory.peak_bytes or 0, default=Memory())

    @property
    def cpu_time_ns(self) -> int | None:
        """Processor time of all blocks, None if one of them does not tell [ns]."""
        times_ns = [block.cpu_time_ns for block in self.blocks]
        known_ns = [time_ns for time_ns in times_ns if time_ns is not None]
        return sum(known_ns) if known_ns and len(known_ns) == len(times_ns) else None

    def figures(self) -> list[Figure]:
        """Return the figures with their units, as reports have them."""
        return figures_of(self)

    def summary(self) -> str:
        """Return name and figures as text, one in each line, in the units of reports."""
        figures = self._told()
        width = max(len(title) for title, _ in figures)
        return "\n".join([self._title, *(f"{title:<{width}}  {text}" for title, text in figures)])

    def _repr_html_(self) -> str:
        """Return the same as a table, which notebooks show."""
        rows = "".join(
            f"<tr><th>{html.escape(title)}</th><td>{html.escape(text)}</td></tr>"
            for title, text in self._told()
        )
        return f"<table><caption>{html.escape(self._title)}</caption>{rows}</table>"

    def _told(self) -> list[tuple[str, str]]:
        return [(one.title, told(one, self.quality.samples)) for one in self.figures()]

    @property
    def _title(self) -> str:
        return self.name if self.complete else f"{self.name} (incomplete: {self.incomplete_reason})"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each inference but the cold ones.

        Its columns are ``replicate``, ``block`` (in the replicate) and ``inference`` (in the
        block), all from 0, and ``target_ns``; ``host_ns`` where the host timed each inference.

        Raises
        ------
        BackendMissingError
        """
        columns = ("replicate", "block", "inference", "target_ns", "host_ns")
        frame = backend("pandas", "RunRecord.to_pandas").DataFrame(
            rows_of([self], "inference"), columns=columns
        )
        return frame.astype({"host_ns": "Int64"})


_FIELDS = RunRecord.__struct_fields__


class _Versioned(msgspec.Struct):
    schema_version: int


def require_writable(path: Path) -> RunRecord | None:
    """See whether a record can be written, before the work that it is to keep.

    Returns
    -------
    RunRecord or None
        The earlier record that it would replace.

    Raises
    ------
    RecordError
        It cannot, or a file that is no run record is in its place.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"The name of a run record must be UTF-8, got {str(path)!a}.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # With the name itself: it may be too long, or hold what no name may.
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=prefix_of(path), suffix=path.suffix
        ):
            pass
    except OSError as error:
        raise RecordError(f"The run record {path} cannot be written: {error.strerror}.") from error
    except ValueError as error:
        raise RecordError(f"The run record {str(path)!a} cannot be written: {error}.") from error
    if not path.exists():
        return None
    try:
        return read_record(path)
    except RecordError as error:
        # Somebody's other file is not to be lost.
        raise RecordError(f"{error}; it would be overwritten: choose another name.") from error


def require_encodable(**parts: Any) -> None:
    """See whether what is to be recorded can be, before the work that it is to keep.

    Raises
    ------
    RecordError
        Something is no value of JSON, such as a number or text of numpy, or no UTF-8.
    """
    for name, value in parts.items():
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise RecordError(
                f"{name} cannot be kept in a run record: {error} (got {_misfit(value)!a})."
            ) from error


def _misfit(value: Any) -> Any:
    """Return the innermost value that JSON cannot say, which may be deep in others."""
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        inner = list(value)
    for one in inner:
        try:
            msgspec.json.encode(one)
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
            return _misfit(one)
    return value


def write_record(record: RunRecord, path: Path) -> None:
    """Write a record atomically; what follows from its raw values is left out.

    Raises
    ------
    RecordError
        It cannot be written, or holds what JSON cannot say.
    """
    stored = msgspec.structs.replace(record, quality=record.quality.without_classes())
    require_encodable(**{f"The field {name!r}": getattr(stored, name) for name in _FIELDS})
    content = _lines(msgspec.to_builtins(stored)).encode()
    try:
        write_atomically(path, content + b"\n")
    except OSError as error:
        raise RecordError(f"The run record {path} cannot be written: {error.strerror}.") from error


def read_record(path: Path) -> RunRecord:
    """Read and validate a record.

    Raises
    ------
    RecordError
        The file is missing or no record of this schema version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"The run record {path} cannot be read: {error.strerror}.") from error
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema_version
        if version == SCHEMA_VERSION:
            return with_classes(msgspec.json.decode(content, type=RunRecord))
        if version == 1:
            return with_classes(msgspec.convert(upgraded(msgspec.json.decode(content)), RunRecord))
    # The latter two: texts that are no UTF-8, and nesting without end.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no run record of version {SCHEMA_VERSION}: {error}"
        ) from error
    raise RecordError(
        f"{path} is a run record of version {version}, this edge_tester reads versions 1 to "
        f"{SCHEMA_VERSION}: a later one may read it."
    )


def with_classes(record: RunRecord) -> RunRecord:
    """Return a record with the figures of its classes, which no file holds."""
    kept = record.predictions
    quality = record.quality.with_classes(kept.truth, kept.predicted, record.class_names)
    return msgspec.structs.replace(record, quality=quality)


def _lines(content: dict[str, Any]) -> str:
    """Return JSON with one line for each key, so that two records compare by lines."""
    pairs = (
        f" {json.dumps(key)}: {msgspec.json.encode(value).decode()}"
        for key, value in content.items()
    )
    return "{\n" + ",\n".join(pairs) + "\n}"


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run record."""
    return msgspec.json.schema(RunRecord)
