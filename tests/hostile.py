"""Clients whose model is native code that tries what it must not do."""

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.agent import isolation_calls, isolation_files
from edge_tester.core.errors import ProtocolError, TargetError
from tests.agents import running_agent
from tests.native_runtime import TEXT_BYTES

NATIVE = "tests.native_runtime.NativeRuntime"
SOURCE = Path(__file__).parent / "hostile_model.c"
EPERM, EACCES, ENOSYS = errno.EPERM, errno.EACCES, errno.ENOSYS
needs_isolation = pytest.mark.skipif(
    isolation_files.version() < 6 or bool(isolation_calls.why_unavailable()),
    reason="needs Linux 6.12 with Landlock and seccomp on x86-64 or AArch64",
)


def text(value: object) -> np.ndarray:
    content = np.zeros(TEXT_BYTES, np.uint8)
    words = os.fsencode(str(value))
    content[: len(words)] = list(words)
    return content


def attempt(client, what: str, argument: object = "") -> int:
    """Have the model try something; return 0 if it could, or the number of the error."""
    return int(client.run_sample([text(what), text(argument)]).outputs[0][0])


@contextlib.contextmanager
def hostile(folder, model, *words, **options):
    """An agent and a client of it whose model is native code."""
    with running_agent(folder, *words, runtime=NATIVE, **options) as agent:
        client = agent.connect()
        try:
            client.upload_model(model)
            yield agent, client
        finally:
            client.disconnect()


def ended(client, what: str, argument: object = "") -> str:
    """Return what a client is told whose model does not survive what it tries."""
    with pytest.raises((TargetError, ProtocolError)) as caught:
        attempt(client, what, argument)
    return str(caught.value)


def assert_serves(agent, model) -> None:
    client = agent.wait(20)
    client.upload_model(model)
    assert EPERM == attempt(client, "fork")
    client.disconnect()
