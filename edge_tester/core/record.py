"""Run records: what one benchmark measured, as one versioned JSON file.

Raw values are primary; statistics are computed when a record is read. The JSON
Schema of a record is generated from the classes below (:func:`record_schema`).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from edge_tester.core.errors import RecordError
from edge_tester.core.figures import Quality
from edge_tester.core.system.files import write_atomically
from edge_tester.core.tensors import TensorSpec

SCHEMA_VERSION: Final = 1


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of a record."""


class Latency(Part, frozen=True, kw_only=True):
    """Every raw inference in order, the cold one excluded."""

    target_ns: Annotated[
        list[int],
        _about("Time of the runtime's run by the target's own clock; authoritative [ns]"),
    ]
    host_ns: Annotated[
        list[int],
        _about(
            "Time of the same inferences by the host's clock, with the link and, where warmed, "
            "the untimed inference; a cross-check only; empty where host and target are one "
            "process [ns]"
        ),
    ]
    host_interval: Annotated[
        Literal["flight", "between_oks"],
        _about(
            "What host_ns spans: the whole flight of a sample, from sending its requests to "
            "having heard all answers; or the time between OK (started) and OK (finished)"
        ),
    ] = "flight"
    warmed: Annotated[
        bool,
        _about(
            "Whether each timed inference came right after an untimed one of the same input, "
            "so that its time is that of a loop and not of the first after a pause"
        ),
    ] = False


class ColdStart(Part, frozen=True, kw_only=True):
    """What happens once, never mixed with the steady state."""

    load_ns: Annotated[int | None, _about("Loading the model on the target [ns]")] = None
    first_inference_ns: Annotated[
        int | None, _about("The first inference after loading, on the target [ns]")
    ] = None


class Memory(Part, frozen=True, kw_only=True):
    """Resident memory of the process that ran the model."""

    peak_bytes: Annotated[int | None, _about("Peak resident set of the whole process")] = None
    before_load_bytes: Annotated[int | None, _about("Resident set before the model was loaded")] = (
        None
    )


class Cpu(Part, frozen=True, kw_only=True):
    """Processor time of the process that ran the model."""

    time_ns: Annotated[
        int | None, _about("User and system time of all its threads over the measured part [ns]")
    ] = None


class ModelFacts(Part, frozen=True, kw_only=True):
    """The model that ran, as a file and as tensors."""

    name: str
    format: str
    size_bytes: int
    sha256: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    quantized_weight_share: Annotated[
        float | None,
        _about("Part of the weight values that are quantized integers, read back from the file"),
    ] = None
    weight_elements: Annotated[
        dict[str, int], _about("Number of weight values per dtype, read back from the file")
    ] = {}
    compiler_facts: Annotated[
        dict[str, Any],
        _about("What its compiler tells of it: tool versions, mapped operators, tuning"),
    ] = {}
    parents: Annotated[
        list[dict[str, Any]], _about("Files it was made from, nearest first: name, format, sha256")
    ] = []


class Predictions(Part, frozen=True, kw_only=True):
    """Per sample, in the order of the measurement."""

    index: Annotated[list[int], _about("Index of the sample in the data set")]
    truth: list[Any] | None
    predicted: list[Any]


class Component(Part, frozen=True, kw_only=True):
    """One class that took part, with all its options."""

    role: str
    name: Annotated[str, _about("Dotted path of the class")]
    options: dict[str, Any]


class Machine(Part, frozen=True, kw_only=True):
    """One machine as it was during the run."""

    hostname: str
    system: str
    architecture: str
    cpu_model: str | None = None
    cpu_count: Annotated[int | None, _about("Processors that the process might use")] = None
    cpu_installed: Annotated[int | None, _about("Processors that the machine has")] = None
    governor: Annotated[str | None, _about("Frequency governor; None if not readable")] = None
    memory_bytes: int | None = None
    load_average: Annotated[list[float] | None, _about("1, 5 and 15 minutes")] = None
    boot_id: Annotated[str | None, _about("The same on host and target: one machine")] = None
    versions: Annotated[dict[str, str], _about("Python and the packages that took part")] = {}


class RunRecord(Part, frozen=True, kw_only=True):
    """One benchmark: what was run, where, and everything that was measured."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created: Annotated[str, _about("Start, UTC, ISO 8601")]
    complete: Annotated[bool, _about("False if the run was interrupted; what is here is valid")]
    incomplete_reason: str | None = None
    command_line: list[str]
    batch_size: Annotated[int, _about("Samples per inference")]
    components: list[Component]
    model: ModelFacts
    latency: Latency
    cold_start: ColdStart
    memory: Memory
    cpu: Cpu
    quality: Quality
    predictions: Predictions
    class_names: list[str] = []
    runtime_facts: Annotated[
        dict[str, Any], _about("What the runtime really used: kernels, providers, threads")
    ] = {}
    input_facts: Annotated[
        dict[str, dict[str, Any]],
        _about("Of each input: range of the values, and how many it could not hold"),
    ] = {}
    dataset_facts: Annotated[
        dict[str, Any], _about("What the data set did to its samples to fit the model")
    ] = {}
    remarks: Annotated[list[str], _about("Doubts about the figures, in words")] = []
    target: Machine
    host: Machine


_FIELDS = RunRecord.__struct_fields__


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
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
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
        record = msgspec.json.decode(content, type=RunRecord)
    # The latter two: texts that are no UTF-8, and nesting without end.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no run record of version {SCHEMA_VERSION}: {error}"
        ) from error
    return with_classes(record)


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
