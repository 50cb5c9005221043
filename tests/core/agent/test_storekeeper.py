"""Who keeps the models of all sessions: its limits, and what it does not do for anybody."""

import contextlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from edge_tester.core.agent.shelf import Shelf
from edge_tester.core.agent.storage import Store, receive_description
from edge_tester.core.agent.storekeeper import KeptElsewhere, Request, Storekeeper
from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import TargetError
from tests.agents import echo_model, running_agent, sample, wait_until
from tests.core.agent.test_storage import arrived, facts_of, kept, payload


def test_the_limit_of_the_store_is_kept_and_what_is_in_use_stays(tmp_path):
    folder = tmp_path / "store"
    shelf = Shelf(folder, limit_bytes=250)
    contents = [bytes([number]) * 100 for number in range(4)]
    names = [facts_of(content)["sha256"] for content in contents]

    def keep(content: bytes, place: Path) -> None:
        data = payload(content)
        channel = arrived(data)
        Store(shelf).receive(channel, receive_description(channel, len(data)), place)

    for number, content in enumerate(contents[:2]):
        keep(content, tmp_path / f"model-{number}")
        os.utime(folder / names[number], (number, number))
    # The first was used longer ago, but a session has it under a second name.
    (tmp_path / "model-1").unlink()
    keep(contents[2], tmp_path / "model-2")
    assert {names[0], names[2]} == {path.name for path in folder.iterdir()}
    # One that somebody is about to use has none yet.
    (tmp_path / "model-0").unlink()
    shelf.in_use = [names[0]]
    (tmp_path / "model-2").unlink()
    keep(contents[3], tmp_path / "model-3")
    assert {names[0], names[3]} == {path.name for path in folder.iterdir()}
    with pytest.raises(TargetError, match="no space .* over --store-limit, 250 bytes") as caught:
        keep(bytes(251), tmp_path / "model-4")
    assert "storage" == caught.value.code
    assert {names[0], names[3]} == {path.name for path in folder.iterdir()}


def test_what_was_not_used_for_too_long_goes(tmp_path):
    folder = tmp_path / "store"
    contents = [bytes([number]) * 100 for number in range(3)]
    names = [facts_of(content)["sha256"] for content in contents]
    for number, content in enumerate(contents[:2]):
        kept(folder, payload(content), tmp_path / "model")
        now_s = time.time() - 50 * (1 - number)
        os.utime(folder / names[number], (now_s, now_s))
    (folder / "of-an-upload.part").write_bytes(b"x")
    os.utime(folder / "of-an-upload.part", (0, 0))
    (tmp_path / "model").unlink()
    Shelf(folder, age_limit_s=40).tidy()
    assert [names[1]] == [path.name for path in folder.iterdir()]
    # A limit that became smaller while no agent ran.
    Shelf(folder, limit_bytes=99).tidy()
    assert [] == list(folder.iterdir())


def test_an_agent_keeps_to_the_limit_of_its_store(tmp_path):
    store = tmp_path / "store"
    models = [echo_model(tmp_path, size) for size in (4, 5, 6)]
    limit = str(sum(model.size_bytes for model in models[1:]))
    words = ("--store-directory", str(store), "--store-limit", limit)
    with running_agent(tmp_path, *words) as agent:
        for number, model in enumerate(models):
            client = agent.wait(20)
            client.upload_model(model)
            client.disconnect()
            wait_until(lambda: links_of(store) == {1})
            os.utime(store / model.sha256, (number, number))
        left = {model.sha256 for model in models[1:]}
        assert left == {path.name for path in store.iterdir()}
        client = agent.wait(20)
        large = tmp_path / "large.echo"
        large.write_text(models[0].path.read_text() + " " * int(limit))
        with pytest.raises(TargetError, match="over --store-limit"):
            client.upload_model(Artifact.from_file(large))
        client.upload_model(models[2])
        client.disconnect()


