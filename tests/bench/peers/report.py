"""The report: a summary with Weir ÷ best peer, then a table for each workload. Medians over the rounds."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from .measure import Row
from .proxies import PEERS
from .workloads import WORKLOADS

Runs = dict[str, list[Row]]  # the rows of each peer
Case = tuple[str, int, bool]  # workload, workers, access log

HEADINGS = {
    "rps": "requests/s",
    "us_req": "CPU µs/request",
    "user_us": "user",
    "sys_us": "system",
    "errors": "errors",
    "gib_s": "GiB/s",
    "cpu_ms_gib": "CPU ms/GiB",
    "idle_kib": "KiB before",
    "full_kib": "KiB with all",
    "bytes_conn": "bytes/connection",
    "p50_us": "p50 µs",
    "p90_us": "p90 µs",
    "p99_us": "p99 µs",
    "p999_us": "p99.9 µs",
    "max_us": "most µs",
}

INTRODUCTION = """# Side by side

Real proxies, one at a time, the same work, in rounds whose order alternates; each figure is the median over
the rounds. What counts is the CPU that a proxy's processes use, and the ratio between two of them in the same
run: absolute figures drift with the machine, ratios hold within 2 to 3 %. `floor` is no competitor: it shows
what a proxy without any feature costs over plain sockets. Written by `tests/bench/run peers --publish`; how
it measures stands in [`peers/__init__.py`](peers/__init__.py).
"""


def markdown(files: Iterable[Path]) -> str:
    """The report about all measurements in the files."""
    abouts, cases = read(files)
    parts = [INTRODUCTION, *map(about, abouts), summary(cases)]
    parts += [table(case, runs) for case, runs in cases.items()]
    return "\n".join(parts)


def read(files: Iterable[Path]) -> tuple[list[Row], dict[Case, Runs]]:
    """What the files say about the machine, and their measurements."""
    abouts: list[Row] = []
    cases: dict[Case, Runs] = defaultdict(lambda: defaultdict(list))
    for file in files:
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "about" in row:
                abouts.append(row["about"])
            elif "fail" not in row:
                cases[row["w"], row["workers"], row["log"]][row["peer"]].append(row)
    return abouts, cases


def about(row: Row) -> str:
    versions = "; ".join(row["versions"].values())
    return (
        f"- date: {row['date']}\n- machine: {row['machine']}\n- versions: {versions}\n"
        f"- Weir's commit: {row['commit']}\n- command: `{row['command']}`\n"
    )


def summary(cases: dict[Case, Runs]) -> str:
    """A line for each workload: every peer's figure, and Weir's in relation to the best competitor's."""
    names = [name for name in PEERS if any(name in runs for runs in cases.values())]
    lines = [
        "## Summary",
        "",
        "Smaller is better.",
        "",
        row_of(["workload", "figure", *names, "Weir ÷ best peer"]),
        "|---|---|" + "---:|" * (len(names) + 1),
    ]
    ratios = []
    for (name, workers, log), runs in cases.items():
        key = WORKLOADS[name].key
        figures = {peer: middle(rows, key) for peer, rows in runs.items()}
        competitors = {peer: f for peer, f in figures.items() if peer != "weir" and not PEERS[peer].limit}
        ratio = "–"
        if "weir" in figures and competitors:
            best = min(competitors, key=lambda peer: competitors[peer])
            ratios.append(figures["weir"] / competitors[best])
            ratio = f"**{ratios[-1]:.2f}** ({best})"
        cells = [number(figures[peer]) if peer in figures else "–" for peer in names]
        lines.append(row_of([title(name, workers, log), HEADINGS[key], *cells, ratio]))
    if ratios:
        cheaper = sum(ratio < 1 for ratio in ratios)
        lines += ["", f"Weir needs less than the best peer in {cheaper} of {len(ratios)} workloads."]
    return "\n".join(lines) + "\n"


def table(case: Case, runs: Runs) -> str:
    """All figures of one workload, the best peer first."""
    name, workers, log = case
    workload = WORKLOADS[name]
    key = workload.key
    heads = [HEADINGS[figure] for figure in workload.figures]
    lines = [
        f"## {title(name, workers, log)}: {workload.what}",
        "",
        row_of(["peer", *heads, f"{HEADINGS[key]}, least–most", "busy cores", "others' share", "runs"]),
        "|---|" + "---:|" * (len(heads) + 4),
    ]
    for peer, rows in sorted(runs.items(), key=lambda item: middle(item[1], key)):
        keys = [row[key] for row in rows]
        busy = [row["busy"] for row in rows if "busy" in row]
        cores = " / ".join(f"{median(core):.2f}" for core in zip(*busy, strict=True)) or "–"
        others = f"{max(row['foreign'] for row in rows):.1%}"
        cells = [number(middle(rows, figure)) for figure in workload.figures]
        lines.append(
            row_of([peer, *cells, f"{number(min(keys))}–{number(max(keys))}", cores, others, str(len(rows))])
        )
    return "\n".join(lines) + "\n"


def title(name: str, workers: int, log: bool) -> str:
    return name + (f", {workers} workers" if workers > 1 else "") + (", access log" if log else "")


def middle(rows: list[Row], figure: str) -> float:
    return float(median(row.get(figure, 0) for row in rows))


def row_of(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    if value == int(value) and value < 1000:
        return str(int(value))
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
