"""Addresses of devices, as a pipeline's file has them."""

import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.pipeline.settings import link_to


def test_no_address_is_no_link():
    assert link_to("") is None


def test_ssh_runs_the_agent_there():
    options = link_to("ssh://pi@raspberrypi").chosen_options()
    assert "ssh pi@raspberrypi edge-tester server --stdio" == options["command"]


@pytest.mark.parametrize(
    ("address", "host"), [("192.168.0.7:12345", "192.168.0.7"), ("[fe80::1]:12345", "fe80::1")]
)
def test_host_and_port(address, host):
    options = link_to(address).chosen_options()
    assert (host, 12345) == (options["host"], options["port"])


@pytest.mark.parametrize("place", ["", "-oProxyCommand=true", "pi@here reboot"])
def test_what_ssh_would_misread_is_refused(place):
    with pytest.raises(OptionError, match="ssh://pi@raspberrypi is expected"):
        link_to(f"ssh://{place}")


@pytest.mark.parametrize("address", ["raspberrypi", "raspberrypi:", ":12345", "raspberrypi:port"])
def test_neither_form_is_refused(address):
    with pytest.raises(OptionError, match="host:port or ssh://user@host"):
        link_to(address)
