"""The report: Weir in relation to the better peer, then a table for each fault. Medians over the rounds."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from peers.measure import FOREIGN_MOST, Row
from peers.report import about, number, row_of

from .faults import FAULTS
from .proxies import PEERS

Runs = dict[str, list[Row]]  # the rows of each peer

INTRODUCTION = """# Faults side by side

Real proxies, one at a time, the same fault behind them, in rounds whose order alternates; each figure is
the median over the rounds, with the least and the most where they differ. Less is better. Failed are
requests that the proxy answered with an error of its own, cut or left unanswered for five seconds, during
the fault and after it; what a backend answered badly itself and the proxy passed on stands beside it.
Latency is of all requests that were under way or due during the fault, counted from when they were due,
however they ended. Traffic is even again from when each backend gives at least half of its share of the
answers in every half second.
"""


@dataclass(frozen=True)
class Figure:
    """A line of a table."""

    title: str
    of: Callable[[Row], float]


FIGURES = (
    Figure("failed by the proxy", lambda row: row["failed"]),
    Figure("passed on", lambda row: row["passed_on"]),
    Figure("p50 ms", lambda row: row["p50_ms"]),
    Figure("p99 ms", lambda row: row["p99_ms"]),
    Figure("tries a request", lambda row: sum(row["seen"]) / row["requests"]),
    Figure("even again after ms", lambda row: math.inf if row["even_ms"] is None else row["even_ms"]),
)


def markdown(files: Iterable[Path]) -> str:
    abouts, runs, failures = read(files)
    parts = [INTRODUCTION, *map(about, abouts), summary(runs)]
    parts += [table(fault, peers) for fault, peers in runs.items()]
    if failures:
        parts.append("\n".join(["## Failed", "", *(f"- {failure}" for failure in failures)]) + "\n")
    return "\n".join(parts)


def read(files: Iterable[Path]) -> tuple[list[Row], dict[str, Runs], list[str]]:
    """What the files say about the machine, their measurements by fault, and which of these failed."""
    abouts: list[Row] = []
    failures: list[str] = []
    runs: dict[str, Runs] = defaultdict(lambda: defaultdict(list))
    for file in files:
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "about" in row:
                abouts.append(row["about"])
            elif "fail" in row:
                failures.append(f"{row['peer']}, {row['fault']}, round {row['round']}: {row['fail']}")
            else:
                runs[row["fault"]][row["peer"]].append(row)
    return abouts, runs, failures


def summary(runs: dict[str, Runs]) -> str:
    """Weir in relation to the better peer, for each fault and figure."""
    lines = [
        "## Weir ÷ better peer",
        "",
        row_of(["fault", *(figure.title for figure in FIGURES)]),
        "|---|" + "---:|" * len(FIGURES),
    ]
    lines += [row_of([fault, *(ratio(peers, figure) for figure in FIGURES)]) for fault, peers in runs.items()]
    disturbed = {
        f"{row['peer']} {fault} ({row['foreign']:.0%})"
        for fault, peers in runs.items()
        for rows in peers.values()
        for row in rows
        if row["foreign"] > FOREIGN_MOST
    }
    if disturbed:
        which = ", ".join(sorted(disturbed))
        lines += ["", f"Other programs used more than {FOREIGN_MOST:.0%} of the machine in: {which}."]
    return "\n".join(lines) + "\n"


def table(fault: str, peers: Runs) -> str:
    """All figures of one fault."""
    names = [name for name in PEERS if name in peers]
    rounds = max(len(rows) for rows in peers.values())
    requests = round(median(row["requests"] for rows in peers.values() for row in rows))
    lines = [
        f"## {fault}: {FAULTS[fault].what}",
        "",
        f"{requests:,} requests during the fault, {rounds} rounds.",
        "",
        row_of(["", *names, "Weir ÷ better peer"]),
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for figure in FIGURES:
        cells = [spread([figure.of(row) for row in peers[name]]) for name in names]
        lines.append(row_of([figure.title, *cells, ratio(peers, figure)]))
    seen = [" / ".join(f"{median(backend):,.0f}" for backend in by_backend(peers[name])) for name in names]
    lines.append(row_of(["requests that each backend saw", *seen, "–"]))
    before = sum(row["failed_before"] for rows in peers.values() for row in rows)
    if before:
        lines += ["", f"{before} requests failed before the fault."]
    return "\n".join(lines) + "\n"


def by_backend(rows: list[Row]) -> Iterable[tuple[int, ...]]:
    return zip(*(row["seen"] for row in rows), strict=True)


def ratio(peers: Runs, figure: Figure) -> str:
    """Weir's median in relation to the least of the others, and whose that is."""
    middles = {name: median(figure.of(row) for row in rows) for name, rows in peers.items()}
    others = {name: value for name, value in middles.items() if not name.startswith("weir")}
    if "weir" not in middles or not others:
        return "–"
    best = min(others, key=lambda name: others[name])
    ours, theirs = middles["weir"], others[best]
    if ours == theirs:
        return f"**1.00** ({best})"
    if not theirs or math.isinf(ours):
        return f"**{shown(ours)} : {shown(theirs)}** ({best})"
    return f"**{ours / theirs:.2f}** ({best})"


def spread(values: list[float]) -> str:
    least, most = min(values), max(values)
    span = f" ({shown(least)}–{shown(most)})" if least != most else ""
    return shown(median(values)) + span


def shown(value: float) -> str:
    return "never" if math.isinf(value) else number(value)
