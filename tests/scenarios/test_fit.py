"""Fit, as a user types it."""

import json

import pytest

WORDS = ("fit", "m.tflite")


def test_a_small_model_fits_a_large_controller(user):
    pytest.importorskip("tflite_micro")
    where = ("--flash", "2MB", "--sram", "512KB")
    output = user.does(*WORDS, *where, "--check", "--output", "f.json")
    assert "m: fits" in output.splitlines()
    assert max(map(len, output.splitlines())) <= 80
    assert "tflite-micro, on 64 bits (bytes): activations 5,120" in output
    found = json.loads((user.folder / "f.json").read_text())
    assert ("fits", 5_120) == (found["verdict"], found["fit"]["arenas"]["as it is"])
    assert 5_120 == found["tflite_micro"]["head"]


def test_the_status_says_that_it_does_not_fit(user):
    status, output, errors = user.run(*WORDS, "--board", "rp2040", "--sram", "4KB")
    assert (1, "") == (status, errors)
    assert "m: does not fit" in output.splitlines()
    assert "RP2040 (Raspberry Pi Pico): Arm Cortex-M0+, two cores, 133 MHz" in output
    assert "* int8 instead of float32: " in output


def test_what_is_not_known_for_certain_is_undecided(user):
    # The file and the least code fit, the most code does not.
    output = user.does(*WORDS, "--flash", "64KB", "--sram", "64KB")
    assert "m: undecided" in output.splitlines()
    sure = user.does(*WORDS, "--flash", "64KB", "--sram", "64KB", "--runtime-code", "30KB")
    assert "m: fits" in sure.splitlines()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "needs --flash and --sram"),
        (("--flash", "2MB"), "needs --flash and --sram"),
        (("--flash", "2Mb", "--sram", "1KB"), "did you mean KB or MB"),
        (("--board", "rp2041"), "did you mean 'rp2040'"),
        (("--board", "rp2040", "--stack", "much"), "--stack must be a size"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(user, words, line):
    assert line in user.refused(*WORDS, *words)


def test_tflite_micro_is_asked_about_its_own_format_alone(user):
    line = user.refused("fit", "m.onnx", "--board", "rp2040", "--check")
    assert "takes no onnx model" in line
