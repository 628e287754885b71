"""Overload: three times what the backends can do. How much of that they still do, and how long it takes.

Each backend works on so many requests at a time and lets the others wait; nothing else limits it. A proxy
without limits hands on everything, and answers to clients who have gone are all that comes of it.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from peers.compare import put
from peers.measure import Row
from peers.proxies import Peer
from peers.report import row_of
from peers.running import proxy

from .backends import PORTS, Capacity, backends
from .compare import results, say
from .figures import percentile
from .load import Request, load
from .proxies import weir

TIMES = 3
SECONDS, QUICK_SECONDS = 10, 4
# Not counted: until queues are full.
WARM = 2
GOODPUT = 0.9
HEADINGS = (
    *("capacity /s", "offered /s", "goodput /s", "of capacity", "p50 ms", "p99 ms"),
    *("turned away", "in p99 ms", "otherwise", "sent late p99 ms", ""),
)


@dataclass(frozen=True)
class Limits:
    """Weir's. Milliseconds for the queue."""

    max_requests: int
    max_pending_requests: int
    queue_timeout: int

    def yaml(self) -> str:
        return (
            f"max_requests: {self.max_requests}, max_pending_requests: {self.max_pending_requests}, "
            f"queue_timeout: {self.queue_timeout}ms"
        )


def run(
    command: str, capacity: Capacity, limits: Limits | None, rounds: int, seconds: float, workers: int
) -> bool:
    """Prints a line for each round. Whether all was as expected."""
    peer = weir.limited(limits.yaml()) if limits else weir.PEER
    all_well = True
    with results("overload", command, [peer]) as (file, output):
        print(row_of(HEADINGS))
        print("|" + "---:|" * (len(HEADINGS) - 1) + "---|")
        for number in range(rounds):
            found = measure(peer, capacity, seconds, workers)
            put(output, {"round": number, "limits": limits and limits.yaml(), **found})
            print(line(found), flush=True)
            all_well = all_well and found["as_expected"]
    say(f"the measurements: {file}")
    return all_well


def measure(peer: Peer, capacity: Capacity, seconds: float, workers: int) -> Row:
    pinned = workers == 1
    able = capacity.per_second() * len(PORTS)
    rate = round(able * TIMES)
    with ExitStack() as beside:
        beside.enter_context(backends(capacity, pinned))
        beside.enter_context(proxy(peer, workers, log=False))
        requests = beside.enter_context(load(rate, WARM + seconds, pinned)).wait()
    since = requests[0].due + WARM
    return figures([one for one in requests if one.due >= since], able, rate, since, since + seconds)


def figures(requests: list[Request], able: float, rate: int, since: float, until: float) -> Row:
    """`able` is what the backends can answer in a second."""
    good = [one.took * 1000 for one in requests if one.good]
    away = [one.took * 1000 for one in requests if one.how == "503" and not one.passed_on]
    goodput = sum(one.good and since <= one.ended < until for one in requests) / (until - since)
    return {
        "able": able,
        "rate": rate,
        "goodput": round(goodput),
        "of_capacity": round(goodput / able, 3),
        "p50_ms": round(percentile(good, 0.5), 1),
        "p99_ms": round(percentile(good, 0.99), 1),
        "turned_away": len(away),
        "away_p99_ms": round(percentile(away, 0.99), 1),
        "otherwise": len(requests) - len(good) - len(away),
        "late_p99_ms": round(percentile([one.late * 1000 for one in requests], 0.99), 2),
        "as_expected": goodput >= GOODPUT * able,
    }


def line(found: Row) -> str:
    verdict = "as expected" if found["as_expected"] else "**NOT as expected**"
    share = f"{found['of_capacity']:.0%}"
    shown = ("p50_ms", "p99_ms", "turned_away", "away_p99_ms", "otherwise", "late_p99_ms")
    cells = (found["able"], found["rate"], found["goodput"], share, *(found[key] for key in shown), verdict)
    return row_of(map(str, cells))
