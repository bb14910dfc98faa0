"""Hardware descriptions: what every record of a measurement names."""

import json
import subprocess
import sys

import pytest

from yolact.runtime import hardware


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nmodel name\t: Other\n", "Some CPU @ 2GHz"),
        ("model name\t:\nmodel name\t: Second\n", "Second"),
    ],
)
def test_cpu_name_is_the_first_model_name(tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert hardware.cpu_name(path) == expected


def test_cpu_name_falls_back_where_the_system_gives_none(tmp_path):
    assert hardware.cpu_name(tmp_path / "absent")


def test_hardware_is_plain_data_with_every_key():
    record = json.loads(json.dumps(hardware.hardware()))
    assert set(record) == {"cpu", "architecture", "cores", "usable_cores", "memory_bytes", "gpus"}
    assert 1 <= record["usable_cores"] <= record["cores"]


def test_device_name_of_the_cpu_is_the_processors():
    assert hardware.device_name("cpu") == hardware.cpu_name()


def test_the_hosts_part_needs_no_torch():
    code = "import sys, yolact.runtime.hardware as h; h.host_hardware(); h.device_name('cpu'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
