"""The changes that :mod:`tests.mutations` makes, each of which must make the tests fail."""

from typing import NamedTuple

BENCH = "edge_tester/core/agent/bench.py"
SESSION = "edge_tester/core/agent/session.py"
MACHINE = "edge_tester/core/system/machine.py"
MEASURING = "edge_tester/core/run/measuring.py"
RECORD = "edge_tester/core/record.py"
RECORDING = "edge_tester/core/run/recording.py"
TALLY = "edge_tester/core/run/tally.py"
REPLICATION = "edge_tester/core/run/replication.py"
TOGETHER = "edge_tester/core/run/together.py"
VERDICTS = "edge_tester/core/results/verdicts.py"
ENERGY = "edge_tester/core/results/energy.py"
FEED = "edge_tester/core/run/feed.py"
PATTERN = "edge_tester/patterns/single_stream.py"
PATTERNS = "edge_tester/core/results/patterns.py"
PAYLOADS = "edge_tester/core/wire/payloads.py"
CLIENT = "edge_tester/core/wire/client.py"
AGREEMENT = "edge_tester/core/statistics/agreement.py"
OUTPUTS = "edge_tester/core/checking/outputs.py"
VALIDATION = "edge_tester/core/checking/validation.py"
DECISION = "edge_tester/core/pipeline/decision.py"
PHASES = "edge_tester/core/pipeline/phases.py"


class Mutation(NamedTuple):
    """One change of a file: ``old``, which is there once, becomes ``new``.

    ``tests`` are those that tell, where it is not the tests of the core.
    """

    path: str
    old: str
    new: str
    what: str
    tests: tuple[str, ...] = ()