def links_of(store: Path) -> set[int]:
    """How many names files of a store have: more than one while a session has them."""
    return {path.stat().st_nlink for path in store.iterdir()}


def test_two_sessions_at_once_have_one_model_each_under_its_own_name(tmp_path, opened):
    store = tmp_path / "store"
    with running_agent(tmp_path, "--store-directory", str(store)) as agent:
        first = opened(agent)
        first.upload_model(echo_model(tmp_path))
        second, told = opened(agent, first), []
        second.upload_model(echo_model(tmp_path), progress=told.append)
        assert echo_model(tmp_path).size_bytes == told[0]
        assert {3} == links_of(store)
        for client in (first, second):
            assert [[0, 2, 3, 4]] == client.run_sample(sample()).outputs[0].tolist()


def test_the_owner_s_place_gets_the_model_too(tmp_path):
    place = tmp_path / "kept" / "model.echo"
    with running_agent(tmp_path, "--save-model-path", str(place)) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        assert echo_model(tmp_path).path.read_bytes() == place.read_bytes()
        assert [[0, 2, 3, 4]] == client.run_sample(sample()).outputs[0].tolist()
        # A later one of the same session must not write there any more.
        client.upload_model(echo_model(tmp_path, 2))
        assert [[7, 8]] == client.run_sample(sample(7, 8)).outputs[0].tolist()
        client.disconnect()
        assert echo_model(tmp_path).path.read_bytes() == place.read_bytes()
        wait_until(lambda: "keeps the first model of a session" in agent.log)


@pytest.mark.parametrize(
    "request_",
    [
        Request("keep", "0" * 64, place="/etc/passwd"),
        Request("open", "../../etc/passwd"),
        Request("open", "A" * 64),
    ],
)
def test_a_keeper_does_not_answer_what_no_session_of_ours_asks(tmp_path, request_):
    keeper = Storekeeper(Shelf(tmp_path / "store"))
    try:
        with keeper.open(tmp_path / "models") as connection:
            connection.sendall(msgspec.json.encode(request_) + b"\n")
            assert b"" == connection.recv(1)
        with keeper.open(tmp_path / "models") as connection:
            connection.sendall(b"x" * 5000)
            with contextlib.suppress(ConnectionResetError):
                assert b"" == connection.recv(1)
        # It still serves others, also in pieces.
        with keeper.open(tmp_path / "models") as connection:
            line = msgspec.json.encode(Request("stored_bytes", "0" * 64)) + b"\n"
            for begin in range(len(line)):
                connection.sendall(line[begin : begin + 1])
            assert b'{"number":0,"error":0,"reason":""}\n' == connection.recv(4096)
    finally:
        keeper.close()
    assert not (tmp_path / "store").exists()


def test_two_sessions_that_receive_one_model_at_once_spoil_nothing(tmp_path):
    """The second begins in the middle of the first, and ends before it."""
    content = bytes(range(256)) * 1000
    size, sha256 = len(content), facts_of(content)["sha256"]
    keeper = Storekeeper(Shelf(tmp_path / "store"))
    try:
        sides = []
        for name in ("first", "second"):
            for folder in ("own", "models"):
                (tmp_path / name / folder).mkdir(parents=True)
            connection = keeper.open(tmp_path / name / "models")
            place = tmp_path / name
            sides.append(KeptElsewhere(connection, place / "own", place / "models"))
        first = sides[0].open(sha256, size, 0)
        os.write(first, content[:200_000])
        second = sides[1].open(sha256, size, 0)
        os.write(second, content[:50_000])
        os.write(first, content[200_000:])
        assert content == sides[0].keep(sha256, tmp_path / "first/own/model.echo").read_bytes()
        os.write(second, content[50_000:])
        assert content == sides[1].keep(sha256, tmp_path / "second/own/model.echo").read_bytes()
        assert [sha256] == [path.name for path in (tmp_path / "store").iterdir()]
        for descriptor in (first, second):
            os.close(descriptor)
        for side in sides:
            side.left()
    finally:
        keeper.close()
