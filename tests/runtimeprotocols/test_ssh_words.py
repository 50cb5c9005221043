"""What is said to ssh: which host, and scripts for whatever shell is there."""

import shutil
import subprocess

import pytest

from edge_tester.core.errors import LocalProtocolError, OptionError
from edge_tester.runtimeprotocols._ssh import remote
from edge_tester.runtimeprotocols.ssh import SshProtocol


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("ssh://pi@raspberrypi", {"host": "pi@raspberrypi"}),
        ("ssh://raspberrypi/", {"host": "raspberrypi"}),
        ("ssh://pi@10.0.0.7:2222", {"host": "pi@10.0.0.7", "port": 2222}),
        ("ssh://pi@[fe80::1%eth0]:22", {"host": "pi@fe80::1%eth0", "port": 22}),
    ],
)
def test_addresses(address, options):
    assert options == SshProtocol.from_address(address).chosen_options()


@pytest.mark.parametrize(
    "address",
    [
        *("ssh://", "ssh://-oProxyCommand=true", "ssh://pi@-oProxyCommand=true"),
        *("ssh://pi@here reboot", "ssh://pi@here:port", "ssh://pi@here/folder", "ssh://@here"),
    ],
)
def test_what_ssh_would_misread_is_refused(address):
    with pytest.raises(OptionError, match="behind ssh://"):
        SshProtocol.from_address(address)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=true", "pi@here reboot"])
def test_a_host_that_is_an_option_of_ssh_never_reaches_it(host):
    with pytest.raises(OptionError, match="must be host or user@host"):
        SshProtocol(host=host).start_client()


def test_it_has_no_server():
    with pytest.raises(LocalProtocolError, match="has no server"):
        SshProtocol(host="here").start_server()


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "fish", "tcsh"])
@pytest.mark.parametrize(
    "words",
    [
        ["one", "", "two words", "$HOME `id` $(id) !x %s \\n \\\\ 'a' \"b\"", "*", "~"],
        ["two\nlines\n", "\\n\n\\0101", 'it\'s\n"so"', "#\n"],
    ],
    ids=["line", "lines"],
)
def test_a_script_and_its_words_arrive_through_any_login_shell(shell, words):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = 'for one in "$0" "$@"; do printf "%s\\0" "$one"; done'
    told = subprocess.run([shell, "-c", remote(script, words)], capture_output=True, text=True)
    assert words == told.stdout.split("\0")[:-1], told.stderr
