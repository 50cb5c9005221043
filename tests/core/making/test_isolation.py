"""Functions in processes of their own."""

import ctypes
import os
import sys
import time

import pytest

from edge_tester.core.errors import CompilationError, IsolationError, TargetError
from edge_tester.core.making.isolation import isolated


def answer(value):
    return {"value": value, "process": os.getpid()}


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
