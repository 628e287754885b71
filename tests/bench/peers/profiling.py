"""Where a proxy's time goes under a workload: functions by `perf`, system calls for each request by `strace`.

Weir is built with symbols for that, as a release otherwise.
"""

import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import places
from .compare import Options, Turn, running
from .measure import Cost, Meter
from .process import tree, wait_until
from .proxies import Peer
from .workloads import WORKLOADS
from .workloads.target import Target

LOGS = places.CACHE / "logs"
SECONDS = 4
# Calls rarer than this a request are not the request's.
RARE = 0.02
SHOWN = 40
RECORD = ("perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g")
REPORT = ("perf", "report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.3")
NOTHING = Cost(user=0, system=0, busy=[], steal=0, foreign=0)

T = TypeVar("T")


@dataclass(frozen=True)
class Tool(Meter):
    """Stands in for the meter: runs a tool beside exactly the work that would be measured."""

    command: Callable[[int], list[str]]

    def during(self, work: Callable[[], T]) -> tuple[T, Cost]:
        # nginx works in a child; nobody else has one.
        worker = tree(self.proxy)[-1]
        with subprocess.Popen(
            self.command(worker), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as tool:
            try:
                # Until it has opened what it writes, it has not begun.
                wait_until(lambda: tool.poll() is not None or attached(worker, tool.pid), 10, "no tool began")
                result = work()
            finally:
                tool.send_signal(signal.SIGINT)
        return result, NOTHING


def profile(peer: Peer, name: str) -> None:
    """Prints functions and calls, and leaves the profile for `perf report`."""
    LOGS.mkdir(parents=True, exist_ok=True)
    workload = WORKLOADS[name]
    recorded, counted = LOGS / f"perf-{peer.name}-{name}.data", LOGS / f"strace-{peer.name}-{name}.txt"
    turn = Turn(peer, 0, workload.workers or 1, workload.log or False, [name])
    options = Options(
        command="",
        rounds=1,
        peers=[peer.name],
        workloads=[name],
        workers=1,
        log=False,
        rate=4000,
        seconds=SECONDS,
        publish=False,
        quick=True,
    )
    with running(turn, options) as target:

        def under(command: Callable[[int], list[str]]) -> int:
            meter = Tool(target.meter.proxy, target.meter.backend, command)
            return int(workload.run(Target(target.port, meter, target.pinned, SECONDS, target.rate))["n"])

        requests = under(lambda pid: [*RECORD, "-p", str(pid), "-o", str(recorded)])
        calls_of = under(lambda pid: ["strace", "-f", "-c", "-p", str(pid), "-o", str(counted)])
    print(f"{peer.name}, {name}: {requests} requests in {SECONDS} s; functions by what they cost themselves:")
    for line in functions(report(recorded))[:SHOWN]:
        print(f"  {line}")
    print("\nby program and library:")
    for share, where in re.findall(r"^\s*(\d+\.\d+)%\s+(\S+)\s*$", report(recorded, "--sort", "dso"), re.M):
        print(f"  {share:>6} %  {where}")
    print(f"\nsystem calls for each of {calls_of} requests:")
    for call, calls, errors in system_calls(counted):
        if calls / calls_of > RARE:
            print(f"  {call:16} {calls / calls_of:.2f}  (errors {errors / calls_of:.2f})")
    print(f"\nwho calls whom: perf report -i {recorded} --no-children -g caller")


def report(recorded: Path, *options: str) -> str:
    done = subprocess.run([*REPORT, *options, "-i", recorded], capture_output=True, text=True, check=True)
    return done.stdout


def attached(process: int, tool: int) -> bool:
    """Whether `strace` traces the process, or `perf` has its buffers."""
    status = Path(f"/proc/{process}/status").read_text()
    if f"TracerPid:\t{tool}\n" in status:
        return True
    return "perf_event" in Path(f"/proc/{tool}/maps").read_text()


def functions(text: str) -> list[str]:
    """Share, library and name, from what `perf report` prints."""
    found = re.findall(r"^\s*(\d+\.\d+)%\s+\S+\s+(\S+)\s+\[(.)\]\s+(.+?)\s*$", text, re.MULTILINE)
    return [
        f"{share:>6} %  {'kernel' if space == 'k' else library:18} {name}"
        for share, library, space, name in found
    ]


def system_calls(file: Path) -> list[tuple[str, int, int]]:
    """Name, calls and errors from `strace -c`: %, seconds, µs/call, calls, errors (or nothing), name."""
    lines = (line.split() for line in file.read_text().splitlines())
    return [
        (words[-1], int(words[3]), int(words[4]) if len(words) > 5 else 0)
        for words in lines
        if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total"
    ]
