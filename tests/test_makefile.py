"""`make` meets an old Python and a broken environment; pip and the packages are stand-ins."""

import shutil
import subprocess
import sys

import pytest

from tests import ROOT

PRETENDS = f"""#!/bin/sh
if [ "$1" = -c ]; then
  exec {sys.executable} -c 'import sys; sys.version_info = (3, VERSION, 6); exec(sys.argv[1])' "$2"
fi
shift 2
[ "$1" = --clear ] && {{ rm -rf "$2"; shift; }}
mkdir -p "$1/bin"; echo made >> made; cp python "$1/bin/python"
"""
"""A Python of another version that makes environments like `venv`, which hold a pip that does
nothing."""
ENVIRONMENT = """#!/bin/sh
case "$2" in *fast_blas*) [ -f fast ]; exit $((1 - $?));; esac
[ "$1" = -c ] && echo 1 || echo "pip $*" >> installed
exit 0
"""


@pytest.fixture
def project(tmp_path):
    for name in (
        "Makefile",
        "requirements-dev.lock",
        "probes.lock",
        "axe.lock",
        "blas.lock",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / name, tmp_path)
    put(tmp_path / "python", ENVIRONMENT)
    for version in (9, 11):
        put(tmp_path / f"python3.{version}", PRETENDS.replace("VERSION", str(version)))
    return tmp_path


@pytest.fixture(autouse=True)
def no_uv(project, monkeypatch):
    """PATH without uv, and a machine of a kind that needs a BLAS."""
    monkeypatch.setenv("PATH", f"{project}:/usr/bin:/bin")
    put(project / "uname", "#!/bin/sh\necho Linux x86_64")


def put(path, text):
    path.write_text(text)
    path.chmod(0o755)


def make(project, version):
    command = ["make", "venv", f"PYTHON=./python3.{version}"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def test_apples_python_is_met_with_one_sentence_and_leaves_nothing(project):
    done = make(project, 9)
    assert done.returncode != 0
    assert "./python3.9 is Python 3.9, and 3.11 or newer is needed: install uv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / ".venv").exists()


def test_an_environment_that_was_not_finished_is_made_anew(project):
    (project / ".venv/lib").mkdir(parents=True)
    (project / ".venv/lib/old").touch()
    assert make(project, 11).returncode == 0
    assert not (project / ".venv/lib/old").exists()
    assert make(project, 11).returncode == 0
    assert (project / "made").read_text() == "made\n"


def test_an_environment_whose_python_is_gone_is_made_anew(project):
    assert make(project, 11).returncode == 0
    (project / ".venv/bin/python").unlink()
    (project / ".venv/bin/python").symlink_to("/gone/python3.11")
    assert make(project, 11).returncode == 0
    assert (project / "made").read_text() == "made\nmade\n"


def test_a_changed_lock_installs_into_the_environment_that_is_there(project):
    assert make(project, 11).returncode == 0
    (project / ".venv/kept").touch()
    (project / "probes.lock").touch()
    assert make(project, 11).returncode == 0
    assert (project / ".venv/kept").exists()


def test_pip_installs_what_is_pinned_and_then_the_project(project):
    put(project / "fast", "")
    assert make(project, 11).returncode == 0
    first, second = (project / "installed").read_text().splitlines()
    assert first.startswith("pip -m pip install")
    assert first.endswith("--require-hashes -r requirements-dev.lock -r probes.lock -r axe.lock")
    assert second.endswith("--no-build-isolation -e .")


def test_uv_takes_pip_s_place_where_it_is_there(project):
    put(project / "uv", '#!/bin/sh\necho "uv $*" >> installed')
    put(project / "fast", "")
    assert make(project, 11).returncode == 0
    first, second = (project / "installed").read_text().splitlines()
    assert first.startswith("uv pip install --quiet --python .venv/bin/python --no-deps")
    assert first.endswith("--require-hashes -r requirements-dev.lock -r probes.lock -r axe.lock")
    assert second.endswith("--no-build-isolation -e .")


@pytest.mark.parametrize(
    ("system", "taken"),
    [("Linux x86_64", True), ("Linux aarch64", False), ("Darwin arm64", False)],
)
def test_without_openblas_a_wheel_takes_its_place_where_there_is_one(project, system, taken):
    put(project / "uname", f"#!/bin/sh\necho {system}")
    done = make(project, 11)
    assert done.returncode == 0
    last = (project / "installed").read_text().splitlines()[-1]
    assert last.endswith("--require-hashes -r blas.lock") == taken
    assert ("no OpenBLAS here" in done.stdout) == taken


def test_the_check_for_macos_names_the_first_that_does_not_install(project, monkeypatch):
    monkeypatch.setenv("PATH", f"{project}:/usr/bin:/bin")
    put(
        project / "uv",
        '#!/bin/sh\necho "$MACOSX_DEPLOYMENT_TARGET $*" >> calls\n'
        'case "$MACOSX_DEPLOYMENT_TARGET $*" in 26.0*3.14*-r\\ requirements-dev*) exit 1;; esac',
    )
    done = subprocess.run(["make", "check-macos"], cwd=project, capture_output=True, text=True)
    assert done.returncode != 0
    assert "macOS 26, Python 3.14: requirements-dev.lock does not install" in done.stderr
    assert done.stdout.count("all locks install") == 11
    assert len((project / "calls").read_text().splitlines()) == 11 * 4 + 2
