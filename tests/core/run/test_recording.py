from pathlib import Path

from edge_tester.core.artifact import Artifact
from edge_tester.core.record import Block, Machine
from edge_tester.core.run.recording import (
    clock_remarks,
    components_of,
    distributions_of,
    model_facts,
    remarks_of,
    thread_remarks,
)

FIRST = Artifact(path=Path("net.pth"), format="torch", size_bytes=9, sha256="a")
SECOND = Artifact(
    path=Path("net.onnx"),
    format="onnx",
    size_bytes=8,
    sha256="b",
    producer="mine.ToONNX",
    options={"level": 1},
    facts={"self_check": {"run": True}},
    tool_versions={"onnx": "1.2"},
    remarks=("the second step is doubtful",),
    parent=FIRST,
)
THIRD = Artifact(
    path=Path("net.so"),
    format="tvm",
    size_bytes=7,
    sha256="c",
    content_bytes=5,
    producer="mine.ToTVM",
    tool_versions={"apache-tvm": "0.3"},
    remarks=("so is the third",),
    parent=SECOND,
)


def test_every_step_of_a_chain_is_told_with_its_own_options():
    steps = [(one.role, one.name, one.options) for one in components_of([], THIRD)]
    assert [
        ("compiler", "mine.ToONNX", {"level": 1}),
        ("compiler", "mine.ToTVM", {}),
    ] == steps
    components = components_of([], THIRD)
    assert [{"onnx": "1.2"}, {"apache-tvm": "0.3"}] == [one.versions for one in components]
    assert [{"self_check": {"run": True}}, {}] == [one.facts for one in components]
    assert {"onnx", "apache-tvm"} == set(distributions_of(THIRD))
    assert ["the second step is doubtful", "so is the third"] == remarks_of(THIRD)
    facts = model_facts(THIRD, [], [])
    assert ["net.onnx", "net.pth"] == [parent["name"] for parent in facts.parents]
    assert {"self_check": {"run": True}} == facts.parents[0]["compiler_facts"]
    # What the user's files take, without the archive that they are sent in.
    assert 5 == facts.size_bytes
    assert 8 == model_facts(SECOND, [], []).size_bytes


def processors(count):
    """A machine with so many."""
    return Machine(hostname="board", system="Linux", architecture="aarch64", cpu_count=count)


def test_more_threads_than_processors_are_doubted():
    assert "has 8 threads, but may use 2" in thread_remarks({"num_threads": 8}, processors(2))[0]
    for threads, usable in ((2, 2), (1, 2), (None, 2), (8, None), ("many", 2)):
        assert [] == thread_remarks({"num_threads": threads}, processors(usable))


def test_clocks_that_contradict_each_other_are_said():
    block = Block(start_ns=0, target_ns=[10, 20, 30], host_ns=[15, 19, 31])
    assert "1 of 3 host times are shorter" in clock_remarks([block])[0]
    assert [] == clock_remarks([Block(start_ns=0, target_ns=[10], host_ns=[10])])
    # One time for a whole block is compared with the whole block.
    assert [] == clock_remarks([Block(start_ns=0, target_ns=[10, 20], host_ns=[30])])
    whole = Block(start_ns=0, target_ns=[10, 20], host_ns=[29])
    assert "1 of 1 host times" in clock_remarks([whole])[0]
