"""What docs/wire.rst says is what the code does."""

import re
from pathlib import Path

import pytest

from edge_tester.core.results.profile import OperatorTime, Profile
from edge_tester.core.tensors import TensorSpec
from edge_tester.core.wire import frames, payloads, standing, states
from edge_tester.core.wire.frames import Flag, Type, encode_header

PAGE = (Path(__file__).parents[3] / "docs/wire.rst").read_text()
MAPS = [
    payloads.Hello,
    payloads.Challenge,
    payloads.Proof,
    standing.Standing,
    standing.Offer,
    standing.Served,
    standing.Reserved,
    payloads.Queued,
    payloads.Welcome,
    payloads.ModelDescription,
    payloads.Offered,
    payloads.Loaded,
    payloads.Counters,
    payloads.Failure,
    Profile,
    OperatorTime,
    TensorSpec,
]


@pytest.mark.parametrize("type_", MAPS, ids=lambda t: t.__name__)
def test_every_field_is_described(type_):
    described = set(re.findall(r"^``(\w+)``  ", PAGE, re.M))
    described |= {name for name in re.findall(r"^``(\w+)`` ", PAGE, re.M)}
    assert set(type_.__struct_fields__) - described == set()


def test_every_message_and_flag_has_its_number():
    for number, name in frames.TYPE_NAMES.items():
        assert re.search(rf"^{number} +{name} ", PAGE, re.M), name
    for name in ("MORE", "CHECKSUM"):
        assert re.search(rf"^{name} +{getattr(Flag, name)} ", PAGE, re.M), name


def test_every_feature_is_described():
    for name in states.FEATURES:
        assert f"``{name}``" in PAGE


def test_the_header_shown_is_one():
    (shown,) = re.findall(r"^    (45 44 47 54 .*)$", PAGE, re.M)
    assert encode_header(Type.HELLO, 0, 0, 8).hex(" ") == shown


def test_limits_are_those_of_the_code():
    for said, bytes_ in (
        ("8 + 65,536 bytes more", frames.SHAPES_LIMIT_BYTES),
        ("1 to 65,536\n", payloads.INFERENCES_LIMIT),
        ("a map of at most 64 KiB", frames.HELLO_LIMIT_BYTES),
        ("a map of at most 4 MiB", frames.PROFILE_LIMIT_BYTES),
        ("each time shall come, 1 to 1,000\n", payloads.PROFILE_INFERENCES_LIMIT),
        ("a map of at most 1 MiB", frames.DESCRIPTION_LIMIT_BYTES),
    ):
        number = {"65,536": 65536, "64 KiB": 64 << 10, "1 MiB": 1 << 20, "4 MiB": 4 << 20}
        number["1,000"] = 1000
        assert said in PAGE
        assert bytes_ in [value for text, value in number.items() if text in said]
    assert 2 * 7 + 8 == states.flight_limit(7)
    assert "2 s + 8 requests" in PAGE
