import sys

import pytest

from edge_tester.core.system import doctor


@pytest.fixture
def root(tmp_path):
    """The kernel's files of a board that is hot, slow, and has an Edge TPU."""
    files = {
        "sys/class/thermal/thermal_zone0/temp": "86000\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "2400000\n",
        "sys/bus/usb/devices/1-1/idVendor": "18d1\n",
        "sys/bus/usb/devices/1-1/idProduct": "9302\n",
        "proc/meminfo": "MemTotal:  1000000 kB\nMemAvailable:  100000 kB\n",
        "proc/device-tree/model": "Board of a test\0",
        "dev/apex_0": "",
        "usr/lib/aarch64-linux-gnu/libedgetpu.so.1": "",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_what_the_kernel_tells_is_found(root, monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {})
    heard = []
    found = doctor.examine(root=root, tell=heard.append)
    assert {"thermal_zone0 cpu-thermal": 86.0} == found.temperatures_c
    assert {"now": 1500.0, "most": 2400.0} == found.clocks_mhz
    assert 100_000 * 1024 == found.memory_available_bytes
    assert "Coral USB Accelerator (USB 18d1:9302)" in found.devices
    assert "Coral Edge TPU (PCIe or M.2) (/dev/apex_0)" in found.devices
    assert "board: Board of a test" in found.devices
    assert ["Coral Edge TPU: /usr/lib/aarch64-linux-gnu/libedgetpu.so.1"] == found.delegates
    said = " ".join(found.warnings)
    assert "97 MiB of memory" in said and "86 °C" in said
    assert "Importing numpy" in heard
    assert {"available"} == {one.status for one in found.packages if one.name == "numpy"}


def test_a_package_is_ready_missing_or_broken(tmp_path, monkeypatch):
    (tmp_path / "broken_by_itself.py").write_text("raise OSError('libmissing.so: not there')\n")
    (tmp_path / "ready_one.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    monkeypatch.syspath_prepend(tmp_path)
    names = dict.fromkeys(["broken_by_itself", "ready_one", "nowhere_at_all"], "extra")
    monkeypatch.setattr(doctor, "EXTRAS", names)
    found = {one.name: one for one in doctor.examine().packages}
    assert "available" == found["ready_one"].status
    assert "missing" == found["nowhere_at_all"].status
    assert "pip install" in found["nowhere_at_all"].advice
    assert "broken" == found["broken_by_itself"].status
    assert "OSError: libmissing.so: not there" in found["broken_by_itself"].advice
