"""What must hold after each kill."""

import collections
import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from _killed import STANDING, Home, House, becomes_true, kill
from _killed_network import RUN_LIMIT_S, Lab, Network

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.record import read_record
from edge_tester.core.run.journal import SUFFIX, recover
from edge_tester.core.tensors import specs_of
from edge_tester.core.wire.payloads import Hello, Loaded
from tests.agents import SampleClient

# What is killed has ended long before.
END_S = 10.0
# What a process of Python keeps and gives by itself.
RESIDENT_KB = 16_000


class Checks:
    """Counts kills, and keeps what was wrong after them."""

    def __init__(self, lab: Lab, seed: int, only: str = "") -> None:
        self.lab, self.only = lab, only
        self.random = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.waits_s: dict[str, list[float]] = collections.defaultdict(list)
        self.wrong: list[str] = []
        self.typical_s = 4.0
        self.name = ""
        self.number = 0
        self.before: dict[int, dict[str, int]] = {}

    def chosen(
        self, kinds: dict[str, Callable[[], None]], rounds: int, end_s: float
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        """Give rounds in random order."""
        wanted = [name for name in kinds if self.only in name]
        for _ in range(rounds if wanted else 0):
            if time.monotonic() > end_s:
                return
            name = self.random.choice(wanted)
            yield name, kinds[name]

    def begin(self, name: str) -> None:
        """Count a round."""
        self.number += 1
        self.name = name
        self.counts[name] += 1

    def complain(self, what: str) -> None:
        """Keep and say what is wrong."""
        self.wrong.append(f"{self.number}. {self.name}: {what}")
        print(f"WRONG {self.wrong[-1]}", flush=True)

    def moment(self, longest_s: float) -> None:
        """Wait for a random time."""
        time.sleep(self.random.uniform(0, longest_s))

    def again(self, net: Network) -> None:
        """Kill the agent, and start it again at once."""
        net.house.kill()
        self.start(net.house)

    def start(self, house: House) -> None:
        """Start an agent, which must say so in time."""
        begin_s = time.monotonic()
        house.begin()
        if problem := house.greeted():
            self.complain(problem)
            # For the rounds that follow.
            time.sleep(2)
            house.begin()
            house.greeted()
        self.waits_s["a new agent"].append(time.monotonic() - begin_s)

    def ended(self, home: Home, run: Any) -> None:
        """See that nothing of a killed command runs any more."""
        errors = ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            errors = run.communicate(timeout=END_S)[1]
        self.outcomes["killed" if run.returncode == -9 else f"ended before ({run.returncode})"] += 1
        if "Traceback" in errors:
            self.complain(errors[-500:])
        if not becomes_true(lambda: not home.processes(), END_S):
            self.complain(f"these still run: {home.processes()}")
            for pid in home.processes():
                kill(pid)

    def finished(
        self, run: Any, home: Home, name: str, *, status: int | None = None, **how: Any
    ) -> None:
        """See that a command that was not killed itself ends as it should, and what it leaves."""
        self.through(run, {0, 2} if status is None else {status})
        self.kept(home, name, complete=run.returncode == 0 or None, **how)

    def through(self, run: Any, statuses: Collection[int]) -> None:
        """See that a command ends with one of these."""
        try:
            errors = run.communicate(timeout=RUN_LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            self.complain(f"a command that did not end within {RUN_LIMIT_S:g} s")
            kill(run.pid)
            errors = run.communicate()[1]
        last = (errors.strip().splitlines() or [""])[-1]
        if "Traceback" in errors or run.returncode not in statuses:
            self.complain(f"a command ended with {run.returncode}: {errors[-600:]}")
        said = f": {last[:150]}" if run.returncode else ""
        self.outcomes[f"{self.name}: the other ended with {run.returncode}{said}"] += 1

    def kept(
        self,
        home: Home,
        name: str,
        which: str = "whole",
        *,
        complete: bool | None = None,
        raw: bool = True,
        swept: bool = True,
    ) -> None:
        """See that what was measured is kept, and right.

        Parameters
        ----------
        home : Home
        name : str
            Of the record.
        which : str
            The answers that are right.
        complete : bool, optional
            Whether the record must be.
        raw : bool
            Whether raw outputs were kept.
        swept : bool
            Whether nothing may lie around.
        """
        path = home.folder / "r" / f"{name}.json"
        journal = path.with_name(path.name + SUFFIX)
        outputs = home.folder / name if raw else None
        try:
            if path.exists():
                if problem := self.lab.wrong_in(path, outputs, which, complete=complete):
                    self.complain(problem)
            elif complete:
                self.complain("there is no record")
            # The first line says what is measured.
            lines = journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0
            if lines > 0:
                # It may be killed between the two: its record is whole then.
                whole = None if path.exists() else False
                found = recover(journal)
                self.outcomes["recovered"] += 1
                if problem := self.lab.wrong_in(found, outputs, which, complete=whole):
                    self.complain(f"recovered: {problem}")
                if len(read_record(found).blocks) < lines:
                    self.complain(f"{lines} lines, {len(read_record(found).blocks)} blocks")
                found.unlink()
        except (EdgeTesterError, OSError, ValueError) as error:
            self.complain(f"what was kept: {type(error).__name__}: {error}")
        for one in (path, journal):
            one.unlink(missing_ok=True)
        shutil.rmtree(home.folder / name, ignore_errors=True)
        if swept:
            self.swept(home)

    def swept(self, home: Home) -> None:
        """See that nothing lies around."""
        for one in (left := home.leftovers()):
            place = home.folder / one
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        if left:
            self.complain(f"left behind: {left}")

    def answers_of(self, client: SampleClient, loaded: Loaded) -> None:
        """Run some samples on the model that a client has uploaded, and compare the answers."""
        with np.load(self.lab.data) as data:
            images = data["x"][:8]
        (spec,) = specs_of(loaded.inputs)
        for row, image in enumerate(images):
            (output,) = client.run_sample([spec.conform(image[None])]).outputs
            wanted = self.lab.references["whole"].outputs[row]
            if (output[0] != wanted).any():
                self.complain(f"a wrong answer: {output[0]} instead of {wanted}")

    def settled(self, net: Network) -> None:
        """See that the next client is served, and that nothing is left of what was killed."""
        begin_s = time.monotonic()
        try:
            client = net.client(Hello(client="the next one", wait=True))
            self.answers_of(client, client.upload_model(Artifact.from_file(self.lab.model)))
            client.disconnect()
        except EdgeTesterError as error:
            self.complain(f"deaf: {error}")
        self.waits_s[self.name].append(time.monotonic() - begin_s)
        house = net.house
        own = {house.process.pid}

        def alone() -> bool:
            found = list(house.home.temporary.glob("*"))
            inside = {p.name for p in house.home.temporary.glob("*/*")} - STANDING
            roles = house.roles()
            ours = own.union(*roles.values())
            return len(found) == len(inside) == 1 and set(house.home.processes()) == ours

        if not becomes_true(alone, END_S):
            inside = sorted(str(p) for p in house.home.temporary.glob("*/*"))
            self.complain(f"left: {inside}, {house.home.processes()}, {house.roles()}")
        self.grown(house)

    def grown(self, house: House) -> None:
        """See that an agent has no more than when it had served its first client."""
        if house.process.pid not in self.before:
            # Until the process for the next client is there.
            time.sleep(1)
        before = self.before.setdefault(house.process.pid, house.has())
        counts = [name for name in before if name != "resident_kb"]
        if not becomes_true(lambda: all(house.has()[n] <= before[n] for n in counts), END_S):
            self.complain(f"{before} became {house.has()}")
        if (now_kb := house.has()["resident_kb"]) > before["resident_kb"] + RESIDENT_KB:
            self.complain(f"resident: {before['resident_kb']} kB became {now_kb} kB")

    def stopped(self, house: House) -> None:
        """Stop an agent as its owner does; nothing may be left."""
        if status := house.stop():
            self.complain(f"the agent ended with {status}: {house.last_words()}")
        if not becomes_true(lambda: not house.home.processes(), END_S):
            self.complain(f"these still run: {house.home.processes()}")
        self.swept(house.home)
        if "Traceback" in (house.home.folder / "log").read_text(errors="replace"):
            self.complain(f"a traceback: {house.last_words()}")
