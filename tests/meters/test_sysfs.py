"""Meters of the kernel's files, on trees as real boards have them."""

import time

import pytest

from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.meter import idle_powers_w
from edge_tester.core.results.energy import energies_of
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.meters.battery import BatteryMeter
from edge_tester.meters.hwmon import HwmonMeter
from edge_tester.meters.rapl import RAPLMeter
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests import known_costs
from tests.agents import running_agent
from tests.core.run.test_replication import parts

# As a laptop, a Jetson Orin Nano, a Raspberry Pi with an INA219, and two kinds of laptop tell it.
RAPL = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": 261_000_000,
    "class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": 1_000_000,
    "class/powercap/intel-rapl:0:0/max_energy_range_uj": 262_143_328_850,
    "class/powercap/intel-rapl/enabled": 1,
}
JETSON = {
    "class/hwmon/hwmon0/name": "tmp451",
    "class/hwmon/hwmon0/temp1_input": 45000,
    "class/hwmon/hwmon1/name": "ina3221",
    "class/hwmon/hwmon1/in1_label": "VDD_IN",
    "class/hwmon/hwmon1/in1_input": 5000,
    "class/hwmon/hwmon1/curr1_input": 800,
    "class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "class/hwmon/hwmon1/in2_input": 5000,
    "class/hwmon/hwmon1/curr2_input": 300,
    "class/hwmon/hwmon1/in4_label": "sum of shunt voltages",
    "class/hwmon/hwmon1/in4_input": 0,
}
RASPBERRY = {
    "class/hwmon/hwmon2/name": "ina219",
    "class/hwmon/hwmon2/power1_input": 2_500_000,
    "class/hwmon/hwmon2/in1_input": 5100,
    "class/hwmon/hwmon2/curr1_input": 490,
}
LAPTOP = {
    "class/power_supply/AC/type": "Mains",
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/power_now": 7_000_000,
}
PHONE = {
    "class/power_supply/battery/type": "Battery",
    "class/power_supply/battery/status": "Discharging",
    "class/power_supply/battery/voltage_now": 4_000_000,
    "class/power_supply/battery/current_now": -500_000,
}