MUTATIONS = (
    Mutation(
        SESSION,
        "        with self._turn:\n            times =",
        "        if True:\n            times =",
        "two models run at a time",
    ),
    Mutation(
        BENCH,
        "            start_ns = clock()\n            runtime.run()",
        "            runtime.run()\n            start_ns = clock()",
        "the time is that of nothing",
    ),
    Mutation(
        BENCH,
        "            runtime.run()\n            end_ns = clock()",
        "            end_ns = clock()\n            runtime.run()",
        "the time ends before the run",
    ),
    Mutation(
        BENCH,
        "starts_ns[index], ends_ns[index] = start_ns, end_ns",
        "starts_ns[index], ends_ns[index] = start_ns, start_ns + 1",
        "every time is 1 ns",
    ),
    Mutation(
        BENCH,
        "            runtime.set_inputs(slot.inputs)\n            if arrivals_ns",
        "            if arrivals_ns",
        "inputs are not set again",
    ),
    Mutation(
        BENCH,
        "            slot = slots[index % count]\n",
        "            slot = slots[0]\n",
        "all inferences are of the first sample",
    ),
    Mutation(BENCH, "for index in range(block.untimed):", "for index in range(0):", "no warm run"),
    Mutation(
        BENCH,
        "        started()\n        times = self._timed(block, slots)\n",
        "        times = self._timed(block, slots)\n        started()\n",
        "OK (started) comes after the block",
    ),
    Mutation(
        BENCH,
        "self._count(time.process_time_ns() - cpu_start_ns - waited_ns, readings)",
        "self._count(1, readings)",
        "processor time is 1 ns",
    ),
    Mutation(
        BENCH,
        "counters.cpu_time_ns = (counters.cpu_time_ns or 0) + cpu_time_ns",
        "counters.cpu_time_ns = cpu_time_ns",
        "processor time is that of the last block",
    ),
    Mutation(
        BENCH,
        "        if self.counters.inferences == 0:\n",
        "        if True:\n",
        "the first inference is that of the last block",
    ),
    Mutation(
        BENCH,
        "self.counters.inferences += inferences",
        "self.counters.inferences += 1",
        "a block counts as one inference",
    ),
    Mutation(
        BENCH,
        "grown = value - earlier[name]",
        "grown = value",
        "meters count from their own beginning",
    ),
    Mutation(
        BENCH,
        "_wait_until(begin_ns + arrivals_ns[index])",
        "_wait_until(begin_ns)",
        "inferences do not wait for their arrival",
    ),
    Mutation(
        BENCH,
        "slot.outputs = list(runtime.get_outputs())",
        "slot.outputs = runtime.get_outputs()",
        "slots share a list of outputs",
    ),
    Mutation(
        SESSION,
        "        load_ns = time.perf_counter_ns() - start_ns\n",
        "        load_ns = 1\n",
        "a load takes 1 ns",
    ),
    Mutation(
        SESSION,
        "        before_load_bytes = resident_bytes()\n",
        "        before_load_bytes = 0\n",
        "nothing was there before the load",
    ),
    Mutation(
        SESSION,
        "        reset_peak_memory()\n",
        "",
        "the peak is that of an earlier model",
    ),
    Mutation(
        MACHINE,
        "        return int(found.group(1)) * 1024\n    return resource.getrusage",
        "        return 1\n    return resource.getrusage",
        "peak memory is 1 byte",
    ),
    Mutation(
        MACHINE,
        '(_PROC_SELF / "clear_refs").write_text("5")',
        '(_PROC_SELF / "clear_refs").write_text("1")',
        "the peak is never reset",
    ),
    Mutation(
        MEASURING,
        "return [end - start for start, end in zip(answer.start_ns, answer.end_ns, strict=True)]",
        "return [1 for _ in zip(answer.start_ns, answer.end_ns, strict=True)]",
        "the host records 1 ns",
    ),
    Mutation(
        MEASURING,
        "return Start(first, counters, inference_ns, int(warmed), most)",
        "return Start(first, counters, inference_ns, 0, most)",
        "no block is warmed up",
    ),
    Mutation(
        MEASURING,
        "time_ns - earlier_ns,",
        "time_ns,",
        "processor time of a block counts from the load",
    ),
    Mutation(
        MEASURING,
        "name: value - before.readings.get(name, 0.0)",
        "name: value",
        "readings of a block count from the load",
    ),
    Mutation(
        TALLY,
        "            self._blocks.append(answers.block)\n",
        "            self._blocks[:] = [answers.block]\n",
        "only the last block is recorded",
    ),
    Mutation(
        MEASURING,
        'if measurement.classical or measurement.pace == "isolated":',
        "if measurement.classical:",
        "isolated inferences run in blocks",
    ),
    Mutation(
        PATTERN,
        "wanted = int(self.block_s * 1e9) // max(1, situation.inference_ns)",
        "wanted = 1",
        "every block is one inference",
    ),
    Mutation(
        ENERGY,
        "count, lasted_s = len(one.target_ns), sum(map(lasting_s, one.blocks))",
        "count, lasted_s = len(one.target_ns), sum(one.target_ns) / 1e9",
        "idling between inferences is energy of inferences",
    ),
    Mutation(
        FEED,
        "self._values_join: bool | None = None",
        "self._values_join: bool | None = True",
        "samples of several inferences are scaled together whatever the model does",
    ),
    Mutation(
        FEED,
        "self._answers_join: bool | None = None",
        "self._answers_join: bool | None = True",
        "answers of several inferences are judged together whatever the model does",
    ),
    Mutation(
        PATTERNS,
        "origins_ns, ends_ns = block.arrivals_ns or block.begins_ns, _ends_ns(block)",
        "origins_ns, ends_ns = block.begins_ns, _ends_ns(block)",
        "waiting is no part of a query's latency",
    ),
    Mutation(
        MEASURING,
        "since_ns = answer.end_ns[-1] - answer.begin_ns - schedule.arrivals_ns[-1]",
        "since_ns = 0",
        "nobody waits over the end of a block",
    ),
    Mutation(
        BENCH,
        "time.process_time_ns() - cpu_start_ns - waited_ns",
        "time.process_time_ns() - cpu_start_ns",
        "waiting for arrivals is processor time of the model",
    ),
    Mutation(
        RECORD,
        "return sum(known_ns) if known_ns and len(known_ns) == len(times_ns) else None",
        "return sum(known_ns)",
        "processor time of some blocks counts as that of all",
    ),
    Mutation(
        RECORD,
        "key=lambda memory: memory.peak_bytes or 0",
        "key=lambda memory: -(memory.peak_bytes or 0)",
        "the lowest peak counts",
    ),
    Mutation(
        RECORD,
        "return [time_ns for block in self.blocks for time_ns in block.target_ns]",
        "return [time_ns for block in self.blocks[:1] for time_ns in block.target_ns]",
        "only the first block is read",
    ),
    Mutation(
        REPLICATION,
        "own, self._own_left = self._own_left[:count], self._own_left[count:]",
        "own = self._own_left[:count]",
        "every replicate runs the same samples",
    ),
    Mutation(
        TALLY,
        "        if answers.again:\n",
        "        if False:\n",
        "samples that are run again are evaluated again",
    ),
    Mutation(
        TOGETHER,
        "        order.shuffle(turns)\n",
        "",
        "the same run always begins",
    ),
    Mutation(
        VERDICTS,
        "together = record.together is not None and record.together == baseline.together",
        "together = True",
        "runs that were measured apart count as pairs",
    ),
    Mutation(
        PAYLOADS,
        'struct.pack(f">{2 * count}Q", *start_ns, *end_ns)',
        'struct.pack(f">{2 * count}Q", *end_ns, *end_ns)',
        "begins are lost on the way",
    ),
    Mutation(
        CLIENT,
        "        begin_ns = time.perf_counter_ns()\n        process = ",
        "        begin_ns = time.perf_counter_ns() + 10**12\n        process = ",
        "the host's time is nonsense",
    ),
    Mutation(
        ENERGY,
        "    if moved >= needed:\n",
        "    if moved >= 1:\n",
        "a counter that moves too seldom is believed",
    ),
    Mutation(
        ENERGY,
        "        if self.least_j <= 0:\n",
        "        if self.above_idle_j <= 0:\n",
        "noise around idling is called energy",
    ),
    Mutation(
        AGREEMENT,
        "        self._noise += float(np.square(noise).sum())",
        "        self._noise += float(np.abs(noise).sum())",
        "the noise is no power",
    ),
    Mutation(
        AGREEMENT,
        "int(np.sum(finite & ~np.isfinite(theirs)))",
        "int(np.sum(~finite & ~np.isfinite(theirs)))",
        "NaN of a conversion is not counted",
    ),
    Mutation(
        OUTPUTS,
        "    if len(set(names)) == len(names) and set(names) == set(found):",
        "    if False:",
        "outputs in another order are taken for each other",
    ),
    Mutation(
        VALIDATION,
        "    if found.record.predictions.index != source.record.predictions.index:",
        "    if False:",
        "answers about other samples are compared",
    ),
    Mutation(
        VALIDATION,
        "        elif answers.least_loss > tolerances.loss:",
        "        elif answers.loss > tolerances.loss:",
        "a loss that is not shown counts as shown",
    ),
    Mutation(
        DECISION,
        "    high = known.number if known.high is None else known.high\n    if high <= limit:",
        "    high = known.number\n    if high <= limit:",
        "a threshold counts as met that the interval does not rule out",
    ),
    Mutation(
        DECISION,
        '    if one.agrees == "differs":',
        "    if False:",
        "what answers otherwise is recommended",
    ),
    Mutation(
        PHASES,
        'earlier.status == "done" and earlier.key == key\n',
        'earlier.status == "done"\n',
        "a phase is not done again though what it rests on has changed",
    ),
)
