"""What is made of requests and of what backends saw: nothing here knows processes or clocks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from .load import Request

# Traffic is even while each backend answers at least this part of its share...
EVEN = 0.5
# ... in every window so long (seconds), looked at so often.
WINDOW, STEP = 0.5, 0.05
# Windows in which the largest share of a backend is looked for.
PEAK_WINDOW, PEAK_STEP = 1.0, 0.1


def percentile(values: Sequence[float], share: float) -> float:
    """0.99 is p99. 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def even_again(
    requests: Sequence[Request], names: Sequence[str], rate: float, since: float, until: float
) -> float | None:
    """How long after `since` traffic was even for good; none if it was not yet `until` then.

    What counts is good answers, and a share is one of the rate: traffic that fails is not even either.
    """
    times = [sorted(one.ended for one in requests if one.good and one.backend == name) for name in names]
    least = EVEN * rate * WINDOW / len(names)
    even_since: float | None = None
    for start in steps(since, until - WINDOW, STEP):
        if min(count(backend, start, start + WINDOW) for backend in times) < least:
            even_since = None
        elif even_since is None:
            even_since = start
    return None if even_since is None else even_since - since


def peak(seen: Sequence[Sequence[float]], rate: float, since: float, until: float) -> float:
    """The most that one backend saw in any second, as a multiple of its fair share of the rate."""
    fair = rate * PEAK_WINDOW / len(seen)
    starts = steps(since, until - PEAK_WINDOW, PEAK_STEP)
    ordered = [sorted(times) for times in seen]
    return max(count(times, start, start + PEAK_WINDOW) / fair for start in starts for times in ordered)


def timeline(
    requests: Sequence[Request], names: Sequence[str], start: float, end: float
) -> list[list[float]]:
    """For each half second: good answers of each backend, bad ones, and the p99 in ms of what was due."""
    rows = []
    for begin in steps(start, end - WINDOW, WINDOW):
        ended = [one for one in requests if begin <= one.ended < begin + WINDOW]
        by = Counter(one.backend for one in ended if one.good)
        took = [one.took for one in requests if begin <= one.due < begin + WINDOW]
        bad = sum(not one.good for one in ended)
        rows.append([*(by[name] for name in names), bad, round(percentile(took, 0.99) * 1000, 1)])
    return rows


def within(times: Sequence[float], start: float, end: float) -> int:
    """How many of them, in any order, are in a while."""
    return sum(start <= time < end for time in times)


def count(ordered: Sequence[float], start: float, end: float) -> int:
    return bisect_left(ordered, end) - bisect_left(ordered, start)


def steps(start: float, last: float, step: float) -> list[float]:
    """From `start` on, none after `last`; one at least."""
    return [start + step * number for number in range(max(0, int((last - start) / step + 1e-9)) + 1)]
