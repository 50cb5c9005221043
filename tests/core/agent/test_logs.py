"""A log that nobody reads."""

import logging
import os

import pytest

from edge_tester.core.agent import logs
from edge_tester.core.agent.logs import PatientHandler


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
    handler = PatientHandler(pipe[1])
    logger.addHandler(handler)
    for number in range(100):
        logger.info("line %d", number)
    handler.finish()
    lines = os.read(pipe[0], 1 << 16).decode().splitlines()
    assert [f"line {number}" for number in range(100)] == lines


def test_what_nobody_reads_is_dropped_and_counted(pipe, logger, monkeypatch):
    monkeypatch.setattr(logs, "_END_LIMIT_S", 5)
    handler = PatientHandler(pipe[1])
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
    handler = PatientHandler(writing)
    logger.addHandler(handler)
    for _ in range(10):
        logger.info("nobody is there")
    handler.finish()
    os.close(writing)
