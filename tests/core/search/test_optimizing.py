"""What a search tells its sampler, and what it makes of what comes back."""

import contextlib
import math
from pathlib import Path

import msgspec
import pytest

from edge_tester.core.errors import LeaseError, OptionError, UnreachableError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.results.known import Known
from edge_tester.core.run.observer import Observer
from edge_tester.core.search.leases import Lease
from edge_tester.core.search.limits import Limits
from edge_tester.core.search.optimizing import Optimizer, _sampler, _suggested, violations
from edge_tester.core.search.settings import Search, SweepSettings
from edge_tester.core.search.space import Range
from edge_tester.core.search.sweep import Sweep
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios._settings_file import understood

optuna = pytest.importorskip("optuna")
pytest.importorskip("torch_pruning")
# Every candidate has more parameters, so that none has to be measured.
ASKED = {
    "modelwrapper": {"class": "pytorch_digits"},
    "dataset": "digits",
    "training": {"num_epochs": 1},
    "space": {"pruning": {"low": 0.1, "high": 0.8}, "precision": ["fp32-torch"]},
    "limits": {"parameters": 1},
    "search": {"method": "nsga2", "trials": 2},
}


class Heard(Observer):
    """Keeps what it hears, and may interrupt then."""

    def __init__(self, error=None, at="no such text"):
        self.told = []
        self.error, self.at = error, at

    def tell(self, text):
        self.told.append(text)
        if self.at in text:
            raise self.error


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """A folder with a network that has learned something."""
    folder = tmp_path_factory.mktemp("baseline")
    asked = understood(on(folder), Path("sweep.yml"), SweepSettings, "x")
    model, dataset = asked.plan.model, asked.plan.dataset
    dataset.prepare()
    model.train(dataset, TrainingPlan(num_epochs=1))
    return folder


def on(folder, **changed):
    model = {"class": "pytorch_digits", "model_path": str(folder / "digits.pth")}
    return {**ASKED, "modelwrapper": model, **changed}


class Workers:
    """Starts workers that share a database."""

    def __init__(self, baseline, folder):
        self.baseline, self.folder = baseline, folder
        self.address = f"sqlite:///{folder / 'study.db'}"

    @contextlib.contextmanager
    def __call__(self, name="a", observer=None, protocol=None, **changed):
        content = on(self.baseline, **changed)
        plan, settings, _ = understood(content, Path("sweep.yml"), SweepSettings, "x")
        observer = observer or Heard()
        with Lease(self.address, [name], 600) as lease:
            sweep = Sweep(plan, settings, self.folder / name, observer, protocols=[protocol])
            yield Optimizer(sweep, lease, self.address, observer), lease, observer

    def trials(self):
        return optuna.load_study(study_name="sweep", storage=self.address).get_trials()

    def states(self):
        return [one.state.name for one in self.trials()]


@pytest.fixture
def worker(baseline, tmp_path):
    return Workers(baseline, tmp_path)


@pytest.fixture(scope="module")
def searched(baseline, tmp_path_factory):
    """A search that Ctrl-C ended in its last trial, and that then went on to its end."""
    worker = Workers(baseline, tmp_path_factory.mktemp("searched"))
    heard = Heard(KeyboardInterrupt(), "[2/2]")
    with worker(observer=heard) as (optimizer, *_), pytest.raises(KeyboardInterrupt):
        optimizer.run()
    interrupted = worker.states()
    with worker() as (optimizer, *_):
        return worker, interrupted, optimizer.run()


def test_ctrl_c_leaves_no_trial_running_and_its_values_are_tried_next(searched):
    worker, interrupted, _ = searched
    assert ["COMPLETE", "FAIL", "WAITING"] == interrupted
    assert ["COMPLETE", "FAIL", "COMPLETE"] == worker.states()
    trials = worker.trials()
    assert trials[1].params == trials[2].params
    assert trials[0].params != trials[1].params


def test_infeasible_trials_carry_positive_violations_and_are_never_measured(searched):
    worker, _, found = searched
    assert ["rejected"] * 2 == [t.stage for one in found.results for t in one.trials]
    for one in (worker.trials()[0], worker.trials()[2]):
        assert [0.0, math.inf] == one.values
        assert ["parameters"] == list(one.constraints)
        assert one.constraints["parameters"] > 100


