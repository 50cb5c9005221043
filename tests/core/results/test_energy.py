"""Energy of an inference: what was counted, without idling; or an estimate, said to be one."""

import msgspec
import pytest

from edge_tester.core.record import Block, Component
from edge_tester.core.results.energy import energies_of
from tests.report.records import record, replicate

MILLISECOND_NS = 1_000_000


def metered(*powers_w, idle_w=2.0, names=("battery_j",)):
    """A replicate for each power: ten inferences of 10 ms, in two blocks."""
    found = []
    for power_w in powers_w:
        block = Block(
            start_ns=0,
            target_ns=[10 * MILLISECOND_NS] * 5,
            readings={**{name: power_w * 0.05 for name in names}, "involuntary_switches": 3.0},
        )
        idle = {} if idle_w is None else dict.fromkeys(names, idle_w)
        found.append(msgspec.structs.replace(replicate([1]), blocks=[block, block], idle_w=idle))
    return found


def figures(replicates, **options):
    how = Component(role="measurement", name="Measurement", options=options)
    one = record(replicates=replicates)
    one = msgspec.structs.replace(one, components=[*one.components, how])
    return {figure.title: figure for figure in one.figures() if "Energy" in figure.title}


def test_energy_is_what_grew_for_each_inference_without_idling():
    """7 W for 10 ms are 70 mJ, of which 2 W are idle."""
    (one,) = energies_of(metered(7.0, 7.2, 6.8))
    assert ("battery", 2.0) == (one.name, one.idle_w)
    assert (0.07, 0.05) == pytest.approx((one.whole_j, one.above_idle_j))
    assert 0.044 < one.interval[0] < 0.05 < one.interval[1] < 0.056
    found = figures(metered(7.0, 7.2, 6.8))["Energy per inference (battery)"]
    assert "50.00 mJ" == found.text
    assert "above 2 W idle, in all 70.00 mJ" in found.detail


def test_without_idle_power_nothing_is_subtracted():
    (one,) = energies_of(metered(7.0, 7.0, idle_w=None))
    assert (None, pytest.approx(0.07)) == (one.idle_w, one.above_idle_j)
    found = figures(metered(7.0, 7.0, idle_w=None))["Energy per inference (battery)"]
    assert "idle" not in found.detail


def test_one_replicate_has_no_interval():
    found = figures(metered(7.0))["Energy per inference (battery)"]
    assert "its interval needs replicates" in found.detail


def test_a_counter_that_a_block_lacks_is_left_out():
    replicates = metered(7.0, 7.0, names=("battery_j", "rapl_j"))
    block = msgspec.structs.replace(replicates[1].blocks[0], readings={"battery_j": 0.35})
    replicates[1] = msgspec.structs.replace(replicates[1], blocks=[block, replicates[1].blocks[1]])
    assert ["battery"] == [one.name for one in energies_of(replicates)]


def test_an_estimate_is_labelled_as_one_and_gives_way_to_a_measurement():
    plain = [replicate([10 * MILLISECOND_NS] * 10)] * 2
    assert {} == figures(plain)
    (title,) = figures(plain, nominal_power_w=5.0)
    found = figures(plain, nominal_power_w=5.0)[title]
    assert "estimated" in title and "50.00 mJ" == found.text
    assert "an estimate: latency times 5 W, which nobody measured" == found.detail
    assert ["Energy per inference (battery)"] == list(figures(metered(7.0), nominal_power_w=5.0))


@pytest.mark.parametrize(
    "told",
    [{"readings": {"elapsed_s": 0.5}}, {"begins_ns": [90 * MILLISECOND_NS, 490 * MILLISECOND_NS]}],
)
def test_idling_goes_on_while_inferences_wait(told):
    """Two inferences of 10 ms at 7 W within half a second, in which the rest is idle."""
    energy_j = 0.48 * 2.0 + 0.02 * 7.0
    block = Block(
        start_ns=0,
        target_ns=[10 * MILLISECOND_NS] * 2,
        begins_ns=told.get("begins_ns", []),
        readings={"battery_j": energy_j, **told.get("readings", {})},
    )
    one = msgspec.structs.replace(replicate([1]), blocks=[block], idle_w={"battery_j": 2.0})
    (found,) = energies_of([one, one])
    assert (energy_j / 2, 0.05) == pytest.approx((found.whole_j, found.above_idle_j))


def stepping(period_s, lasting_s, power_w, idle_w, replicates=3, block_s=0.03):
    """Blocks under a counter that its driver renews every ``period_s``, as NVML's is."""
    found = []
    for number in range(replicates):
        blocks, before_j = [], 0.0
        for position in range(round(lasting_s / block_s)):
            end_s = (position + 1) * block_s + 0.037 * number
            total_j = power_w * period_s * (end_s // period_s)
            one = metered(1.0)[0].blocks[0]
            readings = {"nvml_0_j": total_j - before_j, "elapsed_s": block_s}
            blocks.append(msgspec.structs.replace(one, readings=readings))
            before_j = total_j
        idle = {"nvml_0_j": idle_w}
        found.append(msgspec.structs.replace(replicate([1]), blocks=blocks, idle_w=idle))
    return found


def test_a_counter_that_moves_too_seldom_gives_no_figure():
    """As seen on a graphics processor: renewed every 0.1 s, half a second in each replicate."""
    short = stepping(0.1, 0.5, 690.0, 100.0)
    (one,) = energies_of(short)
    assert "moved 15 times in 1.5 s" in one.coarse and "2.3 times as long" in one.coarse
    found = figures(short)["Energy per inference (nvml_0)"]
    assert "not available" == found.text and "--min-duration-s" in found.detail
    (one,) = energies_of(stepping(0.1, 5.0, 690.0, 100.0))
    assert "" == one.doubt
    assert 690.0 == pytest.approx(one.power_w, rel=0.05)


def test_energy_that_is_not_above_idling_is_no_figure():
    (one,) = energies_of(metered(2.1, 1.9, 2.05))
    assert "not told apart from idling" in one.doubt
    found = figures(metered(2.1, 1.9, 2.05))["Energy per inference (battery)"]
    assert "not available" == found.text
    (one,) = energies_of(metered(2.1, 2.2, 2.05))
    assert "" == one.doubt
