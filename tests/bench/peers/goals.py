"""What Weir's figures are to be, and whether they are."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from .measure import Row
from .proxies import PEERS
from .workloads import WORKLOADS

Figures = dict[str, float]  # of each peer

# The name of whoever is best in a run; all others are names of peers.
BEST = "best peer"
KIB = 1024


@dataclass(frozen=True)
class Goal:
    """`goal` and `stretch` are for Weir's figure in relation to another's, or for the figure itself."""

    what: str
    workload: str
    goal: float
    stretch: float | None = None
    to: str | None = BEST
    unit: float = 1


GOALS = (
    Goal("GET", "closed", 0.95, 0.85),
    Goal("GET, to the floor", "closed", 1.4, 1.25, "floor"),
    Goal("POST of 1 KiB", "post1k", 0.95, 0.85),
    Goal("POST of 64 KiB", "post64k", 0.85, 0.77),
    Goal("GET over TLS", "tls", 0.95, 0.75),
    Goal("HTTP/2 with TLS to HTTP/1.1", "h2", 1.0, 0.9),
    Goal("full handshakes", "handshake", 0.95, 0.9),
    Goal("bodies of 1 MiB", "1m", 1.0, 0.9),
    Goal("bodies of 64 MiB", "64m", 0.9, 0.8),
    Goal("GET with an access log", "log", 0.95, None, "nginx"),
    Goal("unary gRPC", "grpc", 0.5, None, "envoy"),
    Goal("two workers, requests/s", "two", 1.0, 1.05),
    Goal("idle HTTP/1.1, KiB a connection", "mem", 2, 1, None, KIB),
    Goal("idle TLS, KiB a connection", "idle-tls", 12, None, None, KIB),
    Goal("idle HTTP/2, KiB a connection", "idle-h2", 20, None, None, KIB),
    Goal("10,000 routes and backends, to none", "scale", 1.1, None, None),
    Goal("a change every 100 ms, to none", "churn", 1.05, None, None),
)
PEERS_OF_GOALS = ("floor", "nginx", "haproxy", "envoy", "weir")


# Measured beside the goals, so that the report shows them.
NO_GOALS = ("chunked", "ws", "slow")


def workloads() -> list[str]:
    """All that goals are about, and a few more."""
    return list(dict.fromkeys([*(goal.workload for goal in GOALS), *NO_GOALS]))


def table(runs: Callable[[str], dict[str, list[Row]]]) -> str:
    """A line for each goal; `runs` has the rows of each peer for a workload as it is meant to run."""
    lines = [
        "## Goals",
        "",
        "CPU of Weir in relation to the peer's, unless it says otherwise.",
        "",
        "| goal | Weir ÷ | at most | stretch | is | |",
        "|---|---|---:|---:|---:|---|",
    ]
    met = 0
    for goal in GOALS:
        more = WORKLOADS[goal.workload].more
        figures = medians(goal.workload, runs(goal.workload))
        to = best(goal.workload, figures) if goal.to == BEST else goal.to
        value = measured(goal, figures, to)
        verdict = judge(goal, value, more)
        met += verdict.startswith("met")
        cells = [
            goal.what,
            to or "–",
            f"at least {goal.goal:g}" if more else f"{goal.goal:g}",
            "–" if goal.stretch is None else f"{goal.stretch:g}",
            "–" if value is None else f"{value:.2f}",
            verdict,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"{met} of {len(GOALS)} are met."]
    return "\n".join(lines) + "\n"


def medians(workload: str, rows: dict[str, list[Row]]) -> Figures:
    """Each peer's median over the rounds."""
    key = WORKLOADS[workload].key
    return {peer: float(median(row[key] for row in some)) for peer, some in rows.items() if some}


def best(workload: str, figures: Figures) -> str | None:
    """The competitor with the best figure."""
    competitors = [peer for peer in figures if peer != "weir" and not PEERS[peer].limit]
    pick = max if WORKLOADS[workload].more else min
    return pick(competitors, key=lambda peer: figures[peer]) if competitors else None


def measured(goal: Goal, figures: Figures, to: str | None) -> float | None:
    if "weir" not in figures or (goal.to and to not in figures):
        return None
    return figures["weir"] / (figures[to] if to else goal.unit)


def judge(goal: Goal, value: float | None, more: bool) -> str:
    if value is None:
        return "not measured"
    sign = -1 if more else 1
    if goal.stretch is not None and value * sign <= goal.stretch * sign:
        return "met, with the stretch"
    if value * sign <= goal.goal * sign:
        return "met"
    return f"**missed by {abs(value - goal.goal) / goal.goal:.0%}**"
