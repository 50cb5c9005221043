"""The parts of a run record; their JSON Schema is generated from the classes below."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edge_tester.core.tensors import TensorSpec


def about(text: str) -> msgspec.Meta:
    """Describe a field in the schema."""
    return msgspec.Meta(description=text)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of a record."""


class ColdStart(Part, frozen=True, kw_only=True):
    """What happens once, never mixed with the steady state."""

    load_ns: Annotated[int | None, about("Loading the model on the target [ns]")] = None
    first_inference_ns: Annotated[
        int | None, about("The first inference after loading, on the target [ns]")
    ] = None


class Memory(Part, frozen=True, kw_only=True):
    """Resident memory of the process that ran the model."""

    peak_bytes: Annotated[int | None, about("Peak resident set of the whole process")] = None
    before_load_bytes: Annotated[int | None, about("Resident set before the model was loaded")] = (
        None
    )
    load_peak_bytes: Annotated[
        int | None, about("Peak resident set until the model was loaded")
    ] = None
    inference_peak_bytes: Annotated[
        int | None, about("Peak resident set after that; None where the two cannot be told apart")
    ] = None


class Block(Part, frozen=True, kw_only=True):
    """Consecutive inferences that were asked for together."""

    start_ns: Annotated[int, about("Begin of the block, by the target's own clock [ns]")]
    target_ns: Annotated[
        list[int],
        about("Time of the runtime's run of each, by the target's own clock; authoritative [ns]"),
    ]
    host_ns: Annotated[
        list[int],
        about(
            "Time of the same inferences by the host's clock; a cross-check only. One for each "
            "inference, or one for the whole block; empty where host and target are one process "
            "[ns]"
        ),
    ] = []
    arrivals_ns: Annotated[
        list[int],
        about(
            "When each was to begin, from the block's start on; below 0 where it arrived during "
            "the block before. Empty where each followed the one before [ns]"
        ),
    ] = []
    begins_ns: Annotated[
        list[int],
        about(
            "When each really began, from the block's start on, by the target's own clock; empty "
            "where each is a result and none has an arrival [ns]"
        ),
    ] = []
    untimed: Annotated[int, about("Inferences right before the first one that nobody timed")] = 0
    cpu_time_ns: Annotated[
        int | None,
        about(
            "User and system time of all threads of the process that ran the model, over the timed "
            "inferences, setting inputs and reading outputs included [ns]"
        ),
    ] = None
    counters: Annotated[
        dict[str, int], about("By how much further counters of the target grew over the block")
    ] = {}
    readings: Annotated[
        dict[str, float], about("By how much the counters of meters grew over the block")
    ] = {}


class PatternFacts(Part, frozen=True, kw_only=True):
    """What of the inferences is a result: what the load pattern asked."""

    kind: Annotated[
        Literal["inference", "query", "deadline", "throughput"],
        about(
            "The latency of each; the latency of so many together, from their arrival if they have "
            "one; whether each ended in time; how many were done in which time"
        ),
    ] = "inference"
    inferences_per_query: Annotated[
        int, msgspec.Meta(ge=1, description="Inferences that count as one query")
    ] = 1
    deadline_ns: Annotated[
        int | None, about("Time from an arrival until its inference must have ended [ns]")
    ] = None
    power_mw: Annotated[
        float | None, about("What somebody says that the target draws while it infers [mW]")
    ] = None
    battery_mwh: Annotated[float | None, about("What somebody says that a battery holds [mWh]")] = (
        None
    )


class Replicate(Part, frozen=True, kw_only=True):
    """One fresh process that loaded the model anew, and all blocks that it ran."""

    started: Annotated[str, about("Start, UTC, ISO 8601")]
    cold_start: ColdStart = ColdStart()
    memory: Memory = Memory()
    idle_w: Annotated[
        dict[str, float],
        about(
            "Power while nothing ran, right before the load, by the names of counters of energy [W]"
        ),
    ] = {}
    blocks: list[Block] = []
    complete: Annotated[bool, about("False if it ended early; the blocks that are here are whole")]

    @property
    def target_ns(self) -> list[int]:
        """Time of every inference but the cold ones, by the target's clock, in their order [ns]."""
        return [time_ns for block in self.blocks for time_ns in block.target_ns]

    @property
    def cpu_time_ns(self) -> int | None:
        """Processor time of all blocks, None if one of them does not tell [ns]."""
        times_ns = [block.cpu_time_ns for block in self.blocks]
        known_ns = [time_ns for time_ns in times_ns if time_ns is not None]
        return sum(known_ns) if known_ns and len(known_ns) == len(times_ns) else None


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
        about("Part of the weight values that are quantized integers, read back from the file"),
    ] = None
    weight_elements: Annotated[
        dict[str, int], about("Number of weight values per dtype, read back from the file")
    ] = {}
    compiler_facts: Annotated[
        dict[str, Any],
        about("What its compiler tells of it: tool versions, mapped operators, tuning"),
    ] = {}
    parents: Annotated[
        list[dict[str, Any]], about("Files it was made from, nearest first: name, format, sha256")
    ] = []


class Predictions(Part, frozen=True, kw_only=True):
    """Per sample, in the order of the measurement."""

    index: Annotated[list[int], about("Index of the sample in the data set")]
    truth: list[Any] | None
    predicted: list[Any]
    scores: Annotated[
        list[float | None] | None,
        about(
            "Where there are two classes: the single score, or the score of class 1 less that of "
            "class 0, which sort the samples; None for one that is no number"
        ),
    ] = None


class Component(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One class that took part, with all its options."""

    role: str
    name: Annotated[str, about("Dotted path of the class")]
    options: dict[str, Any]
    versions: Annotated[
        dict[str, str], about("Of the packages that decide what a compiler makes")
    ] = {}
    facts: Annotated[dict[str, Any], about("What a compiler tells of what it made")] = {}


class Machine(Part, frozen=True, kw_only=True):
    """One machine as it was during the run."""

    hostname: str
    system: str
    architecture: str
    cpu_model: str | None = None
    cpu_count: Annotated[int | None, about("Processors that the process might use")] = None
    cpus: Annotated[
        list[int] | None, about("Processors that could be used, by number; absent for all")
    ] = None
    priority: Annotated[int | None, about("Niceness; below 0 comes before others")] = None
    cpu_installed: Annotated[int | None, about("Processors that the machine has")] = None
    governor: Annotated[str | None, about("Frequency governor; None if not readable")] = None
    memory_bytes: int | None = None
    load_average: Annotated[list[float] | None, about("1, 5 and 15 minutes")] = None
    clock_epoch_ns: Annotated[
        int | None, about("Unix time at which the clock of blocks was 0 [ns]")
    ] = None
    boot_id: Annotated[str | None, about("The same on host and target: one machine")] = None
    versions: Annotated[dict[str, str], about("Python and the packages that took part")] = {}