def test_a_study_that_is_complete_is_read_not_gone_on_with(searched):
    worker, _, first = searched
    with worker("b") as (optimizer, _, heard):
        assert first.results == optimizer.run().results
    assert [] == [text for text in heard.told if text.startswith(("[", "Compressing"))]
    assert 3 == len(worker.trials())
    # What another worker has tried is described here too.
    named = [{p.name for p in (worker.folder / one / "trials").iterdir()} for one in "ab"]
    assert named[0] == named[1]
    assert 2 == len(named[0])


def test_another_space_is_refused(searched):
    space = {**ASKED["space"], "pruning": {"low": 0.1, "high": 0.7}}
    with (
        searched[0](space=space) as (optimizer, *_),
        pytest.raises(OptionError, match="begun with another space"),
    ):
        optimizer.run()


def test_what_a_worker_without_its_lease_has_tried_is_void(worker):
    with worker() as (optimizer, lease, heard):

        def lose(text):
            heard.told.append(text)
            if "[1/2]" in text:
                lease._run("UPDATE edge_tester_leases SET expires_s = 0")

        heard.tell = lose
        with pytest.raises(LeaseError, match="a is no longer this worker's"):
            optimizer.run()
    assert ["FAIL", "WAITING"] == worker.states()


def test_a_device_that_does_not_answer_ends_its_worker_not_the_study(worker, tmp_path):
    gone = NetworkProtocol(host=str(tmp_path / "nobody"))
    with worker(protocol=gone, limits={}) as (optimizer, *_), pytest.raises(UnreachableError):
        optimizer.run()
    assert ["FAIL", "WAITING"] == worker.states()


@pytest.mark.parametrize(
    "values",
    [{"low": 0.5, "high": 0.1}, {"low": 0, "high": 0.5, "log": True}],
)
def test_a_range_that_is_none_is_refused(worker, values):
    with (
        worker(space={"pruning": values}) as (optimizer, *_),
        pytest.raises(OptionError, match="The range of 'pruning' cannot be used"),
    ):
        optimizer.run()


def test_violations_are_parts_of_the_limits():
    settings = SweepSettings(
        limits=Limits(accuracy=0.8, latency_p50_ms=2.0, macs=100),
        memory_budgets_mib={"board": 0.5, "large": 8},
        active_budget="board",
    )
    figures = {
        "accuracy": Known(number=0.6),
        "latency_p50_ms": Known(number=1.0),
        "model_memory_mib": Known(number=1.0),
    }
    expected = {"accuracy": 0.25, "latency_p50_ms": -0.5, "macs": 0.0, "budget board": 1.0}
    assert expected == pytest.approx(violations(figures, settings))


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2", "nsga3"])
def test_samplers_of_other_devices_and_trials_draw_otherwise(method):
    settings = SweepSettings(search=Search(method=method))

    def drawn(device, count):
        study = optuna.create_study(directions=["maximize", "minimize"])
        study.sampler = _sampler(optuna, settings, device, count)
        return study.ask().suggest_float("x", 0, 1)

    assert drawn("a", 0) == drawn("a", 0)
    assert 4 == len({drawn(device, count) for device in "ab" for count in (0, 1)})


@pytest.mark.parametrize("method", ["tpe", "nsga2", "nsga3"])
def test_samplers_keep_to_what_keeps_the_limits(method):
    """What is forbidden is the better, so that only the limit speaks for the rest."""
    settings = SweepSettings(search=Search(method=method, trials=120))
    study = optuna.create_study(directions=["maximize", "minimize"])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for number in range(120):
        study.sampler = _sampler(optuna, settings, "a", number)
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        for other in "yzw":
            # An evolutionary search changes one of so many at a time, so a single one always.
            trial.suggest_float(other, 0, 1)
        limits = msgspec.structs.replace(settings, limits=Limits(macs=0.3))
        for name, value in violations({"macs": Known(number=x)}, limits).items():
            trial.set_constraint(name, value)
        study.tell(trial, (x, 1 - x))
    late = [one.params["x"] for one in study.get_trials()[60:]]
    # By chance they are 18, give or take 4.
    assert sum(x <= 0.3 for x in late) > 25


def test_ranges_reach_the_sampler_as_they_are():
    trial = optuna.trial.FixedTrial({"a": 2, "b": 0.5})
    assert 2 == _suggested(trial, "a", Range(low=1, high=4, step=1))
    assert 0.5 == _suggested(trial, "b", Range(low=0, high=1))
    kinds = [type(one).__name__ for one in trial.distributions.values()]
    assert ["IntDistribution", "FloatDistribution"] == kinds
