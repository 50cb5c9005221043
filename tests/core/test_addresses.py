"""Addresses of targets: forms, what is one, and what is said of what is none."""

import pytest

from edge_tester.core.addresses import forms, is_address, link_to
from edge_tester.core.errors import OptionError

FORMS = "adb://serial or host:port or /path/of/socket or ssh://user@host[:port]"


@pytest.mark.parametrize(
    ("address", "link", "options"),
    [
        ("192.168.0.7:12345", "NetworkProtocol", {"host": "192.168.0.7", "port": 12345}),
        ("[fe80::1]:12345", "NetworkProtocol", {"host": "fe80::1", "port": 12345}),
        ("/run/agent", "NetworkProtocol", {"host": "/run/agent"}),
        ("./agent", "NetworkProtocol", {"host": "./agent"}),
        ("ssh://pi@raspberrypi", "SshProtocol", {"host": "pi@raspberrypi"}),
        ("ssh://raspberrypi:2222", "SshProtocol", {"host": "raspberrypi", "port": 2222}),
        ("adb://R58M123ABC", "AdbProtocol", {"serial": "R58M123ABC"}),
        ("adb://192.168.0.9:5555", "AdbProtocol", {"serial": "192.168.0.9:5555"}),
        ("adb://", "AdbProtocol", {"serial": ""}),
    ],
)
def test_an_address_means_a_link(address, link, options):
    found = link_to(address)
    assert link == type(found).__name__
    assert options == found.chosen_options()
    assert is_address(address)


def test_the_forms_are_those_of_the_plugins():
    assert FORMS == " or ".join(forms())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("raspberrypi", "It needs a host and a port"),
        ("raspberrypi:", "It needs a host and a port"),
        (":12345", "It needs a host and a port"),
        ("raspberrypi:port", "It needs a host and a port"),
        ("raspberrypi:123456", "must be at most 65535"),
        ("telnet://raspberrypi", ""),
        ("ssh://-oProxyCommand=true", "behind ssh://"),
        ("adb://-a", "behind adb://"),
    ],
)
def test_what_is_none_gets_all_forms_and_why(address, why):
    with pytest.raises(OptionError) as caught:
        link_to(address)
    expected = f"The address of a target is {FORMS}, got {address!r}."
    assert str(caught.value).startswith(expected)
    assert why in str(caught.value)


@pytest.mark.parametrize("text", ["int8", "llvm -mcpu=generic", "m.tflite", "a/b", "mynet:make"])
def test_names_of_other_things_are_none(text):
    assert not is_address(text)


def test_a_path_is_one_only_where_nothing_else_can_be_meant():
    assert is_address("/data")
    assert not is_address("/data", paths=False)
