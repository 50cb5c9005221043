"""Leases of devices: one worker at a time, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.errors import BackendMissingError, LeaseError, OptionError
from edge_tester.core.search.leases import Lease

pytest.importorskip("sqlalchemy")
ROOT = Path(__file__).parents[3]
# Long enough for a busy machine, short enough to be waited for.
LEASE_S = 2.0
HOLDER = """
import sys, time
from edge_tester.core.errors import LeaseError
from edge_tester.core.search.leases import Lease
try:
    lease = Lease(sys.argv[1], ["a"], float(sys.argv[2]))
except LeaseError as error:
    print("refused", error, flush=True)
else:
    print("holds", lease.worker, flush=True)
    sys.stdin.readline()
    try:
        lease.require_held()
        print("held", flush=True)
    except LeaseError as error:
        print(error, flush=True)
    lease.close()
"""


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'leases.db'}"


@pytest.fixture
def start(address):
    """Start processes that hold the device a until they are told."""
    started = []

    def begin(lease_s=LEASE_S):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, address, str(lease_s)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_each_worker_has_a_device_of_its_own(address):
    with Lease(address, ["a", "b"], 60) as first, Lease(address, ["a", "b"], 60) as second:
        assert ("a", "b") == (first.device, second.device)
        assert {first.worker, second.worker} == first.workers()
        first.require_held()


def test_a_device_whose_holder_renews_is_refused_and_the_holder_named(address):
    with Lease(address, ["a"], 1) as first:
        told = []
        with pytest.raises(LeaseError, match=f"a is that of {first.worker}"):
            Lease(address, ["a"], 1, told.append)
        assert [
            "Waiting to see whether the holders are alive: a is that of " + first.worker
        ] == told
        first.require_held()


def test_a_device_is_free_at_once_when_it_is_given_back(address):
    Lease(address, ["a"], 600).close()
    begun_s = time.monotonic()
    with Lease(address, ["a"], 600) as second:
        assert {second.worker} == second.workers()
    assert time.monotonic() - begun_s < 60


def test_of_several_at_once_exactly_one_gets_it(start):
    processes = [start(5 * LEASE_S) for _ in range(5)]
    answers = [process.stdout.readline().split()[0] for process in processes]
    assert ["holds", *["refused"] * 4] == sorted(answers)


def test_the_lease_of_a_killed_worker_is_not_taken_before_it_has_expired(address, start):
    process = start()
    _, worker = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    with Lease(address, ["a", "b"], 60) as other:
        # There is another device.
        assert "b" == other.device
    told = []
    with Lease(address, ["a"], 60, told.append) as lease:
        # It may have been renewed up to a third of it before.
        assert time.monotonic() - killed_s > LEASE_S / 2
        assert {lease.worker} == lease.workers()
    assert [f"Waiting to see whether the holders are alive: a is that of {worker}"] == told


def test_a_worker_that_was_stopped_for_longer_finds_its_lease_lost(address, start):
    process = start()
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    with Lease(address, ["a"], 60) as lease:
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert "a is no longer this worker's: it was not renewed for 2 s.\n" == (
            process.stdout.readline()
        )
        process.wait()
        # What it gives back is not that of the other.
        lease.require_held()


def test_it_stays_lost_though_nobody_else_has_taken_it(start):
    process = start()
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_S + 0.5)
    process.send_signal(signal.SIGCONT)
    process.stdin.write("\n")
    process.stdin.flush()
    # Somebody may have had it and given it back.
    assert "a is no longer this worker's" in process.stdout.readline()


def test_a_database_that_is_away_for_a_while_loses_nothing(address, tmp_path):
    path = tmp_path / "leases.db"
    with Lease(address, ["a"], 600) as lease:
        content = path.read_bytes()
        path.write_bytes(b"no database at all" * 100)
        assert not lease._extended()
        path.write_bytes(content)
        lease.require_held()


def test_a_database_that_stays_away_ends_it(address, tmp_path):
    lease = Lease(address, ["a"], 1)
    (tmp_path / "leases.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(LeaseError, match="the database does not answer: file is not a database"):
        lease.require_held()
    lease.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "must be an address such as postgresql"),
        ("postgresql+psycopg://me:secret@host/name", "must not hold a password"),
        ("postgresql+psycopg://me@host/name?password=secret", "must not hold a password"),
        ("sqlite://", "must be a file of SQLite"),
        ("sqlite:////none/of/this/exists.db", "unable to open database file"),
        ("postgresql+psycopg://me@127.0.0.1:1/name", "port 1 failed: Connection refused"),
        ("oracle+thick://host/name", "must be an address such as"),
    ],
)
def test_what_is_no_database_for_it_is_refused_without_a_secret(address, message):
    if "127.0.0.1" in address:
        pytest.importorskip("psycopg")
    with pytest.raises(OptionError, match=message) as refused:
        Lease(address, ["a"], 60)
    assert "secret" not in str(refused.value)


def test_a_driver_that_is_not_installed_is_named():
    with pytest.raises(BackendMissingError, match="needs pg8000: pip install pg8000"):
        Lease("postgresql+pg8000://me@host/name", ["a"], 60)
