"""Trials in a database: given up, begun again, counted over all workers."""

import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.search.limits import Judgement
from edge_tester.core.search.space import Configuration
from edge_tester.core.search.studies import Study
from edge_tester.core.search.trial import Trial

optuna = pytest.importorskip("optuna")
LEASE_S = 600.0


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def study(address):
    return Study(address, "sweep")


def asked(study, worker="me", device="a"):
    trial = study.ask(optuna.samplers.RandomSampler(seed=1), worker, device)
    trial.suggest_float("x", 0, 1)
    return trial


def tried(name, stage="measured"):
    return Trial(
        name=f"{name}_seed-0",
        configuration=Configuration(precision="fp32", name=name),
        seed=0,
        stage=stage,
        judgement=Judgement(feasibility="feasible"),
    )


def states(address):
    found = optuna.load_study(study_name="sweep", storage=address).get_trials()
    return [one.state.name for one in found]


def test_what_another_worker_has_ended_is_known_here(study, address):
    other = Study(address, "sweep")
    assert other.tell(asked(other, "you", "b"), [tried("one")], (0.9, 1.5), {})
    assert study.tell(asked(study), [tried("two")], (0.8, 1.0), {})
    assert 2 == study.ended() == study.count()
    assert ["one_seed-0", "two_seed-0"] == [one.name for one in study.trials()]
    assert [tried("one")] == study.tried("one")
    assert [] == study.tried("three")
    assert {"a", "b"} == study.devices()


def test_the_trial_of_a_worker_without_a_device_is_begun_again_with_its_values(study, address):
    lost = asked(study, "killed")
    asked(study, "alive", "b")
    assert 1 == study.running(lambda: {"alive"}, LEASE_S)
    assert ["FAIL", "RUNNING", "WAITING"] == states(address)
    # Nobody begins it twice.
    assert 1 == study.running(lambda: {"alive"}, LEASE_S)
    again = asked(study, "other")
    assert (2, lost.params) == (again.number, again.params)
    assert study.tell(again, [tried("one")], (0.9, 1.5), {})
    assert ["FAIL", "RUNNING", "COMPLETE"] == states(address)
    assert 1 == study.ended()


def test_nobody_gives_up_the_trial_of_a_worker_that_is_alive(study, address):
    asked(study, "alive")
    assert 1 == study.running(lambda: {"alive"}, 0)
    assert ["RUNNING"] == states(address)


def test_a_trial_of_which_nobody_says_whose_it_is_is_given_up_after_the_lease(study, address):
    # A worker that was killed between two statements.
    optuna.load_study(study_name="sweep", storage=address).ask()
    assert 1 == study.running(set, LEASE_S)
    assert 0 == study.running(set, 0)
    assert ["FAIL", "WAITING"] == states(address)


def test_what_is_told_too_late_is_void(study, address):
    late = asked(study, "stopped")
    assert 0 == study.running(set, LEASE_S)
    assert not study.tell(late, [tried("one")], (0.9, 1.5), {"accuracy": 1.0})
    assert ([], 0) == (study.trials(), study.ended())
    assert ["FAIL", "WAITING"] == states(address)


def test_what_ends_its_workers_again_and_again_is_not_tried_for_ever(study, address):
    for _ in range(4):
        asked(study, "killed")
        assert 0 == study.running(set, LEASE_S)
    assert ["FAIL"] * 4 == states(address)


def test_what_was_interrupted_is_begun_again_as_often_as_that_happens(study, address):
    for _ in range(5):
        study.begin_again(asked(study).number, interrupted=True)
    assert [*["FAIL"] * 5, "WAITING"] == states(address)


def test_only_what_was_not_told_is_given_up(study, address):
    trial = asked(study)
    assert study.tell(trial, [tried("one")], (0.9, 1.5), {})
    study.begin_again(trial.number)
    assert ["COMPLETE"] == states(address)


def test_what_is_hopeless_counts_as_tried_but_is_not_used_again(study, address):
    broken = tried("broken", "failed")
    assert study.tell(asked(study), [broken], None, {"accuracy": 0.0}, "no memory")
    assert ["PRUNED"] == states(address)
    assert (1, [broken], []) == (study.ended(), study.trials(), study.tried("broken"))
    (kept,) = optuna.load_study(study_name="sweep", storage=address).get_trials()
    assert "no memory" == kept.user_attrs["reason"]


def test_what_was_measured_again_takes_the_place_of_the_first(study, address):
    study.tell(asked(study), [tried("one")], (0.9, 1.5), {})
    better = tried("one", "rejected")
    study.replace(better)
    assert [better] == Study(address, "sweep").trials()


def test_violations_are_told_with_their_names_and_signs(study, address):
    study.tell(asked(study), [tried("one")], (0.9, 1.5), {"accuracy": -0.1, "macs": 0.5})
    (kept,) = optuna.load_study(study_name="sweep", storage=address).get_trials()
    assert {"accuracy": -0.1, "macs": 0.5} == kept.constraints


def test_all_workers_of_a_study_must_ask_for_the_same(study, address):
    agreed = {"space": {"pruning": [0, 0.5]}, "baseline of seed 0": "12ab", "samples": "34cd"}
    study.require_same(agreed)
    other = Study(address, "sweep")
    other.require_same(agreed)
    with pytest.raises(OptionError, match="begun with another space: give another name as 'study'"):
        other.require_same({**agreed, "space": {}})
    with pytest.raises(OptionError, match="other files: baseline of seed 0 differ.*'model_path'"):
        other.require_same({**agreed, "baseline of seed 0": "56ef"})
    Study(address, "another").require_same({"space": {}})


def test_a_study_of_somebody_else_is_left_alone(address):
    optuna.create_study(study_name="sweep", storage=address).ask()
    with pytest.raises(OptionError, match="'sweep' of this database was not made by a sweep"):
        Study(address, "sweep").require_same({})


def test_trials_of_another_version_are_not_guessed_at(study):
    asked(study).set_user_attr("trials", [])
    trial = asked(study)
    study.tell(trial, [tried("one")], (0.9, 1.5), {})
    study._study.set_user_attr("measured again: x", {"unheard": 1})
    with pytest.raises(OptionError, match="'sweep' was made by another version"):
        study.trials()
