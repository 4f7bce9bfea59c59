"""The wheel of the code that runs: the same code is the same bytes, and pip installs it."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.cluster import wheel
from orchestrator.cluster.wheel import Wheel, this_version


def test_the_same_code_has_the_same_bytes_and_name():
    first = this_version()
    this_version.cache_clear()
    assert this_version() == first
    assert first.environment == this_version().environment


def test_another_pin_or_another_line_is_another_environment():
    one = this_version()
    pins = Wheel(one.name, one.content, one.locks | {"requirements.lock": b"other==1"})
    code = Wheel(one.name, one.content + b" ", one.locks)
    assert len({one.environment, pins.environment, code.environment}) == 3


def test_it_holds_the_code_the_pins_and_nothing_else():
    with zipfile.ZipFile(BytesIO(this_version().content)) as archive:
        names = set(archive.namelist())
    assert {"orchestrator/cli/app.py", "tasks/starter/tiny/model.safetensors"} <= names
    assert "orchestrator/pins/requirements.lock" in names
    assert {n.split("/")[0] for n in names} == {
        "orchestrator",
        "tasks",
        f"{this_version().name.removesuffix('-py3-none-any.whl')}.dist-info",
    }
    assert not any("__pycache__" in n for n in names)


@pytest.mark.slow
def test_pip_installs_it_and_the_copy_makes_the_same_wheel(tmp_path):
    mine = this_version()
    (tmp_path / mine.name).write_bytes(mine.content)
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    command += ["--no-compile"]  # what runs below is compiled then; all modules take seconds
    subprocess.run([*command, "--target", target, tmp_path / mine.name], check=True)
    script = "from orchestrator.cluster.wheel import this_version as v; import orchestrator as o;"
    done = subprocess.run(
        [sys.executable, "-c", f"{script} print(o.__file__); print(v().environment)"],
        env={"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    place, environment = done.stdout.split()
    assert Path(place).is_relative_to(target)
    assert environment == mine.environment
    ran = subprocess.run(
        [target / "bin" / "rho-sweep", "version"],
        env={"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == f"{__version__}\n"


def test_metadata_names_the_command():
    files = wheel._metadata("x.dist-info")
    assert b"rho-sweep = orchestrator.cli:main" in files["x.dist-info/entry_points.txt"]
    assert b"Name: rho-sweep" in files["x.dist-info/METADATA"]
