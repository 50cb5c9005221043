"""Kill processes with SIGKILL at random moments, and see whether everything goes on. Linux only.

One of these is killed in each round: a client as a user types it, over TCP, TLS or a Unix socket;
the session process of an agent, or one that ends its TLS; the agent itself, which is then started
again by the same command; a run, a comparison, a matrix, a sweep or a pipeline with an agent of
their own; what is at the ends of a serial line; a client of a board behind a real sshd. After each
kill

* the next client has the right answers, to the bit, in bounded time;
* what a killed run has measured is in its record, or ``edge-tester recover`` makes one of its
  journal: of the right answers, and without more than the block in progress lost;
* nothing of what was killed runs any more, and no file is left that nobody removes;
* the agent has as many descriptors, threads, processes and folders as before.

    python benchmarks/kills.py --for-s 3600
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _killed import Home, kill
from _killed_long import Long
from _killed_network import PYTHON, Lab, Network, outputs_in

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.wire.payloads import Hello
from tests.sshd import MISSING

LARGE_BYTES = 30_000_000
# A socket of TCP, with TLS, of Unix; one whose sessions are another user's, which takes root; a
# serial line; commands with agents of their own, and those that take long; a board behind sshd.
HOUSES = ("tcp", "tls", "unix", "user", "serial", "local", "long", "ssh")


class Kills(Long):
    """The rounds of agents that are reached over sockets, and all others."""

    def network_kinds(self, net: Network) -> dict[str, Callable[[], None]]:
        """Return the rounds of an agent by their names."""
        kinds = {
            "client": lambda: self.client(net),
            "client that uploads": lambda: self.upload(net),
            "client in line": lambda: self.in_line(net),
            "client that writes its record": lambda: self.writing(net),
            "session": lambda: self.part(net, "session"),
            "idle session": lambda: self.idle(net, "session"),
            "session that starts": lambda: self.starting_session(net),
            "agent": lambda: self.agent(net),
            "agent with all its processes": lambda: self.agent(net, everything=True),
            "agent while it stores": lambda: self.agent_that_stores(net),
            "comparison": lambda: self.comparison(net, "comparison"),
            "session of a comparison": lambda: self.comparison(net, "session"),
            "agent that starts": lambda: self.starting_agent(net),
            "agent after SIGHUP": lambda: self.signalled(net, signal.SIGHUP),
            "agent after SIGQUIT": lambda: self.signalled(net, signal.SIGQUIT),
            "agent after SIGTERM": lambda: self.signalled(net, signal.SIGTERM),
            "command that reserves": lambda: self.reserve(net),
        }
        if net.kind == "tls":
            kinds |= {
                f"{when}{role}": lambda role=role, idle=bool(when): (
                    self.idle(net, role) if idle else self.part(net, role)
                )
                for role in ("greeter", "worker of the greeter")
                for when in ("", "idle ")
            }
        return kinds

    def run_of(self, net: Network, name: str = "it", *more: str) -> Any:
        """Start a client as a user does."""
        words = ("client", self.lab.model, self.lab.data, "network", "r", name, *net.words)
        return net.user.start(*words, *outputs_in(name), *more)

    def client(self, net: Network) -> None:
        """Kill a client at any moment."""
        run = self.run_of(net)
        self.moment(1.1 * self.typical_s)
        kill(run.pid)
        self.ended(net.user, run)
        self.kept(net.user, "it")

    def writing(self, net: Network) -> None:
        """Kill a client at the moment when it writes its record."""
        run = self.run_of(net)
        folder = net.user.folder / "r"
        while run.poll() is None and not any(folder.glob("*.json")) and not any(folder.glob(".*")):
            time.sleep(0.0005)
        self.moment(0.01)
        kill(run.pid)
        self.ended(net.user, run)
        self.kept(net.user, "it")

    def upload(self, net: Network) -> None:
        """Kill a client while it uploads a model that nobody has."""
        run, path = self.uploading(net)
        kill(run.pid)
        self.ended(net.user, run)
        self.kept(net.user, "it", raw=False)
        self.uploaded(net, path)

    def uploading(self, net: Network) -> tuple[Any, Path]:
        """Let a client be in the middle of uploading a large model that nobody has."""
        path = net.user.folder / "large.tflite"
        # Bytes behind the end of a file count for nothing.
        path.write_bytes(self.lab.model.read_bytes() + self.random.randbytes(LARGE_BYTES))
        run = net.user.start("client", path, self.lab.data, "network", "r", "it", *net.words)
        while run.poll() is None and not any(net.store.glob("*.part")):
            time.sleep(0.001)
        self.moment(0.2)
        return run, path

    def uploaded(self, net: Network, path: Path) -> None:
        """See that a model whose upload was cut off can be sent, and answers as it should."""
        try:
            client = net.client(Hello(client="the next one", wait=True))
            self.answers_of(client, client.upload_model(Artifact.from_file(path)))
            client.disconnect()
        except EdgeTesterError as error:
            self.complain(f"the model that was cut off: {error}")

    def in_line(self, net: Network) -> None:
        """Kill one of two clients, of which one waits for the other."""
        names = ("one", "two")
        runs = [self.run_of(net, name, "--wait") for name in names]
        self.moment(1.5 * self.typical_s)
        killed, other = self.random.sample([0, 1], 2)
        kill(runs[killed].pid)
        self.finished(runs[other], net.user, names[other], status=0, swept=False)
        self.ended(net.user, runs[killed])
        self.kept(net.user, names[killed])

    def part(self, net: Network, role: str) -> None:
        """Kill a process of the agent while a client is served; the client hears of it."""
        run = self.run_of(net)
        self.moment(1.1 * self.typical_s)
        for pid in self.random.sample(net.house.roles().get(role, [0]), 1):
            if pid:
                kill(pid)
        # Who ends TLS is no part of a measurement: its clients go on.
        self.finished(run, net.user, "it")

    def idle(self, net: Network, role: str) -> None:
        """Kill a process of the agent while nobody is served."""
        for pid in net.house.roles().get(role, []):
            kill(pid)

    def starting_session(self, net: Network) -> None:
        """Kill session processes while they start."""
        for _ in range(2):
            for pid in net.house.roles().get("session", []):
                kill(pid)
            self.moment(0.3)

    def agent(self, net: Network, *, everything: bool = False) -> None:
        """Kill the agent while a client is served, and start it again: the client goes on."""
        run = self.run_of(net)
        self.moment(1.1 * self.typical_s)
        if everything:
            for pid in net.house.home.processes():
                kill(pid)
        self.again(net)
        self.finished(run, net.user, "it")

    def comparison(self, net: Network, what: str) -> None:
        """Kill a command with two sessions at a time, or one of these."""
        models = (self.lab.model, self.lab.folder / "n.tflite")
        words = ("compare", *models, self.lab.data, "network", *net.words, "--replicates", 2)
        run = net.user.start(*words, "--report-directory", "r")
        self.moment(1.5 * self.typical_s)
        if what == "comparison":
            kill(run.pid)
            self.ended(net.user, run)
            self.kept(net.user, "m", raw=False, swept=False)
        else:
            sessions = net.house.roles().get("session", [])
            for pid in self.random.sample(sessions, min(1, len(sessions))):
                kill(pid)
            self.finished(run, net.user, "m", raw=False, swept=False)
        self.kept(net.user, "n", raw=False)
        shutil.rmtree(net.user.folder / "r", ignore_errors=True)

    def agent_that_stores(self, net: Network) -> None:
        """Kill the agent while it receives a model."""
        run, path = self.uploading(net)
        self.again(net)
        self.finished(run, net.user, "it", raw=False)
        self.uploaded(net, path)

    def starting_agent(self, net: Network) -> None:
        """Kill the agent while it starts, again and again."""
        net.house.kill()
        for _ in range(3):
            net.house.begin()
            self.moment(0.8)
            net.house.kill()
        self.start(net.house)

    def signalled(self, net: Network, number: int) -> None:
        """Kill the agent while it does what a signal asked for, perhaps with a client."""
        run = self.run_of(net) if self.random.random() < 0.5 else None
        if run is not None:
            self.moment(1.1 * self.typical_s)
        net.house.send(number)
        self.moment(0.05)
        self.again(net)
        if run is not None:
            self.finished(run, net.user, "it")

    def reserve(self, net: Network) -> None:
        """Kill a command that reserves the target; what it has got ends by itself."""
        words = ["agent", "reserve", *net.words, "--lasting-s", "2"]
        run = net.user.start(*words)
        self.moment(0.6)
        kill(run.pid)
        self.ended(net.user, run)

    def live(self, net: Network, rounds: int, end_s: float) -> None:
        """Start an agent, kill for some rounds, and stop it: nothing may be left."""
        self.name = f"{net.kind} begins"
        self.start(net.house)
        self.settled(net)
        for name, act in self.chosen(self.network_kinds(net), rounds, end_s):
            self.begin(f"{net.kind}: {name}")
            act()
            self.settled(net)
        self.name = f"{net.kind} ends"
        self.stopped(net.house)
        strange = [
            path.name
            for path in net.store.glob("*")
            if path.is_dir() or not re.fullmatch(r"[0-9a-f]{64}(\.part)?", path.name)
        ]
        if strange:
            self.complain(f"in the store: {strange}")

    def somewhere(self, place: Path, houses: Sequence[str], rounds: int, end_s: float) -> None:
        """Kill for some rounds, one kind of agent after another."""
        for number in itertools.count():
            for kind in self.random.sample(houses, len(houses)):
                if time.monotonic() > end_s:
                    return
                folder = place / f"{kind}-{number}"
                print(f"{self.number} rounds, {len(self.wrong)} wrong; now {kind}", flush=True)
                if kind == "local":
                    self.local(Home(folder), rounds // 2, end_s)
                elif kind == "long":
                    self.long(Home(folder), rounds // 8, end_s)
                elif kind == "ssh":
                    self.board(Home(folder), rounds // 3, end_s)
                elif kind == "serial":
                    self.serial(folder, rounds // 3, end_s)
                else:
                    isolation = self.random.choice(["full", "files", "none"])
                    self.live(Network(self.lab, folder, kind, isolation), rounds, end_s)


def usual() -> list[str]:
    """Return what there can be on this machine."""
    unfit = {"ssh"} if MISSING else set()
    if os.geteuid() != 0 or not Path(PYTHON).exists():
        unfit.add("user")
    return [house for house in HOUSES if house not in unfit]


def main() -> None:
    """Kill, and print what came of it; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--for-s", type=float, default=600.0, help="Time after which to end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=25, help="Of one agent, before the next one")
    parser.add_argument("--only", default="", help="Rounds with this in their names")
    parser.add_argument("--houses", nargs="+", choices=HOUSES, default=usual())
    parser.add_argument("--keep", action="store_true", help="Keep all files, to be looked at")
    arguments = parser.parse_args()
    begin_s = time.monotonic()
    end_s = begin_s + arguments.for_s
    place = Path(tempfile.mkdtemp(prefix="edge_tester-kills-"))
    place.chmod(0o755)
    kills = Kills(Lab(place), arguments.seed, arguments.only)
    kills.somewhere(place, arguments.houses, arguments.rounds, end_s)
    print(f"\n{'killed':<45}{'times':>6}")
    for name, count in sorted(kills.counts.items()):
        print(f"{name:<45}{count:>6}")
    print(f"\n{'next client served after':<45}{'times':>6}{'median [s]':>12}{'longest [s]':>12}")
    for name, waits_s in sorted(kills.waits_s.items()):
        longest = f"{max(waits_s):>12.2f}"
        print(f"{name:<45}{len(waits_s):>6}{statistics.median(waits_s):>12.2f}{longest}")
    print()
    for name, count in sorted(kills.outcomes.items()):
        print(f"{count:>6} {name}")
    print(*kills.wrong, sep="\n")
    print(
        f"\n{kills.number} rounds in {time.monotonic() - begin_s:.0f} s, seed {arguments.seed}: "
        f"{len(kills.wrong) or 'nothing'} wrong"
    )
    if not arguments.keep:
        shutil.rmtree(place)
    sys.exit(bool(kills.wrong))


if __name__ == "__main__":
    main()
