"""An agent that is stopped leaves nothing behind."""

from tests.agents import running_agent


def test_further_signals_do_not_keep_it_from_cleaning_up(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with running_agent(tmp_path, status=None) as agent:
        # The last ones meet an interpreter that ends, and may give it another status.
        while agent.process.poll() is None:
            agent.process.terminate()
    assert [] == list(scratch.iterdir())
