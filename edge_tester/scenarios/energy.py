"""Add what an external meter read to a record: ``edge-tester energy``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_tester.core.record import read_record, write_record
from edge_tester.core.results.externalmeter import (
    begin_by_blocks,
    begin_by_clock,
    read_trace,
    with_energy,
)
from edge_tester.scenarios._program import guard
from edge_tester.scenarios._show import show


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester energy",
        description="Add the energy that an external meter has read during a run to a copy of its "
        "record. The meter reads from before the run until a few seconds after it, which tell what "
        "idling takes. Its CSV file has a line of names, and columns whose names begin with time "
        "and power, or time, voltage and current, and end in their units: time_s,power_mw.",
        allow_abbrev=False,
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="run record")
    parser.add_argument("readings", type=Path, metavar="CSV", help="what the meter read")
    parser.add_argument(
        "--align",
        choices=("time", "blocks"),
        default="time",
        help="by the clocks of both, as Unix times; or where the run's blocks are found in the "
        "readings (default: time)",
    )
    parser.add_argument(
        "--offset-s",
        type=float,
        default=0.0,
        metavar="FLOAT",
        help="added to the meter's times, where its clock is behind [s] (default: 0)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="record to write; by default beside the other one, with -energy in its name",
    )
    chosen = parser.parse_args(arguments)
    record, trace = read_record(chosen.record), read_trace(chosen.readings)
    trace = trace._replace(times_s=trace.times_s + chosen.offset_s)
    zero_s = (
        begin_by_blocks(trace, record.replicates)
        if chosen.align == "blocks"
        else begin_by_clock(trace, record.target.clock_epoch_ns)
    )
    replicates, idle_w = with_energy(record.replicates, trace, zero_s)
    own = chosen.record.with_name(f"{chosen.record.stem}-energy{chosen.record.suffix}")
    path = chosen.output or own
    remarks = [f"Energy is that of an external meter, {chosen.readings.name}."]
    if idle_w is None:
        remarks.append(
            "What idling takes is not known, so that it is part of the energy: the meter has to "
            "read on for two seconds after the run."
        )
    found = msgspec.structs.replace(
        record, name=path.stem, replicates=replicates, remarks=[*record.remarks, *remarks]
    )
    write_record(found, path)
    show(found, path)


if __name__ == "__main__":
    sys.exit(guard(main))
