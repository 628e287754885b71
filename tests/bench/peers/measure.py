"""What a piece of work cost: the CPU of the proxy's process tree, and who else used the machine meanwhile."""

import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .process import TICKS, cpu

T = TypeVar("T")
Row = dict[str, Any]

# A measurement during which strangers used more than this share of the machine is repeated.
FOREIGN_MOST = 0.06
REPEATS = 2


@dataclass(frozen=True)
class Cost:
    """What the proxy used, in seconds; shares are of a core (`busy`) or of the machine (`foreign`)."""

    user: float
    system: float
    busy: list[float]
    steal: float
    foreign: float

    def per_request(self, requests: int) -> Row:
        """As a row of results, in microseconds for each request."""
        requests = requests or 1
        return {
            "us_req": (self.user + self.system) * 1e6 / requests,
            "user_us": self.user * 1e6 / requests,
            "sys_us": self.system * 1e6 / requests,
            "busy": self.busy,
            "steal": self.steal,
            "foreign": self.foreign,
        }


@dataclass(frozen=True)
class Meter:
    """Measures one proxy. `proxy` and `backend` are process numbers; the same when there is no proxy."""

    proxy: int
    backend: int

    def during(self, work: Callable[[], T]) -> tuple[T, Cost]:
        """Does the work. What it returned, and what it cost."""
        before = self._now()
        result = work()
        after = self._now()
        seconds = after.time - before.time
        user, system = after.proxy[0] - before.proxy[0], after.proxy[1] - before.proxy[1]
        busy = [b - a for a, b in zip(before.busy, after.busy, strict=True)]
        ours = user + system + (after.harness - before.harness) + (after.backend - before.backend)
        return result, Cost(
            user=user,
            system=system,
            busy=[round(core / seconds, 3) for core in busy],
            steal=round(after.steal - before.steal, 2),
            foreign=round(max(0.0, sum(busy) - ours) / (len(busy) * seconds), 3),
        )

    def _now(self) -> "_Reading":
        cores = [core for core in map(_core, Path("/proc/stat").read_text().splitlines()) if core]
        return _Reading(
            proxy=cpu(self.proxy),
            backend=sum(cpu(self.backend)) if self.backend != self.proxy else 0.0,
            harness=sum(_used(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)),
            busy=[busy for busy, _ in cores],
            steal=sum(steal for _, steal in cores),
            time=time.monotonic(),
        )


@dataclass(frozen=True)
class _Reading:
    proxy: tuple[float, float]
    backend: float
    harness: float
    busy: list[float]
    steal: float
    time: float


def _core(line: str) -> tuple[float, float] | None:
    """Seconds that a core was busy and that the host took from it; `None` for other lines."""
    if not re.match(r"cpu\d", line):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def _used(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def undisturbed(measurement: Callable[[], Row], once: bool = False) -> Row:
    """Repeats a measurement that strangers disturbed, unless `once`; the least disturbed one counts."""
    rows = []
    for tries in range(1, 2 + REPEATS):
        rows.append({"foreign": 0.0, **measurement(), "tries": tries})
        if once or rows[-1]["foreign"] <= FOREIGN_MOST:
            break
    return min(rows, key=lambda row: row["foreign"])
