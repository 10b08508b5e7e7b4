"""Engines that take turns: one process each, rounds interleaved, equal threads."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ENGINES = ("torch", "onnxruntime", "jax", "numba", "openvino", "numpy", "onednn")
PATIENCE = 600  # seconds for one answer: jax compiles long
REST = 0.005  # seconds until the threads of the engine before have stopped spinning


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds each of them, one call at least."""

    rounds: int
    seconds: float


FULL, QUICK = Effort(15, 0.05), Effort(3, 0.002)


def environment(threads):
    """The caller's, with as many threads for every kind of thread pool.

    OpenMP threads stall where they are not bound. Without the two settings that some
    machines have for old versions of OpenBLAS: they slow the current ones down.
    """
    left_out = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"
    kept = {name: v for name, v in os.environ.items() if name not in left_out}
    counts = ("CRNN", "OMP", "MKL", "OPENBLAS", "NUMBA")
    return (
        kept
        | {f"{kind}_NUM_THREADS": str(threads) for kind in counts}
        | {"OMP_PROC_BIND": "true", "JAX_PLATFORMS": "cpu"}
    )


class Player:
    """An engine in its process (worker.py); reason says why it takes no part."""

    def __init__(self, name, threads):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        worker = Path(__file__).with_name("worker.py")
        self.process = subprocess.Popen(
            [sys.executable, str(worker), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(threads),
        )
        hello = self.receive()
        self.version = hello.get("version")
        self.reason = hello.get("reason")

    def ask(self, **request):
        if self.process.poll() is not None:
            return {"reason": "has ended"}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.receive()

    def receive(self):
        """The next answer; a process that ends or hangs answers with its last words."""
        pipe = self.process.stdout
        if not select.select([pipe], [], [], PATIENCE)[0]:
            self.process.kill()
        line = pipe.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        last = self.errors.read().strip().rpartition("\n")[2]
        return {"reason": last or f"ended with status {self.process.returncode}"}

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()


@contextmanager
def players(names, threads):
    """Players of that many threads each; those who cannot play are among them."""
    started = []
    try:
        for name in names:
            started.append(Player(name, threads))
        yield started
    finally:
        for player in started:
            player.close()


def contest(players, kind, case, effort):
    """({name: seconds of a call, one for each round}, {name: why it did not run})."""
    reasons = {p.name: p.reason for p in players if p.reason}
    racing = []
    for player in players:
        if player.reason:
            continue
        answer = player.ask(load=asdict(case), kind=kind, seconds=effort.seconds)
        if "reason" in answer:
            reasons[player.name] = answer["reason"]
        else:
            racing.append(player)
    times = {player.name: [] for player in racing}
    for _ in range(effort.rounds):
        for player in racing:
            time.sleep(REST)
            answer = player.ask(round=True)
            if "seconds" in answer:
                times[player.name].append(answer["seconds"])
            else:
                reasons[player.name] = answer["reason"]
    return {name: own for name, own in times.items() if name not in reasons}, reasons
