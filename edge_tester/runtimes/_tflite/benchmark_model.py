"""LiteRT's own benchmark_model, a program with a profiler, where the target has it.

Source: tensorflow/lite/tools/benchmark (its flags), tensorflow/lite/profiling/profile_summarizer.cc
and profile_summary_formatter.cc (sections), tensorflow/core/util/stats_calculator.cc (the table;
the average is of one call, and the calls are those of one inference, 0 in old versions).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_tester.core.profiles import OperatorTime, Profile, told, unavailable
from edge_tester.core.system.processes import ended_with_this

PROGRAM = "benchmark_model"
TOOL = "benchmark_model --enable_op_profiling"
_LIMIT_S = 45.0
_STEP_NS = 1000
_NS_PER_MS = 1e6
_REGULAR = "Profiling Info for Regular Benchmark Runs"
_TABLE, _INSIDE = "= Run Order =", "Delegate internal"
_COLUMNS = ("[node type]", "[avg ms]", "[times called]", "[Name]")
_WHOLE = re.compile(r"Inference \(avg\): ([\d.e+]+)")


def found() -> str | None:
    """Return where the program is, None if it is not there."""
    return shutil.which(PROGRAM)


def profile(
    program: str,
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    options: Mapping[str, str],
    count: int,
) -> Profile:
    """Return the times that the program tells.

    Parameters
    ----------
    program : str
        Where it is.
    path : Path
        The model.
    shapes : mapping of str to sequence of int
        Of the inputs, by name.
    options : mapping of str to str
        Further flags.
    count : int
        Inferences.
    """
    flags = {
        "graph": str(path),
        "enable_op_profiling": "true",
        "num_runs": str(count),
        "min_secs": "0.001",
        "warmup_runs": "2",
        "warmup_min_secs": "0.001",
        "input_layer": ",".join(shapes),
        "input_layer_shape": ":".join(",".join(map(str, one)) for one in shapes.values()),
        **options,
    }
    command = [program, *(f"--{name}={value}" for name, value in flags.items())]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            preexec_fn=ended_with_this(),
        )
    except PermissionError as error:
        return unavailable(
            TOOL,
            f"Models may start no program on this target ({error.strerror}): start its agent with "
            "--isolation files to have times from it.",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return unavailable(TOOL, f"It did not run to its end: {error}")
    if ended.returncode:
        words = " ".join((ended.stderr or ended.stdout).split())[-300:]
        return unavailable(TOOL, f"It ended with status {ended.returncode}: {words}")
    return profile_in(f"{ended.stdout}\n{ended.stderr}", count)


def profile_in(text: str, count: int) -> Profile:
    """Return the times in what the program printed."""
    # Before it, the same table tells of loading.
    _, _, regular = text.rpartition(_REGULAR)
    graph, *inside = regular.split(_INSIDE)
    rows = _rows(graph)
    if not rows:
        return unavailable(TOOL, "It printed no table of operators.")
    delegated = [number for number, row in enumerate(rows) if "delegate" in row[0].lower()]
    insides = [_rows(part) for part in inside]
    names: list[str | None] = [row[0] if n in delegated else None for n, row in enumerate(rows)]
    if len(delegated) == len(insides) == 1 and insides[0]:
        # The delegate's operators instead of the one that stands for them.
        (place,) = delegated
        delegate = rows[place][0]
        rows[place : place + 1] = insides[0]
        names[place : place + 1] = [delegate] * len(insides[0])
    operators = [
        OperatorTime(place=place, type=kind, name=name, time_ns=time_ns, delegate=delegate)
        for place, ((kind, name, time_ns), delegate) in enumerate(zip(rows, names, strict=True))
    ]
    whole = _WHOLE.findall(text)
    return told(
        TOOL,
        operators,
        count,
        statistic="mean",
        resolution_ns=_STEP_NS,
        whole_ns=round(float(whole[-1]) * 1000) if whole else None,
        remarks=["benchmark_model fills inputs with random numbers of its own."],
    )


def _rows(text: str) -> list[tuple[str, str, int]]:
    """Return type, name and time [ns] of the operators in the first table of a text."""
    _, _, table = text.partition(_TABLE)
    columns: list[str] = []
    rows = []
    for line in table.splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip().split("\t")]
        if not columns:
            if not all(name in cells for name in _COLUMNS):
                break
            columns = cells
        elif len(cells) != len(columns):
            break
        else:
            row = dict(zip(columns, cells, strict=True))
            kind, time_ms, calls, name = (row[one] for one in _COLUMNS)
            rows.append((kind, name, round(float(time_ms) * _NS_PER_MS * max(1, int(calls)))))
    return rows
