"""What is shipped: metadata, and what an sdist and a wheel hold.

The builds are made without isolation, so that no test needs the network.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import crnn

ROOT = Path(__file__).parent.parent
BUILT = ("build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".venv")
LARGEST = 1_000_000  # bytes

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree"
)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_version_is_the_package_s():
    assert project()["version"] == crnn.__version__


def test_only_numpy_is_needed():
    names = [re.match(r"[\w-]+", line)[0] for line in project()["dependencies"]]
    assert names == ["numpy"]


def test_tests_pin_torch():
    assert "torch==2.13.0" in project()["optional-dependencies"]["test"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder with an sdist of the source tree and a wheel built from the sdist."""
    pytest.importorskip("build.__main__", reason="needs the package build")
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", *BUILT))
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", folder / "dist"]
    # Where it is set, setuptools warns of it.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    options = {"capture_output": True, "text": True, "cwd": tree, "env": env}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if "warning" in line.lower()]
    assert not said, said
    return folder / "dist"


@pytest.fixture(scope="module")
def sdist_names(dist):
    """Paths in the sdist, below its one folder."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as tar:
        files = [member.name for member in tar if member.isfile()]
    return {name.partition("/")[2] for name in files}


@pytest.fixture(scope="module")
def wheel(dist):
    return next(dist.glob("*.whl"))


@pytest.mark.slow
def test_sdist_builds_and_tests_itself(sdist_names):
    for pattern in (
        "csrc/**/*.[ch]",
        "tests/*.[pc]*",
        "crnn/**/*.py*",
        "benchmarks/*.py",
    ):
        paths = [p for p in ROOT.glob(pattern) if p.is_file() and p.suffix != ".pyc"]
        assert paths and {str(p.relative_to(ROOT)) for p in paths} <= sdist_names
    assert {"pyproject.toml", "setup.py", "LICENSE", "README.md"} <= sdist_names


@pytest.mark.slow
def test_sdist_holds_every_file_of_the_repository(sdist_names):
    command = ["git", "-C", ROOT, "ls-files"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs the repository and git")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sdist_names == set()


@pytest.mark.slow
def test_sdist_holds_nothing_built(sdist_names):
    assert not {n for n in sdist_names if re.search(r"\.so$|\.pyc$|^build/", n)}


@pytest.mark.slow
def test_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    metadata = {n for n in names if n.partition("/")[0].endswith(".dist-info")}
    sources = [p for p in (ROOT / "crnn").glob("**/*") if p.is_file()]
    kept = {p for p in sources if p.suffix not in {".so", ".pyc"}}
    expected = {str(p.relative_to(ROOT)) for p in kept}
    extension = {n for n in names if re.fullmatch(r"crnn/_core\..*\.so", n)}
    assert len(extension) == 1
    assert names - metadata - extension == expected
    assert {"crnn/py.typed", "crnn/_core.pyi", "crnn/data/ATTRIBUTION.md"} <= names


@pytest.mark.slow
def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < LARGEST


@pytest.mark.slow
def test_wheel_installed_alone_runs(wheel, tmp_path):
    """Unpacked where nothing else of the project is."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    code = "import crnn; print(crnn.__file__); crnn.show_config()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
