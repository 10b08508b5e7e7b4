"""The benchmarks run: what they measure is theirs to say, that they measure is ours."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crnn

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "
HAS_TORCH = importlib.util.find_spec("torch") is not None

source_tree = pytest.mark.skipif(
    not BENCHMARKS.is_dir(), reason="needs the source tree"
)
compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="needs a C compiler"
)


def run(*arguments):
    paths = [str(Path(crnn.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


@pytest.fixture
def benchmarks(monkeypatch):
    """Modules of benchmarks/ can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run_bench(prelude):
    code = (
        "from crnn import bench; bench.ROUNDS, bench.SECONDS = 2, 0; "
        "from crnn.__main__ import main; main(['bench'])"
    )
    result = run("-W", "error", "-c", prelude + code)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_bench_without_torch():
    text = run_bench(WITHOUT_TORCH)
    assert "pip install torch" in text
    rows = re.findall(r"^T.* [\d.,]+ +\([\d.,]+\) +[\d.]+$", text, re.M)
    assert len(rows) == 9


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_bench_beside_torch():
    rows = re.findall(r"^T.* [\d.]+ +[\d.,]+ +\(.*\) +[\d.]+ x$", run_bench(""), re.M)
    assert len(rows) == 9


def test_bench_times_nothing_wrong():
    from crnn.bench import check

    class Tensor(list):
        def numpy(self):
            return self[0]

    with pytest.raises(SystemExit, match=r"case: crnn and torch differ by 1\.0e\+00"):
        check("case", lambda: (None, 1.0), lambda: (None, Tensor([2.0])))


@source_tree
@compiler
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_training(tmp_path):
    path = tmp_path / "training.json"
    result = run(BENCHMARKS / "training.py", "--quick", "--json", path)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(path.read_text())["cases"]
    assert {"torch", "crnn.torch", "rnn.vjp"} <= set(row["seconds"])
    assert "| T16 B1 H64 |" in result.stdout and "| loop |" in result.stdout


@source_tree
@compiler
def test_compare(tmp_path):
    file = tmp_path / "results.json"
    arguments = ("--quick", "--cases", "T1 B1 H64", "--json", file)
    result = run(BENCHMARKS / "compare.py", *arguments)
    assert result.returncode == 0, result.stderr
    results = json.loads(file.read_text())
    (machine,) = results["machines"]
    assert machine["peak"] > 1e8
    assert results["versions"]["crnn"] == crnn.__version__
    [row] = results["rows"]
    assert row["case"] == "T1 B1 H64"
    assert 0 < row["limit"] < min(row["seconds"]["crnn"])
    assert ("torch" in row["seconds"]) == HAS_TORCH, row["reasons"]
    assert all(len(times) == 3 for times in row["seconds"].values())
    assert "crnn is slower than:" in result.stdout


@source_tree
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "tourch"], "no such peer: tourch; there are torch"),
        (["--cases", "B0"], "no case has 'B0' in its name"),
    ],
)
def test_compare_says_what_is_wrong(arguments, message):
    result = run(BENCHMARKS / "compare.py", *arguments)
    assert result.returncode == 2
    assert message in result.stderr


@source_tree
def test_a_wrong_output_is_not_timed(benchmarks):
    from cases import Case
    from peers import Engine
    from worker import check, make_job

    fields = {"name": "", "T": 2, "B": 3, "I": 4, "H": 5, "lengths": None}
    job = make_job(fields, 1)
    assert isinstance(job.case, Case)
    output, h_n = job.rnn(job.x)
    check(Engine(lambda: (output, h_n)), job, "a peer")
    check(Engine(lambda: (output, h_n)), job, "crnn")
    with pytest.raises(ArithmeticError, match=r"differs by 1\.0e-02"):
        check(Engine(lambda: (output, h_n + 0.01)), job, "a peer")
    with pytest.raises(ArithmeticError, match="differs by nan"):
        check(Engine(lambda: (output * float("nan"), h_n)), job, "a peer")


@source_tree
def test_an_engine_that_is_missing_or_dies_gives_a_reason(benchmarks):
    from contest import Player

    player = Player("no_such_engine", 1)
    assert player.reason == "No module named 'peers.no_such_engine'"
    player.close()
    player = Player("crnn", 1)
    assert player.version == crnn.__version__
    assert player.ask(load={}, kind="sequence", seconds=0)["reason"]
    player.process.kill()
    player.process.wait()
    assert player.ask(round=True) == {"reason": "has ended"}
    player.close()


@pytest.fixture
def machine(benchmarks):
    """256 GF/s; it reads 516, 249, 109 and 58 GB/s."""
    from limits import Machine

    sizes, rates = (48 << 10, 1 << 20, 32 << 20), (516e9, 249e9, 109e9, 58e9)
    return Machine(256e9, sizes, rates)


def case_of(name):
    from cases import CASES

    [found] = [c for c in CASES if c.name == name]
    return found


@source_tree
@pytest.mark.parametrize(
    ("case", "threads", "us"),
    [
        ("T128 B1 H256", 1, 200),
        ("T128 B1 H1024", 1, 5946),
        ("T128 B32 H256", 1, 4189),
        ("T128 B32 H256", 2, 2095),
        ("T128 B1 H128", 2, 16.4),
        ("ragged T1..256 B32 H256", 1, 4200),
    ],
)
def test_limits(machine, case, threads, us):
    assert machine.limit(case_of(case), threads) * 1e6 == pytest.approx(us, rel=0.02)


@source_tree
@pytest.mark.parametrize(
    ("case", "threads", "us"),
    [
        ("T16 B1 H64", 1, 3.1),
        ("T128 B1 H256", 1, 532),
        ("T128 B1 H256", 2, 266),
        ("T128 B32 H256", 1, 12568),
        ("bidirectional T128 B32 H256", 2, 12568),
    ],
)
def test_training_limits(machine, case, threads, us):
    found = machine.training_limit(case_of(case), threads)
    assert found * 1e6 == pytest.approx(us, rel=0.02)


@source_tree
def test_tables_show_losses(benchmarks):
    from tables import absences, losses, thread_table

    won = {"case": "a", "threads": 1, "seconds": {"crnn": [2.0, 1.0], "torch": [3.0]}}
    lost = {"case": "a", "threads": 2, "seconds": {"crnn": [2.0], "torch": [1.0]}}
    absent = {"case": "b", "threads": 1, "seconds": {"torch": [1.0]}}
    assert losses([won, absent]) == []
    assert losses([won, lost]) == ["a, threads 2: torch by 2.00 times"]
    assert thread_table([won, lost]).splitlines()[-1] == "| a | 0.50 | 3.00 |"
    rows = [{"reasons": {"jax": "has no stream"}}] * 2
    assert absences(rows) == ["has no stream: jax (2 cases)"]


@source_tree
def test_report_writes_between_its_markers(benchmarks, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from report import replace_marked

    page = tmp_path / "README.md"
    page.write_text("a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n")
    replace_marked(page, "new\n")
    assert page.read_text() == "a\n<!-- speed -->\nnew\n<!-- /speed -->\nb\n"
    page.write_text("a\n")
    replace_marked(page, "new\n")
    assert page.read_text() == "a\n"
    assert "left as it is" in capsys.readouterr().out
