"""The command line: `tests/bench/run peers` compares, `peers report` and `peers profile` look closer."""

import argparse
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from . import compare, profiling, report
from .process import unwind_at_signals
from .proxies import PEERS
from .workloads import WORKLOADS

RESULTS = Path(__file__).parent.parent / "RESULTS.md"


def main() -> int:
    unwind_at_signals()
    command, *rest = sys.argv[1:] or ["compare"]
    if command == "report":
        print(report.markdown([Path(file) for file in rest]))
    elif command == "profile":
        for name in rest or ["weir"]:
            profiling.profile(PEERS[name])
    else:
        options = parse(rest if command == "compare" else sys.argv[1:])
        results = compare.run(options)
        text = report.markdown([results])
        print(text)
        if options.publish:
            RESULTS.write_text(text)
            print(f"written to {RESULTS}", file=sys.stderr)
    return 0


def parse(arguments: list[str]) -> compare.Options:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run peers",
        description="Compares proxies: one at a time, the same work, in rounds. The machine should be idle.",
        epilog="Also: peers setup [--all], peers report FILE..., peers profile PEER...",
    )
    parser.add_argument("-r", "--rounds", type=int, default=3, help="in turn forwards and backwards [3]")
    parser.add_argument(
        "-p",
        "--peers",
        type=one_of(PEERS),
        default="floor,nginx,haproxy,envoy,weir",
        metavar="A,B",
        help=f"of {', '.join(PEERS)} [floor,nginx,haproxy,envoy,weir]",
    )
    parser.add_argument(
        "-w",
        "--workloads",
        type=one_of(WORKLOADS),
        default="closed,post1k,post64k,1m,64m,mem",
        metavar="A,B",
        help=f"of {', '.join(WORKLOADS)} [closed,post1k,post64k,1m,64m,mem]",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="threads of each proxy; from 2 on nothing is pinned [1]"
    )
    parser.add_argument("--log", action="store_true", help="with access logs")
    parser.add_argument(
        "--rate", type=int, default=4000, help="requests a second of the workload `rate` [4000]"
    )
    parser.add_argument("--seconds", type=float, default=4, help="how long each measurement lasts [4]")
    parser.add_argument(
        "--publish", action="store_true", help="write the report to tests/bench/RESULTS.md too"
    )
    found = parser.parse_args(arguments)
    return compare.Options(command=shlex.join(["tests/bench/run", "peers", *arguments]), **vars(found))


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
