"""Where a proxy's time goes: system calls for each request by `strace`, functions by `perf`."""

import json
import signal
import subprocess
import time
from pathlib import Path

from . import places
from .process import OTHER_CORE, on_core, tree
from .proxies import Peer
from .running import backends, proxy

LOGS = places.CACHE / "logs"
# Calls rarer than this a request are not the request's.
RARE = 0.02
RECORD = ("perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g")


def profile(peer: Peer) -> None:
    """Prints the calls, leaves a profile for `perf report`; both under a closed loop of 64 connections."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with backends(pinned=True), proxy(peer, workers=1, log=False) as root:
        # nginx works in a child; nobody else has one.
        worker = tree(root)[-1]
        load(0.5)
        recorded = LOGS / f"perf-{peer.name}.data"
        with subprocess.Popen(generator(4), stdout=subprocess.DEVNULL):
            time.sleep(0.3)
            whom_and_where = ["-p", str(worker), "-o", str(recorded), "--", "sleep", "2.5"]
            subprocess.run([*RECORD, *whom_and_where], stderr=subprocess.DEVNULL, check=False)
        counted = LOGS / f"strace-{peer.name}.txt"
        with subprocess.Popen(
            ["strace", "-f", "-c", "-p", str(worker), "-o", counted], stderr=subprocess.DEVNULL
        ) as tracer:
            time.sleep(0.6)
            requests = load(1.5)
            tracer.send_signal(signal.SIGINT)
    print(
        f"{peer.name}: system calls for each of {requests} requests; `perf report -i {recorded}` for the rest"
    )
    for name, calls, errors in system_calls(counted):
        if calls / requests > RARE:
            print(f"  {name:16} {calls / requests:.2f}  (errors {errors / requests:.2f})")


def load(seconds: float) -> int:
    """How many requests were answered."""
    done = subprocess.run(generator(seconds), capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["n"])


def generator(seconds: float) -> list[str]:
    return on_core(OTHER_CORE, [places.BIN / "generator", "closed", places.HTTP, "/", 64, seconds, 0])


def system_calls(file: Path) -> list[tuple[str, int, int]]:
    """Name, calls and errors from `strace -c`: %, seconds, µs/call, calls, errors (or nothing), name."""
    lines = (line.split() for line in file.read_text().splitlines())
    return [
        (words[-1], int(words[3]), int(words[4]) if len(words) > 5 else 0)
        for words in lines
        if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total"
    ]
