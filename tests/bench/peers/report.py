"""The report: a summary with Weir ÷ best peer, then a table for each workload. Medians over the rounds."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from . import goals
from .measure import FOREIGN_MOST, Row
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
    "us_without": "CPU µs/request without",
    "us_with": "with",
    "ratio": "with ÷ without",
    "p99_without": "p99 µs without",
    "p99_with": "with",
}

INTRODUCTION = """# Side by side

Real proxies, one at a time, the same work, in rounds whose order alternates; each figure is the median over
the rounds. What counts is the CPU that a proxy's processes use, and its ratio to another proxy's in the same
run, because absolute figures drift with the machine. Ratios drift less; how far they do stands beside them.
`floor` is no competitor: it shows what a proxy without any feature costs over plain sockets. Written by
`tests/bench/run goals --publish`, or from several runs by `goals report`; how it measures stands in
[`peers/__init__.py`](peers/__init__.py).
"""


def markdown(files: Iterable[Path], all_goals: bool = False) -> str:
    """The report about all measurements in the files; with `all_goals` it begins with what became of them."""
    abouts, cases, failures = read(files)
    parts = [INTRODUCTION, *map(about, abouts)]
    if all_goals:
        parts.append(goals.table(lambda workload: runs_as_meant(cases, workload)))
    parts.append(summary(cases))
    parts += [table(case, runs) for case, runs in cases.items()]
    if failures:
        parts.append("\n".join(["## Failed", "", *(f"- {failure}" for failure in failures)]) + "\n")
    return "\n".join(parts)


def read(files: Iterable[Path]) -> tuple[list[Row], dict[Case, Runs], list[str]]:
    """What the files say about the machine, their measurements, and what failed."""
    abouts: list[Row] = []
    failures: list[str] = []
    cases: dict[Case, Runs] = defaultdict(lambda: defaultdict(list))
    for file in files:
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "about" in row:
                abouts.append(row["about"])
            elif "fail" in row:
                failures.append(f"{row['peer']}, {row['w']}, round {row['round']}: {row['fail']}")
            else:
                row["at"] = (file, row["round"])
                row.setdefault("foreign", 0.0)
                cases[row["w"], row["workers"], row["log"]][row["peer"]].append(row)
    return abouts, cases, failures


def runs_as_meant(cases: dict[Case, Runs], workload: str) -> Runs:
    """The measurements of a workload with the workers and the log that its goal is about."""
    meant = WORKLOADS[workload]
    return cases.get((workload, meant.workers or 1, meant.log or False), {})


def ratio_lines(file: Path) -> str:
    """A line for each workload and peer, to read at a glance."""
    _, cases, failures = read([file])
    lines = []
    for (name, workers, log), runs in cases.items():
        key = WORKLOADS[name].key
        figures = goals.medians(name, runs)
        for peer, figure in figures.items():
            line = f"{title(name, workers, log):12} {peer:10} {number(figure):>8} {HEADINGS[key]}"
            if peer != "weir" and "weir" in runs and (by_round := ratios(runs["weir"], runs[peer], key)):
                spread = f"{min(by_round):.2f}–{max(by_round):.2f}"
                line += f"   weir ÷ {peer} = {figures['weir'] / figure:.2f} ({spread})"
            if (foreign := max(row["foreign"] for row in runs[peer])) > FOREIGN_MOST:
                line += f"   disturbed: others used up to {foreign:.0%}"
            lines.append(line)
    return "\n".join([*lines, *(f"failed: {failure}" for failure in failures)])


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
        "Smaller is better, but for requests/s; below 1.00 Weir needs less.",
        "",
        row_of(["workload", "figure", *names, "Weir ÷ best peer", "round by round"]),
        "|---|---|" + "---:|" * (len(names) + 2),
    ]
    less = more = compared = 0
    for (name, workers, log), runs in cases.items():
        key = WORKLOADS[name].key
        figures = goals.medians(name, runs)
        ratio, spread = "–", "–"
        if best := goals.best(name, figures) if "weir" in figures else None:
            ratio = f"**{figures['weir'] / figures[best]:.2f}** ({best})"
            if by_round := ratios(runs["weir"], runs[best], key):
                spread = f"{min(by_round):.2f}–{max(by_round):.2f}"
                if not WORKLOADS[name].more:
                    less, more = less + (max(by_round) < 1), more + (min(by_round) > 1)
                    compared += 1
        cells = [number(figures[peer]) if peer in figures else "–" for peer in names]
        lines.append(row_of([title(name, workers, log), HEADINGS[key], *cells, ratio, spread]))
    if compared:
        lines += [
            "",
            f"In every round Weir needs less than the best peer in {less} of {compared} workloads, and "
            f"more in {more}; in the others rounds disagree.",
        ]
    disturbed = [
        row
        for runs in cases.values()
        for rows in runs.values()
        for row in rows
        if row["foreign"] > FOREIGN_MOST
    ]
    if disturbed:
        which = ", ".join(f"{row['peer']} {row['w']} ({row['foreign']:.0%})" for row in disturbed)
        lines += [
            "",
            f"Other programs used more than {FOREIGN_MOST:.0%} of the machine, however often it was "
            f"tried, in {len(disturbed)} measurements that are in the medians all the same: {which}.",
        ]
    return "\n".join(lines) + "\n"


def ratios(rows: list[Row], others: list[Row], key: str) -> list[float]:
    """One proxy's figure in relation to another's, for each round that has both."""
    other = {row["at"]: row[key] for row in others}
    return [row[key] / other[row["at"]] for row in rows if row["at"] in other]


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
    ranked = sorted(runs.items(), key=lambda item: middle(item[1], key), reverse=workload.more)
    for peer, rows in ranked:
        keys = [row[key] for row in rows]
        busy = [row["busy"] for row in rows if "busy" in row]
        cores = " / ".join(f"{median(core):.2f}" for core in zip(*busy, strict=True)) or "–"
        others = f"{max(row['foreign'] for row in rows):.1%}" if busy else "–"
        cells = [number(middle(rows, figure)) for figure in workload.figures]
        lines.append(
            row_of([peer, *cells, f"{number(min(keys))}–{number(max(keys))}", cores, others, str(len(rows))])
        )
    return "\n".join(lines) + "\n"


def title(name: str, workers: int, log: bool) -> str:
    workload = WORKLOADS[name]
    many = f", {workers} workers" if workers > 1 and workload.workers is None else ""
    return name + many + (", access log" if log and workload.log is None else "")


def middle(rows: list[Row], figure: str) -> float:
    return float(median(row.get(figure, 0) for row in rows))


def row_of(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    if value == int(value) and value < 1000:
        return str(int(value))
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
