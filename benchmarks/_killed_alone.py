"""Rounds of commands that have an agent of their own, and of both ends of a serial line."""

import contextlib
import os
import pwd
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from _killed import Home, House, becomes_true, kill
from _killed_checks import END_S, Checks
from _killed_network import COMPILED, outputs_in

from tests.agents import children_of
from tests.boards import OFFLINE
from tests.cables import Cable
from tests.sshd import Board, running_board
from tests.wheelhouse import write_wheels

YOUNG_S = 6.0
MATRIX = """
modelwrapper: {lab}/m.onnx
dataset: {{class: npz_file, dataset_path: {lab}/data.npz}}
report_directory: r
combinations:
  - runtime: {{class: onnxruntime}}
  - compiler: {{class: onnx, target: int8}}
"""


class Alone(Checks):
    """Such rounds."""

    def local_kinds(self, home: Home) -> dict[str, Callable[[], None]]:
        """Return the rounds of commands with agents of their own."""
        words = ("--start-agent", "r", "it", *outputs_in("it"))
        client = ("client", self.lab.model, self.lab.data, *words)
        inside = ("client", self.lab.model, self.lab.data, "loopback", *words[1:])
        compiled = ("client", self.lab.folder / "m.onnx", *COMPILED, self.lab.data, *words)
        return {
            "run with an agent": lambda: self.alone(home, client, "whole"),
            "run in one process": lambda: self.alone(home, inside, "whole"),
            "run that compiles": lambda: self.alone(home, compiled, "compiled"),
            "agent of a run": lambda: self.local_agent(home, client),
            "compare": lambda: self.compared(home),
            "matrix": lambda: self.resumed(home),
        }

    def local(self, home: Home, rounds: int, end_s: float) -> None:
        """Kill commands with agents of their own."""
        for name, act in self.chosen(self.local_kinds(home), rounds, end_s):
            self.begin(name)
            act()

    def alone(self, home: Home, words: tuple[object, ...], which: str) -> None:
        """Kill a command with an agent of its own; the next one removes what is left."""
        run = home.start(*words)
        self.moment(1.3 * self.typical_s)
        kill(run.pid)
        self.ended(home, run)
        self.kept(home, "it", which, swept=False)
        # What is younger may belong to somebody who has not locked it yet.
        time.sleep(YOUNG_S)
        self.finished(home.start(*words), home, "it", which=which, status=0)

    def local_agent(self, home: Home, words: tuple[object, ...]) -> None:
        """Kill the agent that a command has started, or its session."""
        run = home.start(*words)
        self.moment(1.1 * self.typical_s)
        agents = children_of(run.pid) if run.poll() is None else []
        found = [*agents, *(pid for agent in agents for pid in children_of(agent))]
        for pid in self.random.sample(found, min(1, len(found))):
            kill(pid)
        self.finished(run, home, "it", swept=False)
        self.finished(home.start(*words), home, "it", status=0)

    def compared(self, home: Home) -> None:
        """Kill a comparison; what it has measured is kept, and the next one is whole."""
        models = (self.lab.model, self.lab.folder / "n.tflite")
        words = ("compare", *models, self.lab.data, "--replicates", 2, "--report-directory", "r")
        run = home.start(*words)
        self.moment(2 * self.typical_s)
        kill(run.pid)
        self.ended(home, run)
        for name in ("m", "n"):
            self.kept(home, name, raw=False, swept=False)
        self.finished(home.start(*words), home, "m", status=0, raw=False, swept=False)
        self.kept(home, "n", complete=True, raw=False)
        shutil.rmtree(home.folder / "r", ignore_errors=True)

    def resumed(self, home: Home) -> None:
        """Kill a matrix, and go on with it until it is done."""
        (home.folder / "matrix.yml").write_text(MATRIX.format(lab=self.lab.folder))
        for _ in range(3):
            run = home.start("matrix", "matrix.yml")
            self.moment(3 * self.typical_s)
            kill(run.pid)
            self.ended(home, run)
        time.sleep(YOUNG_S)
        run = home.start("matrix", "matrix.yml")
        names = {"onnxruntime": "onnx", "onnx-onnxruntime": "compiled"}
        first, second = names
        self.finished(run, home, first, which=names[first], status=0, raw=False, swept=False)
        self.kept(home, second, names[second], complete=True, raw=False)
        shutil.rmtree(home.folder / "r", ignore_errors=True)

    def serial(self, place: Path, rounds: int, end_s: float) -> None:
        """Kill agents, sessions and clients at the ends of a serial line."""
        with Cable() as cable:
            user = Home(place / "user")
            ends = [("--serial-port", device, "--baud", "3000000") for device in cable.devices]
            house = House(place / "agent", ["serial", "tflite", *ends[1]])
            few = self.lab.folder / "few.npz"
            client = ("client", self.lab.model, few, "serial", "r", "it", *ends[0], "--wait")
            self.name = "serial begins"
            self.start(house)
            kinds = {
                "client of a serial line": lambda: self.at_line(house, user, client, "client"),
                "session of a serial line": lambda: self.at_line(house, user, client, "session"),
                "agent of a serial line": lambda: self.at_line(house, user, client, "agent"),
            }
            for name, act in self.chosen(kinds, rounds, end_s):
                self.begin(name)
                act()
            self.name = "serial ends"
            self.stopped(house)

    def at_line(self, house: House, user: Home, words: tuple[object, ...], what: str) -> None:
        """Kill one of them while a client is served; the next one has all answers."""
        run = user.start(*words)
        self.moment(1.1 * self.typical_s)
        if what == "client":
            kill(run.pid)
            self.ended(user, run)
            self.kept(user, "it", "few", raw=False)
        elif what == "session":
            for pid in house.roles().get("session", []):
                kill(pid)
        else:
            house.kill()
            self.start(house)
        if what != "client":
            self.finished(run, user, "it", which="few", raw=False)
        begin_s = time.monotonic()
        self.finished(user.start(*words), user, "it", which="few", raw=False, status=0)
        self.waits_s[f"{self.name} (a whole client)"].append(time.monotonic() - begin_s)

    def board(self, home: Home, rounds: int, end_s: float) -> None:
        """Kill clients of a board behind a real sshd, also while the first one installs there."""
        wheels = home.folder / "wheels"
        wheels.mkdir()
        write_wheels(wheels, ["numpy", "msgspec", "ai-edge-litert"])
        with running_board(OFFLINE) as board:
            home.environment |= {
                "PATH": f"{board.folder / 'bin'}:{home.environment['PATH']}",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(wheels),
                "PIP_CONFIG_FILE": "/dev/null",
            }
            words = ("client", self.lab.model, self.lab.data, "r", "it", *outputs_in("it"))
            words += ("--target", "ssh://board")
            kinds = {"client of a board by ssh": lambda: self.on_board(home, board, words)}
            for name, act in self.chosen(kinds, rounds, end_s):
                self.begin(name)
                act()

    def on_board(self, home: Home, board: Board, words: tuple[object, ...]) -> None:
        """Kill a client; the next one has all answers, and nothing stays on the board."""
        # An earlier user may have had its number.
        before = _temporary_of(board.user)
        if self.random.random() < 0.3:
            board.forget()
        run = home.start(*words)
        self.moment(2 * self.typical_s)
        kill(run.pid)
        self.ended(home, run)
        self.kept(home, "it", swept=False)
        begin_s = time.monotonic()
        # It may be told that the target is still in use by who was killed.
        self.finished(home.start(*words), home, "it", status=0)
        self.waits_s[f"{self.name} (a whole client)"].append(time.monotonic() - begin_s)
        if not becomes_true(lambda: not board.processes(), END_S):
            self.complain(f"on the board still run: {board.processes()}")
        parts = {str(path) for path in board.home.glob(".cache/edge_tester/*.part*")}
        if left := parts | _temporary_of(board.user) - before:
            self.complain(f"left on the board: {sorted(left)}")


def _temporary_of(user: str) -> set[str]:
    """Return what lies in the system's folder for temporary files and is this user's."""
    number, found = pwd.getpwnam(user).pw_uid, set()
    for entry in os.scandir("/tmp"):
        # They come and go.
        with contextlib.suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_uid == number:
                found.add(entry.path)
    return found
