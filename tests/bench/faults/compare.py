"""A run: rounds in which every proxy meets every fault, in turn forwards and backwards."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from peers import machine, places
from peers.compare import brief, installed, put
from peers.measure import Row
from peers.proxies import Peer

from .backends import Capacity
from .faults import FAULTS
from .measure import Phases, course, row
from .proxies import PEERS

SHOWN = ("failed", "passed_on", "failed_before", "p50_ms", "p99_ms", "seen", "even_ms", "foreign", "fail")


@dataclass(frozen=True)
class Options:
    """What the command line asked for; `command` is that line."""

    command: str
    rounds: int
    peers: list[str]
    faults: list[str]
    rate: int
    workers: int
    # Whom a misbehaving backend treats badly.
    whom: str
    phases: Phases


def run(options: Options) -> Path:
    """Measures. The file of results: a line about the machine, then one for each measurement."""
    peers = [PEERS[name] for name in options.peers if installed(PEERS[name])]
    with results("faults", options.command, peers) as (file, output):
        for number in range(options.rounds):
            for name in options.faults:
                for peer in peers if number % 2 == 0 else peers[::-1]:
                    which = {"peer": peer.name, "fault": name, "round": number, "workers": options.workers}
                    measured = {**which, "checks_too": options.whom == "all", **attempt(peer, name, options)}
                    put(output, measured)
                    shown = (f"{key} {brief(measured[key])}" for key in SHOWN if key in measured)
                    say(f"round {number}  {name:7} {peer.name:10} {'  '.join(shown)}")
    return file


def attempt(peer: Peer, name: str, options: Options) -> Row:
    """One measurement; one that fails must not end the others' run."""
    try:
        happened = course(
            peer, FAULTS[name], options.phases, options.rate, options.whom, options.workers, Capacity()
        )
        return row(happened, options.rate)
    except Exception as error:  # noqa: BLE001 - the result is that it failed
        return {"fail": repr(error)[:300]}


@contextmanager
def results(kind: str, command: str, peers: list[Peer]) -> Iterator[tuple[Path, TextIO]]:
    """A new file of results, with the line about the machine."""
    places.RESULTS.mkdir(parents=True, exist_ok=True)
    file = places.RESULTS / time.strftime(f"{kind}-%Y%m%d-%H%M%S.jsonl")
    with file.open("w", buffering=1) as output:
        put(output, {"about": machine.about(command, peers)})
        yield file, output


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
