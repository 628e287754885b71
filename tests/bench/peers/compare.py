"""A run: rounds in which every proxy has every workload, in turn forwards and backwards."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TextIO

from . import machine, places
from .measure import Meter, Row, undisturbed
from .proxies import PEERS, Peer
from .running import backends, proxy
from .workloads import WORKLOADS
from .workloads.target import Target

# What is shown while it runs.
SHOWN = (
    *("us_req", "ratio", "cpu_ms_gib", "bytes_conn", "p99_us", "p99_without", "p99_with", "rps"),
    *("errors", "foreign", "tries", "fail"),
)


@dataclass(frozen=True)
class Options:
    """What the command line asked for; `command` is that line."""

    command: str
    rounds: int
    peers: list[str]
    workloads: list[str]
    workers: int
    log: bool
    rate: int
    seconds: float
    publish: bool
    quick: bool


@dataclass(frozen=True)
class Turn:
    """Workloads that one start of a proxy can serve."""

    peer: Peer
    round: int
    workers: int
    log: bool
    workloads: list[str]


def run(options: Options) -> Path:
    """Measures. The file of results: a line about the machine, then one for each measurement."""
    peers = [PEERS[name] for name in options.peers if installed(PEERS[name])]
    places.RESULTS.mkdir(parents=True, exist_ok=True)
    file = places.RESULTS / time.strftime("%Y%m%d-%H%M%S.jsonl")
    with file.open("w", buffering=1) as output:
        put(output, {"about": machine.about(options.command, peers)})
        for round_number in range(options.rounds):
            for peer in peers if round_number % 2 == 0 else peers[::-1]:
                for turn in turns(peer, round_number, options):
                    try:
                        take(turn, options, output)
                    except Exception as error:  # noqa: BLE001 - one that fails must not end the others' run
                        row = {"peer": peer.name, "w": "start", "round": round_number, "fail": str(error)}
                        put(output, row)
                        print(f"round {round_number}  {peer.name}: {error}", file=sys.stderr, flush=True)
    return file


def installed(peer: Peer) -> bool:
    if peer.binary.exists():
        return True
    print(
        f"{peer.name} is left out: it is not installed (tests/bench/run peers setup --all)", file=sys.stderr
    )
    return False


def turns(peer: Peer, round_number: int, options: Options) -> list[Turn]:
    """All workloads that a proxy can do, gathered by how it must run for them."""

    def setting(name: str) -> tuple[int, bool, str]:
        workload = WORKLOADS[name]
        workers = options.workers if workload.workers is None else workload.workers
        log = options.log if workload.log is None else workload.log
        return workers, log, name if workload.fresh else ""

    names = [name for name in options.workloads if asked(peer, name)]
    settings = groupby(sorted(names, key=setting), setting)
    return [Turn(peer, round_number, workers, log, list(some)) for (workers, log, _), some in settings]


def asked(peer: Peer, name: str) -> bool:
    workload = WORKLOADS[name]
    return (
        name not in peer.without
        and (not workload.only or peer.name in workload.only)
        and not (workload.needs_proxy and not peer.prepare)
    )


def take(turn: Turn, options: Options, output: TextIO) -> None:
    """Measures the workloads of a turn."""
    with running(turn, options) as target:
        for name in turn.workloads:
            workload = WORKLOADS[name]
            try:
                row = undisturbed(lambda: workload.run(target), options.quick)  # noqa: B023 - called at once
            except Exception as error:  # noqa: BLE001 - the result is that it failed
                row = {"fail": repr(error)[:300]}
            run_of = {
                "peer": turn.peer.name,
                "w": name,
                "round": turn.round,
                "workers": turn.workers,
                "log": turn.log,
            }
            put(output, {**run_of, **row})
            shown = (f"{key} {brief(row[key])}" for key in SHOWN if key in row)
            print(
                f"round {turn.round}  {turn.peer.name:12} {name:10}",
                "  ".join(shown),
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def running(turn: Turn, options: Options) -> Iterator[Target]:
    """The backends, and the proxy unless the load goes straight to them."""
    pinned = turn.workers == 1
    with backends(pinned) as backend:
        if not turn.peer.prepare:
            meter = Meter(backend, backend)
            yield Target(places.BACKEND_PORTS[0], meter, pinned, options.seconds, options.rate)
            return
        with proxy(turn.peer, turn.workers, turn.log) as pid:
            yield Target(places.HTTP_PORT, Meter(pid, backend), pinned, options.seconds, options.rate)


def brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def put(output: TextIO, row: Row) -> None:
    output.write(json.dumps(row) + "\n")
