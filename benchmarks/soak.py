"""Let one agent meet many hostile models, clients and strangers, and see whether it still serves.

An attack is one or several hostile sessions; it goes on until there were as many as asked for, or
until the time is over. After each attack the next client runs a whole session, and the time until
it has its answer is taken. The agent wants a token: strangers have none, and must hear nothing but
a challenge. In the end the agent must have no more descriptors, processes and folders than at the
beginning. Linux only.

    python benchmarks/soak.py --sessions 10000
    python benchmarks/soak.py --for-s 3600
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import math
import os
import random
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.wire import frames
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Challenge, Hello, Proof, decode, encode
from edge_tester.core.wire.tokens import Proofs, new_nonce
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys
from tests.agents import RunningAgent, SampleClient, children_of, echo_model, running_agent, sample
from tests.faulty_runtimes import FAULTS

RUNTIME = "tests.faulty_runtimes.AnyFaultRuntime"
# A client that waits longer has met a deaf agent.
DEAF_S = 30.0
GOOD = (0, 2, 3, 4)
BAD = (1, 2, 3, 4)


class Soak:
    """One agent, its attackers, and what came of them."""

    def __init__(self, agent: RunningAgent, folder: Path, token: Path, seed: int) -> None:
        self.agent, self.token = agent, token
        self.model = echo_model(folder)
        self.random = random.Random(seed)
        self.waits_s: dict[str, list[float]] = collections.defaultdict(list)
        self.deaf: list[str] = []
        self.leaks: list[str] = []
        self.strangers: list[socket.socket] = []
        self.hostile = 0

    def attacks(self) -> dict[str, Callable[[], None]]:
        """Return every attack by its name."""
        # This machine's disk is somebody else's too.
        faults = set(FAULTS) - {"none", "fill the disk"}
        # One that says that it waits is kept for as long as its owner works in another session.
        beside = sorted(faults - {"status of a liar"})
        found = {f"model: {f}": lambda f=f: self.run_model(f) for f in sorted(faults)}
        found |= {
            f"model: {f}, client leaves": lambda f=f: self.leave(f)
            for f in ("hang", "half a report", "print without end", "daemon and hang")
        }
        return found | {
            "a wrong proof": lambda: self.prove(frame(Type.PROOF, encode(Proof("0" * 64)))),
            "garbage for a proof": lambda: self.prove(self.random.randbytes(300)),
            "a model for a proof": lambda: self.prove(frame(Type.MODEL, bytes(100))),
            "challenged and silent": lambda: self.strangers.append(self.challenged()),
            "asking without a token": lambda: self.prove(
                frame(Type.HELLO, encode(Hello(client="x", ask="status")))
            ),
            "garbage": lambda: self.say(self.random.randbytes(1000)),
            "half a HELLO": lambda: self.say(hello_of("half")[:-3]),
            "silence": lambda: self.strangers.append(self.connected()),
            "HELLO, then a reset": lambda: self.introduced().close(),
            "HELLO, garbage": lambda: self.go_on(self.random.randbytes(500)),
            "HELLO, half a header": lambda: self.go_on(
                frames.encode_header(Type.STATS, 0, 1, 0)[:7]
            ),
            "HELLO, a huge model": lambda: self.go_on(
                frames.encode_header(Type.MODEL, 0, 1, 1 << 39)
            ),
            "line of waiting clients": self.line,
            "a guessed ticket": lambda: self.introduced(beside=os.urandom(16).hex()).close(),
            "sessions without end": self.many,
            "model beside another": lambda: self.beside(self.random.choice(beside)),
        }

    def connected(self) -> socket.socket:
        """Return a new connection."""
        self.hostile += 1
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEAF_S)
        connection.connect(self.agent.host)
        return connection

    def say(self, what: bytes) -> None:
        """Say something and leave."""
        with self.connected() as connection, contextlib.suppress(OSError):
            connection.sendall(what)

    def challenged(self) -> socket.socket:
        """Return a connection that has said HELLO and heard a challenge."""
        connection = self.connected()
        connection.sendall(hello_of("stranger"))
        self.answer(connection)
        return connection

    def introduced(self, **hello: object) -> socket.socket:
        """Return a connection that has proven to have the token."""
        said = encode(Hello(client="a rude one", nonce=new_nonce(), **hello))
        connection = self.connected()
        connection.sendall(frame(Type.HELLO, said))
        challenge = decode(self.answer(connection), Challenge)
        proofs = Proofs(self.token.read_text().strip(), said, challenge.nonce)
        connection.sendall(frame(Type.PROOF, encode(Proof(proofs.host))))
        assert proofs.target == decode(self.answer(connection), Proof).proof
        return connection

    def answer(self, connection: socket.socket) -> bytes:
        """Return the payload of the next message."""
        header = connection.recv(frames.HEADER_BYTES, socket.MSG_WAITALL)
        return connection.recv(frames.decode_header(header)[3], socket.MSG_WAITALL)

    def go_on(self, what: bytes) -> None:
        """Say something after a HELLO as it should be, and leave."""
        with self.introduced() as connection, contextlib.suppress(OSError):
            connection.sendall(what)

    def prove(self, what: bytes) -> None:
        """Say something instead of a proof; nothing may be answered."""
        with contextlib.suppress(ConnectionResetError), self.challenged() as connection:
            connection.sendall(what)
            if answered := connection.recv(1 << 16):
                self.leaks.append(f"{what[:30]!r} was answered by {answered[:60]!r}")

    def line(self) -> None:
        """Wait in line, many times, and leave."""
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(self.introduced(wait=True))

    def many(self) -> None:
        """Open more sessions than there may be, and leave."""
        first = self.client("none", "beside")
        clients = [first]
        with contextlib.suppress(EdgeTesterError):
            while True:
                clients.append(first.beside(Hello(client="a soak"), answer_limit_s=DEAF_S))
                self.hostile += 1
        for one in clients:
            one.disconnect()

    def beside(self, fault: str) -> None:
        """Let a model go wrong beside one that goes on, and show the ticket of what has ended."""
        good = self.client("none", "beside")
        hello = Hello(client="a soak", runtime_options={"fault": fault})
        bad = good.beside(hello, answer_limit_s=DEAF_S)
        self.hostile += 1
        bad.upload_model(self.model)
        with busy(good), contextlib.suppress(EdgeTesterError):
            bad.run_sample(sample(*BAD))
        bad.disconnect()
        self.introduced(beside=bad.ticket).close()
        assert [list(GOOD)] == good.run_sample(sample(*GOOD)).outputs[0].tolist()
        good.disconnect()

    def client(self, fault: str = "none", *features: str) -> SampleClient:
        """Return a client whose model does this."""
        client = SampleClient(NetworkProtocol(host=self.agent.host, token_file=self.token))
        hello = Hello(
            client="a soak", wait=True, features=list(features), runtime_options={"fault": fault}
        )
        client.connect(hello, answer_limit_s=DEAF_S)
        client.upload_model(self.model)
        return client

    def run_model(self, fault: str) -> None:
        """Let a model go wrong, and hear of it."""
        client = self.client(fault)
        self.hostile += 1
        with contextlib.suppress(EdgeTesterError):
            client.run_sample(sample(*BAD))
        client.disconnect()

    def leave(self, fault: str) -> None:
        """Let a model go wrong, and do not wait for it."""
        client = self.client(fault)
        self.hostile += 1
        client.begin_sample(sample(*BAD))
        time.sleep(0.05)
        client.disconnect()

    def next_client(self, after: str) -> None:
        """Take the time that the next client needs."""
        begin_s = time.monotonic()
        try:
            client = self.client()
            assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()
            client.disconnect()
        except EdgeTesterError as error:
            self.went_deaf(f"after {after}: {error}")
        self.waits_s[after].append(time.monotonic() - begin_s)

    def run(self, sessions: float, for_s: float) -> None:
        """Attack in random order until there were so many hostile sessions, or for a time."""
        attacks, end_s = self.attacks(), time.monotonic() + for_s
        for number in itertools.count(1):
            if self.hostile >= sessions or time.monotonic() > end_s:
                return
            name = self.random.choice(list(attacks))
            try:
                attacks[name]()
            except EdgeTesterError as error:
                self.went_deaf(f"during {name}: {error}")
            self.next_client(name)
            if len(self.strangers) > 100:
                self.go_away()
            if number % 100 == 0:
                print(f"{self.hostile} sessions, {len(self.deaf)} deaf", flush=True)

    def went_deaf(self, how: str) -> None:
        """Keep and say it."""
        self.deaf.append(how)
        print(how, flush=True)

    def go_away(self) -> None:
        """Close what was left open."""
        for one in self.strangers:
            one.close()
        self.strangers.clear()


@contextlib.contextmanager
def busy(client: SampleClient) -> Iterator[None]:
    """Let a client ask something now and then: one that says nothing for long is sent away."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.2):
            client.counters()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def frame(type: int, payload: bytes) -> bytes:
    """Return a message."""
    return frames.encode_header(type, 0, 0, len(payload)) + payload


