"""Functions in processes of their own."""

import ctypes
import os
import sys
import time

import pytest

from edge_tester.core.errors import CompilationError, IsolationError, TargetError
from edge_tester.core.making.isolation import Helper, isolated


def answer(value):
    return {"value": value, "process": os.getpid()}


def remember(value):
    sys.remembered = value


def remembered():
    return getattr(sys, "remembered", None)


def crash():
    ctypes.string_at(0)


def leave():
    sys.exit(3)


def sleep():
    time.sleep(600)


def fail():
    raise ZeroDivisionError("of no use")


def fail_as_compiler():
    raise CompilationError("no such operation")


def fail_as_target():
    raise TargetError("model", "it is corrupt")


def test_the_result_comes_from_another_process():
    found = isolated(answer, [1, 2])
    assert [1, 2] == found["value"]
    assert os.getpid() != found["process"]


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (crash, IsolationError, "Its process was ended by SIGSEGV"),
        (leave, IsolationError, "Its process ended with exit status 3"),
        (fail, IsolationError, "ZeroDivisionError: of no use"),
        (fail_as_compiler, CompilationError, "no such operation"),
        (fail_as_target, TargetError, "it is corrupt"),
    ],
)
def test_whatever_goes_wrong_is_an_error(function, error, match):
    with pytest.raises(error, match=match):
        isolated(function)


def test_what_takes_too_long_is_ended():
    with pytest.raises(IsolationError, match="It took longer than 0.5 s"):
        isolated(sleep, timeout_s=0.5)


def test_what_was_prepared_is_there_when_it_is_called():
    with Helper(remember, 5) as helper:
        assert 5 == helper.call(remembered)


@pytest.mark.parametrize("preparation", [fail, fail_as_compiler])
def test_what_fails_while_preparing_is_left_to_the_call(preparation):
    with Helper(preparation) as helper:
        assert [1] == helper.call(answer, [1])["value"]


def test_a_process_that_dies_while_preparing_says_so_when_it_is_called():
    with Helper(crash) as helper:
        with pytest.raises(IsolationError, match="Its process was ended by SIGSEGV"):
            helper.call(answer, 1)


def test_a_process_that_is_not_called_is_ended():
    with Helper(sleep) as helper:
        process = helper._process
        assert process.poll() is None
    assert process.poll() is not None
