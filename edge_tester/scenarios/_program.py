"""What all commands do alike as programs: logging, errors in one line, exit status."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.options import Configurable, option
from edge_tester.core.system import interrupts


class Logging(Configurable):
    """What is said while a command runs."""

    verbosity: str = option(
        "WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="Least level to log"
    )

    def start(self) -> None:
        """Set the level of all loggers."""
        logging.basicConfig(format="%(levelname)s: %(message)s", force=True)
        # Other packages speak of their own insides; theirs only when debugging.
        logging.getLogger().setLevel("WARNING" if self.verbosity == "INFO" else self.verbosity)
        logging.getLogger("edge_tester").setLevel(self.verbosity)


def guard(command: Callable[[Sequence[str]], int | None]) -> int:
    """Run a command's main function as a program; return the exit status.

    Errors of edge_tester are one line on standard error and status 2, Ctrl-C is
    status 130; the traceback is shown with ``--verbosity DEBUG``. SIGTERM and the
    end of the terminal do what Ctrl-C does, with their own status.
    """
    arguments = sys.argv[1:]
    signals = [signal.SIGINT]

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(signal.Signals(number))
        interrupts.note(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)

    def press(number: int, frame: FrameType | None) -> None:
        interrupts.note(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, press)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Whoever started this program may want it to outlive the terminal.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)
    try:
        return command(arguments) or 0
    except EdgeTesterError as error:
        if logging.getLogger("edge_tester").isEnabledFor(logging.DEBUG) and "DEBUG" in arguments:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Asking whether a word is a file raises it, wherever that is asked.
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signals[-1]
    finally:
        interrupts.forget()
