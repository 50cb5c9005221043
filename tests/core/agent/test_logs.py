"""A log that nobody reads."""

import json
import logging
import os
import resource

import pytest

from edge_tester.core.agent import logs
from edge_tester.core.agent.logs import PatientHandler
from edge_tester.core.errors import OptionError
from tests.agents import running_agent, wait_until
from tests.core.agent.guarded import connected


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def logger():
    logger = logging.Logger("test")
    yield logger
    logger.handlers.clear()


def test_lines_arrive_in_order(pipe, logger):
    handler = PatientHandler(logs.writer_to(pipe[1]))
    logger.addHandler(handler)
    for number in range(100):
        logger.info("line %d", number)
    handler.finish()
    lines = os.read(pipe[0], 1 << 16).decode().splitlines()
    assert [f"line {number}" for number in range(100)] == lines


def test_what_nobody_reads_is_dropped_and_counted(pipe, logger, monkeypatch):
    monkeypatch.setattr(logs, "_END_LIMIT_S", 5)
    handler = PatientHandler(logs.writer_to(pipe[1]))
    logger.addHandler(handler)
    for _ in range(5000):
        logger.info("x" * 1000)
    kept = len(handler._lines)
    assert kept <= logs._WAITING_LINES
    while len(handler._lines) > kept // 2:
        os.read(pipe[0], 1 << 16)
    logger.info("somebody reads")
    os.set_blocking(pipe[0], False)
    found = b""
    while b"somebody reads" not in found:
        try:
            found += os.read(pipe[0], 1 << 16)
        except BlockingIOError:
            continue
    assert b" lines were dropped\n" in found
    handler.finish()


def test_a_reader_that_is_gone_ends_nothing(logger):
    reading, writing = os.pipe()
    os.close(reading)
    handler = PatientHandler(logs.writer_to(writing))
    logger.addHandler(handler)
    for _ in range(10):
        logger.info("nobody is there")
    handler.finish()
    os.close(writing)


@pytest.fixture
def root():
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield root
    root.setLevel(before)


def test_full_files_are_exchanged_and_three_are_kept(tmp_path, root):
    path = tmp_path / "logs/agent.log"
    with logs.file_logging(path, as_json=False, limit_bytes=2000):
        for number in range(300):
            root.info("line %03d is 100 %% whole", number)
            while len(root.handlers[-1]._lines) > 100:
                continue
    files = sorted(path.parent.iterdir())
    assert ["agent.log", "agent.log.1", "agent.log.2", "agent.log.3"] == [f.name for f in files]
    assert all(f.stat().st_size <= 2000 for f in files)
    lines = [line for f in reversed(files) for line in f.read_text().splitlines()]
    assert lines[-1].endswith("INFO line 299 is 100 % whole")
    assert list(range(300 - len(lines), 300)) == [int(line.split()[4]) for line in lines]


def test_a_log_of_json_has_an_object_per_line(tmp_path, root):
    path = tmp_path / "agent.log"
    with logs.file_logging(path, as_json=True, limit_bytes=1 << 20):
        root.info("two\nlines")
        try:
            raise ValueError("no")
        except ValueError:
            root.exception("failed")
    first, second = map(json.loads, path.read_text().splitlines())
    assert ("INFO", "root", os.getpid(), "two\nlines") == (
        first["level"],
        first["logger"],
        first["process"],
        first["message"],
    )
    assert first["time"].endswith("+00:00")
    assert "ValueError: no" in second["traceback"]


def test_a_full_disk_ends_no_log(tmp_path, root):
    path = tmp_path / "agent.log"
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    with logs.file_logging(path, as_json=False, limit_bytes=1 << 20):
        root.info("before")
        while root.handlers[-1]._lines or not path.stat().st_size:
            continue
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, kept[1]))
        try:
            root.info("meanwhile")
            while root.handlers[-1]._lines:
                continue
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        root.info("afterwards")
    assert "before" in path.read_text() and "afterwards" in path.read_text()


def test_a_log_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="cannot be written"):
        with logs.file_logging(tmp_path / "file/log", as_json=False, limit_bytes=1000):
            pass


def test_an_agent_logs_to_a_file(tmp_path):
    path = tmp_path / "agent.json"
    words = ["--log-file", str(path), "--log-format", "json", "--verbosity", "ERROR"]
    with running_agent(tmp_path, *words) as agent:
        connected(agent.host).disconnect()
        wait_until(lambda: "ended" in path.read_text())
        assert "" == agent.log
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert "serving a test (local client)" in messages
    assert "session of local client ended" in messages