@pytest.fixture
def tree(tmp_path):
    """Makes the files of a board, and changes them."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return make


def test_rapl_counts_from_where_it_began_and_around_its_end(tree):
    meter = RAPLMeter(sysfs=tree(RAPL))
    meter.open()
    assert {"rapl_package_0_0_j": 0.0, "rapl_core_0_0_j": 0.0} == meter.read()
    tree({"class/powercap/intel-rapl:0/energy_uj": 263_500_000})
    assert 2.5 == meter.read()["rapl_package_0_0_j"]
    # It begins again after its range: 262,143.328850 J.
    tree({"class/powercap/intel-rapl:0/energy_uj": 262_143_000_000})
    before = meter.read()["rapl_package_0_0_j"]
    tree({"class/powercap/intel-rapl:0/energy_uj": 671_150})
    assert 1.0 == pytest.approx(meter.read()["rapl_package_0_0_j"] - before)
    meter.close()
    meter.close()


@pytest.mark.parametrize(
    ("cls", "files", "powers_w"),
    [
        (HwmonMeter, JETSON, {"ina3221_1_vdd_in_j": 4.0, "ina3221_1_vdd_cpu_gpu_cv_j": 1.5}),
        (HwmonMeter, RASPBERRY, {"ina219_2_power1_j": 2.5}),
        (BatteryMeter, LAPTOP, {"battery_bat0_j": 7.0}),
        (BatteryMeter, PHONE, {"battery_battery_j": 2.0}),
    ],
)
def test_a_power_becomes_an_energy(tree, cls, files, powers_w):
    meter = cls(sysfs=tree(files), interval_s=0.005)
    meter.open()
    times_s, energies_j = [], []
    for pause_s in (0.1, 0):
        times_s.append(time.perf_counter())
        energies_j.append(meter.read())
        times_s.append(time.perf_counter())
        time.sleep(pause_s)
    before, grown = energies_j
    assert set(powers_w) == set(grown)
    for name, power_w in powers_w.items():
        shortest_j = 0.99 * power_w * (times_s[2] - times_s[1])
        longest_j = 1.01 * power_w * (times_s[3] - times_s[0])
        assert shortest_j < grown[name] - before[name] < longest_j
    meter.close()
    meter.close()


def test_a_power_that_changes_is_seen_in_between(tree):
    """0.05 s at 7 W and 0.25 s at 1 W: not the mean of its ends, which is twice that."""
    root = tree(LAPTOP)
    meter = BatteryMeter(sysfs=root, interval_s=0.002)
    meter.open()
    before, begun_s = meter.read()["battery_bat0_j"], time.perf_counter()
    time.sleep(0.05)
    tree({"class/power_supply/BAT0/power_now": 1_000_000})
    changed_s = time.perf_counter()
    time.sleep(0.25)
    grown_j, end_s = meter.read()["battery_bat0_j"] - before, time.perf_counter()
    expected_j = 7 * (changed_s - begun_s) + (end_s - changed_s)
    assert expected_j == pytest.approx(grown_j, rel=0.5)
    meter.close()


@pytest.mark.parametrize("cls", [RAPLMeter, HwmonMeter, BatteryMeter])
def test_where_there_is_no_sensor_it_says_where_it_looked(tree, tmp_path, cls):
    with pytest.raises(RuntimeStateError, match=f"{cls.__name__}: .*{tmp_path}/class"):
        cls(sysfs=tmp_path).open()


def test_a_battery_that_is_charged_tells_nothing_of_what_is_used(tree):
    root = tree({**LAPTOP, "class/power_supply/BAT0/status": "Charging"})
    with pytest.raises(RuntimeStateError, match="BAT0 is charging: unplug the charger"):
        BatteryMeter(sysfs=root).open()


def test_what_ends_to_be_readable_is_left_out(tree):
    root = tree(RAPL)
    meter = RAPLMeter(sysfs=root)
    meter.open()
    tree({"class/powercap/intel-rapl:0:0/energy_uj": "nonsense"})
    assert ["rapl_package_0_0_j"] == list(meter.read())
    meter.close()


def test_idle_power_is_that_of_waiting(tree):
    meter = BatteryMeter(sysfs=tree(LAPTOP), interval_s=0.005, idle_s=0.1)
    meter.open()
    assert {"battery_bat0_j": pytest.approx(7.0, rel=0.05)} == idle_powers_w([meter])
    meter.close()
    assert {} == idle_powers_w([BatteryMeter(idle_s=0.0)])


def test_an_agent_with_a_meter_tells_the_energy_of_an_inference(tree, tmp_path):
    """7 W, whatever runs: an inference of 10 ms takes 70 mJ, and idling as much."""
    root = tree({f"sys/{name}": content for name, content in LAPTOP.items()}) / "sys"
    runtime = known_costs.KnownCostsRuntime(sleep_ns=10_000_000)
    words = ("battery", "--sysfs", str(root), "--interval-s", "0.005", "--idle-s", "0.3")
    with running_agent(tmp_path, *words, runtime=known_costs.PATH) as agent:
        plan = Plan(
            *parts(tmp_path, 40),
            runtime,
            protocol=NetworkProtocol(host=agent.host),
            measurement=Measurement(replicates=2),
        )
        record = run_plan(plan, tmp_path / "r.json")
    (energy,) = energies_of(record.replicates)
    assert "battery_bat0" == energy.name
    # Setting inputs and reading outputs take a little more.
    assert 0.07 <= energy.whole_j < 0.09
    assert energy.idle_w == pytest.approx(7.0, rel=0.1)
    assert abs(energy.above_idle_j) < 0.02