def hello_of(client: str) -> bytes:
    """Return a HELLO."""
    return frame(Type.HELLO, encode(Hello(client=client)))


class Belongings:
    """What an agent has at a time when it waits for its next client."""

    def __init__(self, agent: RunningAgent, temporary: Path) -> None:
        pid = agent.process.pid
        status = Path(f"/proc/{pid}/status").read_text()
        self.counts = {
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "children": len(children_of(pid)),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "files": len(list(temporary.rglob("*"))),
            "stray processes": len(_strays(temporary, pid)),
        }
        self.resident_kb = int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def _strays(temporary: Path, agent: int) -> list[int]:
    """Return the processes that carry this agent's mark and are not its session process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = int(path.parent.name)
        with contextlib.suppress(OSError):
            ours = f"EDGE_TESTER_SESSION_FOLDER={temporary}".encode() in path.read_bytes()
            if ours and pid not in children_of(agent):
                found.append(pid)
    return found


def main() -> None:
    """Attack, and print what came of it; the exit status is 1 if the agent lost something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=float, help="Hostile ones; 2000 without --for-s")
    parser.add_argument("--for-s", type=float, default=math.inf, help="Time after which to end")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, temporary = Path(place), Path(place) / "temporary"
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        token = folder / "token"
        keys.main(["token", str(token)])
        words = ("--time-limit-s", "0.5", "--idle-limit-s", "5", "--verbosity", "ERROR")
        with running_agent(folder, *words, "--token-file", str(token), runtime=RUNTIME) as agent:
            soak = Soak(agent, folder, token, arguments.seed)
            soak.next_client("nothing")
            time.sleep(2)
            before = Belongings(agent, temporary)
            begin_s = time.monotonic()
            sessions = math.inf if math.isfinite(arguments.for_s) else 2000
            soak.run(arguments.sessions or sessions, arguments.for_s)
            lasted_s = time.monotonic() - begin_s
            soak.go_away()
            soak.next_client("nothing")
            time.sleep(2)
            after = Belongings(agent, temporary)
        left = list(temporary.iterdir())
    print(f"\n{'after':<45}{'times':>6}{'median [s]':>12}{'longest [s]':>12}")
    for name, waits_s in sorted(soak.waits_s.items()):
        longest = f"{max(waits_s):>12.2f}"
        print(f"{name:<45}{len(waits_s):>6}{statistics.median(waits_s):>12.2f}{longest}")
    every = sorted(wait for waits_s in soak.waits_s.values() for wait in waits_s)
    print(
        f"\n{soak.hostile} hostile sessions in {len(every)} attacks and {lasted_s:.0f} s; "
        f"{len(soak.deaf)} times deaf, {len(soak.leaks)} strangers were answered"
    )
    print(
        f"next client served after {statistics.median(every):.2f} s (median), "
        f"{every[int(0.99 * len(every))]:.2f} s (99 of 100), {every[-1]:.2f} s (longest)"
    )
    for name, count in before.counts.items():
        print(f"{name}: {count} before, {after.counts[name]} after")
    print(f"resident: {before.resident_kb} kB before, {after.resident_kb} kB after")
    print(f"left behind when it was stopped: {[path.name for path in left] or 'nothing'}")
    print(*soak.deaf, *soak.leaks, sep="\n")
    sys.exit(bool(soak.deaf or soak.leaks or left or after.counts != before.counts))


if __name__ == "__main__":
    main()
