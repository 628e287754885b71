"""One measurement: a proxy, its backends, a load, and a fault in the middle of it."""

import os
import time
from collections import Counter
from dataclasses import dataclass

from peers.measure import Meter, Row
from peers.proxies import Peer
from peers.running import proxy

from .backends import NAMES, Backend, Capacity, backends
from .faults import Fault
from .figures import even_again, percentile, timeline, within
from .load import Request, load


@dataclass(frozen=True)
class Phases:
    """How long the load lasts before, during and after the fault, in seconds."""

    before: float
    during: float
    after: float

    @property
    def whole(self) -> float:
        return self.before + self.during + self.after


@dataclass(frozen=True)
class Course:
    """What happened: the requests, the backends' own accounts, and when the fault began and ended."""

    requests: list[Request]
    seen: list[list[float]]
    checks: list[list[float]]
    began: float
    ended: float
    # The share of the machine that others used.
    foreign: float

    @property
    def over(self) -> float:
        """When the last request was due."""
        return self.requests[-1].due

    def before(self) -> list[Request]:
        """Requests that had ended when the fault began."""
        return [one for one in self.requests if one.ended < self.began]

    def during(self) -> list[Request]:
        """Those that were under way or due while it lasted."""
        return [one for one in self.requests if one.ended >= self.began and one.due < self.ended]

    def after(self) -> list[Request]:
        return [one for one in self.requests if one.due >= self.ended]


def course(
    peer: Peer, fault: Fault, phases: Phases, rate: int, whom: str, workers: int, capacity: Capacity
) -> Course:
    """Lets it happen."""
    pinned = workers == 1
    with backends(capacity, pinned) as several, proxy(peer, workers, log=False):
        # This process and all that it started; nobody else.
        meter = Meter(os.getpid(), os.getpid())
        (requests, began, ended), cost = meter.during(
            lambda: under_load(fault, phases, rate, whom, pinned, several)
        )
        seen = [backend.saw() for backend in several]
        checks = [backend.saw("check") for backend in several]
    return Course(requests, seen, checks, began, ended, cost.foreign)


def under_load(
    fault: Fault, phases: Phases, rate: int, whom: str, pinned: bool, several: list[Backend]
) -> tuple[list[Request], float, float]:
    with load(rate, phases.whole, pinned) as running:
        time.sleep(phases.before)
        began = time.monotonic()
        fault.begin(several, whom)
        time.sleep(max(0.0, began + phases.during - time.monotonic()))
        fault.end(several, whom)
        ended = time.monotonic()
        return running.wait(), began, ended


def row(happened: Course, rate: int) -> Row:
    """The figures of a fault."""
    before, during, after = happened.before(), happened.during(), happened.after()
    took = [one.took * 1000 for one in during]
    even = even_again(happened.requests, NAMES, rate, happened.ended, happened.over)
    bad = Counter(f"{one.how} {one.backend}" for one in happened.requests if not one.good)
    return {
        "requests": len(during),
        "failed": failed(during) + failed(after),
        "failed_after": failed(after),
        "failed_before": failed(before) + passed_on(before),
        "passed_on": passed_on(during) + passed_on(after),
        "passed_on_after": passed_on(after),
        "p50_ms": round(percentile(took, 0.5), 2),
        "p99_ms": round(percentile(took, 0.99), 2),
        "max_ms": round(max(took), 2),
        "seen": [within(times, happened.began, happened.ended) for times in happened.seen],
        "checks": [within(times, happened.began, happened.ended) for times in happened.checks],
        "even_ms": None if even is None else round(even * 1000),
        "bad": dict(bad),
        "late_p99_ms": round(percentile([one.late * 1000 for one in happened.requests], 0.99), 2),
        "foreign": happened.foreign,
        "timeline": timeline(happened.requests, NAMES, happened.requests[0].due, happened.over),
    }


def failed(requests: list[Request]) -> int:
    """What the proxy itself failed: with an answer of its own, none, or half of one."""
    return sum(not one.good and not one.passed_on for one in requests)


def passed_on(requests: list[Request]) -> int:
    """The backends' own bad answers."""
    return sum(one.passed_on for one in requests)
