"""The command line behind `tests/bench/run peers`, `goals` and `profile`."""

import argparse
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from . import compare, goals, profiling, report
from .process import unwind_at_signals
from .proxies import PEERS
from .workloads import WORKLOADS

RESULTS = Path(__file__).parent.parent / "RESULTS.md"
PEERS_MOSTLY = ("floor", "nginx", "haproxy", "envoy", "weir")
WORKLOADS_MOSTLY = ("closed", "post1k", "post64k", "1m", "64m", "mem")
# Enough to see where one stands, in under a minute.
QUICK_ROUNDS, QUICK_SECONDS = 3, 1


def main() -> int:
    unwind_at_signals()
    command, *rest = sys.argv[1:]
    if command == "profile":
        profile(rest)
    elif rest[:1] == ["report"]:
        print(report.markdown([Path(file) for file in rest[1:]], command == "goals"))
    else:
        measure(command, rest)
    return 0


def profile(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run profile", description="Where a proxy's time goes under a workload."
    )
    parser.add_argument("workload", choices=WORKLOADS, metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("peer", nargs="?", choices=PEERS, default="weir", metavar="PEER", help="[weir]")
    found = parser.parse_args(arguments)
    profiling.profile(PEERS[found.peer], found.workload)


def measure(command: str, arguments: list[str]) -> None:
    options = parse(command, arguments)
    results = compare.run(options)
    if options.quick:
        print(report.ratio_lines(results))
        return
    text = report.markdown([results], command == "goals")
    print(text)
    print(f"the measurements: {results}", file=sys.stderr)
    if options.publish:
        RESULTS.write_text(text)
        print(f"written to {RESULTS}", file=sys.stderr)


def parse(command: str, arguments: list[str]) -> compare.Options:
    all_goals = command == "goals"
    peers = goals.PEERS_OF_GOALS if all_goals else PEERS_MOSTLY
    workloads = goals.workloads() if all_goals else WORKLOADS_MOSTLY
    parser = argparse.ArgumentParser(
        prog=f"tests/bench/run {command}",
        description="Compares proxies: one at a time, the same work, in rounds. The machine should be idle.",
        epilog=f"Also: peers setup [--all], {command} report FILE...",
    )
    parser.add_argument("-r", "--rounds", type=int, help="in turn forwards and backwards [3]")
    parser.add_argument(
        "-p",
        "--peers",
        type=one_of(PEERS),
        default=list(peers),
        metavar="A,B",
        help=f"of {', '.join(PEERS)} [{','.join(peers)}]",
    )
    parser.add_argument(
        "-w",
        "--workloads",
        type=one_of(WORKLOADS),
        default=list(workloads),
        metavar="A,B",
        help=f"of {', '.join(WORKLOADS)} [{','.join(workloads)}]",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="threads of each proxy; from 2 on nothing is pinned [1]"
    )
    parser.add_argument("--log", action="store_true", help="with access logs")
    parser.add_argument(
        "--rate", type=int, default=4000, help="requests a second of workloads at a constant rate [4000]"
    )
    parser.add_argument("--seconds", type=float, help="how long each measurement lasts [4]")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROUNDS} rounds of {QUICK_SECONDS} s, nothing repeated, ratios only",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write the report to tests/bench/RESULTS.md too",
    )
    found = parser.parse_args(arguments)
    found.rounds = found.rounds or (QUICK_ROUNDS if found.quick else 3)
    found.seconds = found.seconds or (QUICK_SECONDS if found.quick else 4)
    return compare.Options(command=shlex.join(["tests/bench/run", command, *arguments]), **vars(found))


def one_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """A parser of lists, separated by commas, of what is known."""

    def parse_list(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse_list


if __name__ == "__main__":
    sys.exit(main())
