"""The command line behind `tests/bench/run faults`."""

import argparse
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from peers.__main__ import one_of
from peers.process import unwind_at_signals

from . import compare, overload, report, storm
from .attacks import ATTACKS, Attack
from .attacks import run as attacks
from .attacks.proxies import ALL as ATTACKED
from .backends import PORTS, Capacity
from .faults import FAULTS, STORMS, Fault
from .measure import Phases
from .proxies import PEERS

NAME = "tests/bench/run faults"
PEERS_MOSTLY = ["weir", "envoy", "haproxy"]
PHASES, ROUNDS, RATE = Phases(before=4, during=10, after=15), 5, 400
QUICK, QUICK_ROUNDS = Phases(before=2, during=5, after=8), 1
# Starting and stopping, for each measurement.
BESIDE = 3


def main() -> int:
    unwind_at_signals()
    arguments = sys.argv[1:]
    command = shlex.join([*NAME.split(), *arguments])
    match arguments:
        case ["report", *files]:
            print(report.markdown(map(Path, files)))
        case ["storm", *rest]:
            return int(not weather(command, rest))
        case ["overload", *rest]:
            return int(not flood(command, rest))
        case _:
            side_by_side(command, arguments)
    return 0


def side_by_side(command: str, arguments: list[str]) -> None:
    minutes = len(PEERS_MOSTLY) * len(FAULTS) * ROUNDS * (PHASES.whole + BESIDE) / 60
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Faults behind proxies: one proxy at a time, the same fault, in rounds. "
        f"All of it takes about {minutes:.0f} minutes.",
        epilog=f"Also: {NAME} storm, {NAME} overload (see their --help), {NAME} report FILE... "
        f"Attacks stand in the place of faults: {listed(ATTACKS)}. They print what becomes of {attacks.RATE} good "
        f"requests a second with and without, by default of {', '.join(ATTACKED)}.",
    )
    parser.add_argument("-r", "--rounds", type=int, help=f"in turn forwards and backwards [{ROUNDS}]")
    peers_and(parser, PEERS_MOSTLY, [*PEERS, *ATTACKED])
    parser.add_argument(
        "-f",
        "--faults",
        type=one_of([*FAULTS, *ATTACKS]),
        default=list(FAULTS),
        metavar="A,B",
        help=f"of {listed(FAULTS)} [all]",
    )
    parser.add_argument("--rate", type=int, default=RATE, help=f"requests a second [{RATE}]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} short round")
    found = parser.parse_args(arguments)
    if wanted := [name for name in found.faults if name in ATTACKS]:
        names = list(ATTACKED) if found.peers is PEERS_MOSTLY else found.peers
        rounds, seconds = (1, attacks.QUICK_SECONDS) if found.quick else (attacks.ROUNDS, attacks.SECONDS)
        attacks.run(command, wanted, names, found.rounds or rounds, seconds, found.workers)
    faults = [name for name in found.faults if name in FAULTS]
    if not faults:
        return
    file = compare.run(
        compare.Options(
            command=command,
            rounds=found.rounds or (QUICK_ROUNDS if found.quick else ROUNDS),
            peers=[name for name in found.peers if name in PEERS],
            faults=faults,
            rate=found.rate,
            workers=found.workers,
            whom=found.whom,
            phases=QUICK if found.quick else PHASES,
        )
    )
    print(report.markdown([file]))
    compare.say(f"the measurements: {file}")


def weather(command: str, arguments: list[str]) -> bool:
    parser = argparse.ArgumentParser(
        prog=f"{NAME} storm",
        description=f"Every backend fails for {storm.PHASES.during} s under {storm.RATE} requests a second. "
        f"At most {storm.TRIES} times the requests and {storm.TRIES_A_SECOND} a second may reach them, and "
        f"afterwards none may see more than {storm.PEAK:.0f} times its share in any second.",
    )
    peers_and(parser, ["weir"])
    parser.add_argument(
        "--storms", type=one_of(STORMS), default=list(STORMS), metavar="A,B", help=f"of {', '.join(STORMS)}"
    )
    parser.add_argument("--quick", action="store_true", help=f"only {storm.QUICK.during} s")
    found = parser.parse_args(arguments)
    phases = storm.QUICK if found.quick else storm.PHASES
    return storm.run(command, found.peers, found.storms, phases, found.whom, found.workers)


def flood(command: str, arguments: list[str]) -> bool:
    parser = argparse.ArgumentParser(
        prog=f"{NAME} overload",
        description=f"Weir under {overload.TIMES} times what its backends can do, of which at least "
        f"{overload.GOODPUT:.0%} must come out.",
    )
    parser.add_argument("-r", "--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--slots", type=int, default=8, help="requests that a backend works on at a time [8]")
    parser.add_argument("--work", type=int, default=10, help="milliseconds that each takes [10]")
    parser.add_argument("--max-requests", type=int, help="[twice the slots of all backends]")
    parser.add_argument("--max-pending", type=int, help="[what can be done within the queue's timeout]")
    parser.add_argument("--queue-timeout", type=int, default=100, help="milliseconds [100]")
    parser.add_argument("--no-limits", action="store_true", help="what becomes of it without any")
    parser.add_argument(
        "--workers", type=int, default=1, help="threads of the proxy; from 2 on nothing is pinned [1]"
    )
    parser.add_argument("--quick", action="store_true", help=f"one round of {overload.QUICK_SECONDS} s")
    found = parser.parse_args(arguments)
    capacity = Capacity(found.work, found.slots)
    in_queue = capacity.per_second() * len(PORTS) * found.queue_timeout / 1000
    limits = overload.Limits(
        found.max_requests or 2 * found.slots * len(PORTS),
        round(in_queue) if found.max_pending is None else found.max_pending,
        found.queue_timeout,
    )
    rounds, seconds = (1, overload.QUICK_SECONDS) if found.quick else (found.rounds, overload.SECONDS)
    return overload.run(
        command, capacity, None if found.no_limits else limits, rounds, seconds, found.workers
    )


def listed(faults: Mapping[str, Fault | Attack]) -> str:
    return ", ".join(f"{name} ({fault.what})" for name, fault in faults.items())


def peers_and(parser: argparse.ArgumentParser, peers: list[str], among: Iterable[str] = PEERS) -> None:
    """Options of everything that compares proxies."""
    among = list(dict.fromkeys(among))
    names = ", ".join(among)
    parser.add_argument(
        "-p",
        "--peers",
        type=one_of(among),
        default=peers,
        metavar="A,B",
        help=f"of {names} [{','.join(peers)}]",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="threads of each proxy; from 2 on nothing is pinned [1]"
    )
    parser.add_argument(
        "--checks-pass",
        dest="whom",
        action="store_const",
        const="requests",
        default="all",
        help="backends that misbehave answer health checks well, so that only requests tell",
    )


if __name__ == "__main__":
    sys.exit(main())
