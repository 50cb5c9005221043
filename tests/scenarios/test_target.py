"""``--target ADDRESS``, and addresses where a link is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge_tester.core.errors import OptionError, PluginError
from edge_tester.core.options import options_of
from edge_tester.runtimeprotocols.ssh import SshProtocol
from edge_tester.scenarios import compare, conversion_validation, inference_client, throughput
from edge_tester.scenarios._matrix_file import read_matrix
from edge_tester.scenarios.optimization_sweep import _targets

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "edge_tester" / "resources" / "digits.tflite"
SSH = {"host": "pi@raspberrypi"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(DIGITS, "m.tflite")
    return tmp_path


def link_of(line, command=inference_client.COMMAND):
    parsed = command.parse(line.split())
    (link,) = [part for role, part in parsed.parts if role == "runtimeprotocols"]
    return type(link).__name__, link.chosen_options(), parsed


@pytest.mark.parametrize(
    "line",
    [
        "m.tflite --target ssh://pi@raspberrypi",
        "--target=ssh://pi@raspberrypi m.tflite",
        "m.tflite ssh://pi@raspberrypi r n",
        "m.tflite --protocol ssh://pi@raspberrypi",
        "m.tflite ssh --host pi@raspberrypi",
    ],
)
def test_one_word_says_where(line):
    name, options, parsed = link_of(line)
    assert ("SshProtocol", SSH) == (name, options)
    assert not parsed.left_out("runtimeprotocols")
    assert inference_client.link_of(parsed) is not None


def test_flags_of_the_link_go_with_it():
    line = "m.tflite --target ssh://pi@raspberrypi --bring-wheels --port 2222"
    assert {**SSH, "bring_wheels": True, "port": 2222} == link_of(line)[1]


@pytest.mark.parametrize("module", [compare, conversion_validation, throughput])
def test_other_commands_take_it_alike(module):
    line = "m.tflite --target 192.168.0.7:5000"
    if module is throughput:
        line += " --latency-bound-ms 5"
    name, options, parsed = link_of(line, module.COMMAND)
    assert ("NetworkProtocol", {"host": "192.168.0.7", "port": 5000}) == (name, options)
    assert ("192.168.0.7:5000",) == parsed.targets


def test_a_path_is_a_socket_as_a_target_and_a_folder_as_a_word():
    assert ("NetworkProtocol", {"host": "/run/agent"}) == link_of("m.tflite --target /run/agent")[
        :2
    ]
    parsed = inference_client.COMMAND.parse(["m.tflite", "/run/"])
    assert parsed.left_out("runtimeprotocols")
    assert "/run/" == parsed.trailing["report_directory"]


def test_the_kind_of_device_of_a_compiler_is_another_thing():
    line = "m.tflite compilers.tflite --target int8 --target ssh://pi@raspberrypi"
    name, options, parsed = link_of(line)
    assert ("SshProtocol", SSH) == (name, options)
    (compiler,) = [part for role, part in parsed.parts if role == "compilers"]
    assert "int8" == compiler.target


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--target 1.2.3.4:5 --target ssh://pi@x", "one target for now, got 1.2.3.4:5, ssh://pi@x"),
        ("network --target ssh://pi@x", "names one of the runtimeprotocols too"),
        ("--protocol stdio --target ssh://pi@x", "names a link, and so does 'stdio'"),
        ("--target raspberrypi", "the address of a target would be adb://serial or host:port"),
        ("--target ssh://-oProxyCommand=x", "The address of a target is .*behind ssh://"),
        ("--target telnet://x", "The address of a target is .*, got 'telnet://x'"),
    ],
)
def test_what_is_no_target_is_said(line, said):
    with pytest.raises((OptionError, PluginError), match=said):
        inference_client.COMMAND.parse(["m.tflite", *line.split()])


def test_an_agent_of_one_s_own_is_not_elsewhere():
    parsed = link_of("m.tflite --target ssh://pi@x --start-agent")[2]
    with pytest.raises(OptionError, match="--start-agent starts an agent of its own"):
        inference_client.link_of(parsed)


def test_scenario_files_name_links_so():
    content = {"modelwrapper": "m.tflite", "runtimeprotocol": "ssh://pi@raspberrypi"}
    parsed = inference_client.COMMAND.read(content, "x.yml")
    assert SSH == parsed.part(SshProtocol).chosen_options()


MATRIX = {
    "modelwrapper": "m.tflite",
    "combinations": [{"runtime": "tflite"}],
    "targets": {"here": None, "board": "ssh://pi@raspberrypi"},
}


def links_of(only="", **changes):
    Path("m.yml").write_text(yaml.safe_dump({**MATRIX, **changes}))
    plans = read_matrix(Path("m.yml"), only).plans
    return {name: one.protocol and one.protocol.chosen_options() for name, one in plans.items()}


def test_a_matrix_runs_where_its_file_or_the_command_says():
    both = {"here-tflite": None, "board-tflite": SSH}
    assert both == links_of()
    # Its record is that of the whole matrix, which then has it.
    assert {"board-tflite": SSH} == links_of("board")
    elsewhere = {"host": "10.0.0.7", "port": 5000}
    assert {"10.0.0.7_5000-tflite": elsewhere} == links_of("10.0.0.7:5000")
    assert {"tflite": None} == links_of("here", targets={"here": None})
    with pytest.raises(OptionError, match="has no target 'boart'; it has board, here. As an add"):
        links_of("boart")


def test_a_sweep_runs_where_its_file_or_the_command_says():
    targets = {"here": None, "board": "ssh://pi@raspberrypi"}
    found = _targets(targets, "", Path("s.yml"))
    assert found["here"] is None
    assert SSH == found["board"].chosen_options()
    assert ["board"] == list(_targets(targets, "board", Path("s.yml")))
    ((name, link),) = _targets(targets, "ssh://pi@10.0.0.7:2222", Path("s.yml")).items()
    assert "ssh_pi_10.0.0.7_2222" == name
    assert {"host": "pi@10.0.0.7", "port": 2222} == link.chosen_options()
    with pytest.raises(OptionError, match="has no target 'boart'"):
        _targets(targets, "boart", Path("s.yml"))


def test_a_pipeline_takes_it_in_place_of_its_file_s_address():
    Path("p.yml").write_text(yaml.safe_dump({"modelwrapper": "m.tflite", "address": "1.2.3.4:5"}))
    command = [sys.executable, "-m", "edge_tester", "pipeline", "p.yml", "--target", "elsewhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (2, True) == (done.returncode, "got 'elsewhere'" in done.stderr), done.stderr


def test_what_starts_the_agent_may_set_what_is_its_owner_s():
    """The host's user is the owner of what it starts by ssh, and of no other agent."""
    from edge_tester.core.run.plan import Plan

    parts = {"modelwrapper": {"class": "tflite_file", "model_path": "m.tflite"}}
    parts |= {"dataset": {"class": "random_inputs"}}
    parts |= {"runtime": {"class": "tflite", "delegates_list": ["libedgetpu.so.1"]}}
    there = {"class": "ssh", "host": "pi@raspberrypi"}
    mine = Plan.from_mapping({**parts, "runtimeprotocol": there})
    assert ({}, {}) == (mine.client_options(), mine.owners_options())
    another = Plan.from_mapping({**parts, "runtimeprotocol": {"class": "network"}})
    assert {"delegates_list": ["libedgetpu.so.1"]} == another.owners_options()
    assert "--delegates-list" in _agent_words(parts, there)
    assert [] == [o for o in options_of(SshProtocol) if o.target_only]


def _agent_words(parts, there):
    from edge_tester.core.run.plan import Plan

    plan = Plan.from_mapping({**parts, "runtimeprotocol": there})
    plan.protocol.runtime = plan.runtime
    return plan.protocol._agent_words("stdio")
