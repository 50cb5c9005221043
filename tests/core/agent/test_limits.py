"""What a client may ask of a target."""

import pytest

from edge_tester.core.agent.limits import THREADS_PER_PROCESSOR, require_threads
from edge_tester.core.errors import OptionError, TargetError
from edge_tester.core.options import option
from edge_tester.core.system.machine import usable_processors
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.agents import running_agent

ALLOWED = THREADS_PER_PROCESSOR * usable_processors()


class ForeignRuntime(EchoRuntime):
    """Calls its threads something else."""

    thread_options = ("workers",)

    workers: int | None = option(None, help="Threads")


def test_the_number_of_threads_has_an_end():
    require_threads(TFLiteRuntime(num_threads=ALLOWED), TFLiteRuntime())
    with pytest.raises(OptionError, match=f"num_threads must be at most {ALLOWED} on this target"):
        require_threads(TFLiteRuntime(num_threads=ALLOWED + 1), TFLiteRuntime())
    # What the owner has set, a client may have.
    require_threads(TFLiteRuntime(num_threads=1000), TFLiteRuntime(num_threads=1000))
    require_threads(ForeignRuntime(), ForeignRuntime())
    with pytest.raises(OptionError, match="ForeignRuntime.workers must be"):
        require_threads(ForeignRuntime(workers=10_000), ForeignRuntime())


def test_a_client_that_asks_for_too_many_threads_is_refused(tmp_path):
    with running_agent(tmp_path, runtime="tests.core.agent.test_limits.ForeignRuntime") as agent:
        with pytest.raises(TargetError, match="workers must be at most") as caught:
            agent.connect(runtime_options={"workers": ALLOWED + 1})
        assert "refused" == caught.value.code
