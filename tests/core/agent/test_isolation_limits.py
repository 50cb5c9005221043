"""What a session may take, and that who takes more is ended; the next client is served."""

import contextlib
import os
from pathlib import Path

import pytest

from edge_tester.core.errors import EdgeTesterError, TargetError
from tests.agents import FAULTY, echo_model, running_agent, sample, wait_until
from tests.hostile import assert_serves, attempt, ended, hostile, needs_isolation

pytestmark = needs_isolation


def test_a_model_that_eats_memory_gets_none(tmp_path, native_model):
    with hostile(tmp_path, native_model, "--memory-limit", "400MB") as (agent, client):
        assert 0 == attempt(client, "allocate", 50 << 20)
        assert 12 == attempt(client, "allocate", 500 << 20)
        said = ended(client, "allocate shared", 500 << 20)
        assert "MiB of memory; the target's limit is 400 MiB (--memory-limit" in said
        assert_serves(agent, native_model)


@pytest.mark.parametrize("fault", ["fill by one file", "fill by many files", "fill without names"])
def test_a_model_that_fills_the_disk_is_ended(tmp_path, fault):
    words = ("--fault", fault, "--scratch-limit", "64MB", "--time-limit-s", "30")
    with running_agent(tmp_path, *words, runtime=FAULTY) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        if fault == "fill by one file":
            with pytest.raises(TargetError, match="File too large"):
                client.run_sample(sample(1, 2, 3, 4))
        else:
            with pytest.raises(TargetError, match="limit is 67,108,864 .--scratch-limit"):
                client.run_sample(sample(1, 2, 3, 4))
        client.disconnect()
        following = agent.wait(20)
        following.upload_model(echo_model(tmp_path))
        following.run_sample(sample())
        following.disconnect()


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel shows such files to root alone")
def test_files_that_only_mappings_keep_are_counted(tmp_path, native_model):
    words = ("--scratch-limit", "64MB", "--time-limit-s", "30")
    with hostile(tmp_path, native_model, *words) as (agent, client):
        said = ended(client, "keep by mappings", 8)
        assert "The session wrote 134,2" in said and "--scratch-limit" in said
        assert_serves(agent, native_model)


@pytest.mark.parametrize("depth", [40, 3000])
def test_folders_within_folders_without_end_are_no_way_to_stay(
    tmp_path, native_model, monkeypatch, depth
):
    """Beyond what calls itself can follow, and beyond the longest path."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with hostile(tmp_path, native_model) as (agent, client):
        with contextlib.suppress(EdgeTesterError):
            # It is done in a moment, and found a moment later.
            assert 0 == attempt(client, "nest", depth)
            wait_until(lambda: "folders more than 32 deep" in agent.log)
        client.disconnect()
        assert_serves(agent, native_model)
        wait_until(lambda: not list(temporary.glob("*/session-1")))
        assert "folders more than 32 deep" in agent.log
    assert [] == list(temporary.iterdir())


def test_a_model_that_starts_threads_without_end_is_ended(tmp_path):
    words = ("--fault", "threads without end", "--time-limit-s", "60")
    with running_agent(tmp_path, *words, runtime=FAULTY) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        with pytest.raises(TargetError, match="threads; 1024 are allowed|can't start new thread"):
            client.run_sample(sample(1, 2, 3, 4))
        client.disconnect()


def test_a_crash_leaves_no_core(tmp_path, native_model):
    with hostile(tmp_path, native_model) as (agent, client):
        assert "SIGABRT" in ended(client, "core")
        assert_serves(agent, native_model)
    assert [] == [p for p in (Path.cwd() / "core", tmp_path / "core") if p.exists()]
