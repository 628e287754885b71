"""A run: rounds in which every proxy has every workload, in turn forwards and backwards."""

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from . import machine, places
from .measure import Meter, Row, undisturbed
from .proxies import PEERS, Peer
from .running import backends, proxy
from .workloads import WORKLOADS
from .workloads.target import Target

# What is shown while it runs.
SHOWN = ("us_req", "cpu_ms_gib", "bytes_conn", "p99_us", "rps", "errors", "foreign", "tries", "fail")


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


def run(options: Options) -> Path:
    """Measures. The file of results: a line about the machine, then one for each measurement."""
    peers = [PEERS[name] for name in options.peers if installed(PEERS[name])]
    places.RESULTS.mkdir(parents=True, exist_ok=True)
    file = places.RESULTS / time.strftime("%Y%m%d-%H%M%S.jsonl")
    with file.open("w", buffering=1) as output, backends(options.workers == 1) as backend:
        put(output, {"about": machine.about(options.command, peers)})
        for round_number in range(options.rounds):
            for peer in peers if round_number % 2 == 0 else peers[::-1]:
                try:
                    one_turn(peer, round_number, backend, options, output)
                except Exception as error:  # noqa: BLE001 - one that fails must not end the others' run
                    put(output, {"peer": peer.name, "w": "start", "round": round_number, "fail": str(error)})
                    print(f"round {round_number}  {peer.name}: {error}", file=sys.stderr, flush=True)
    return file


def installed(peer: Peer) -> bool:
    if peer.binary.exists():
        return True
    print(
        f"{peer.name} is left out: it is not installed (tests/bench/run peers setup --all)", file=sys.stderr
    )
    return False


def one_turn(peer: Peer, round_number: int, backend: int, options: Options, output: TextIO) -> None:
    """All workloads for one proxy."""
    running = proxy(peer, options.workers, options.log) if peer.prepare else nullcontext(backend)
    with running as pid:
        port = places.HTTP_PORT if peer.prepare else places.BACKEND_PORTS[0]
        meter = Meter(pid, backend)
        target = Target(port, meter, options.workers == 1, options.seconds, options.rate)
        for name in options.workloads:
            workload = WORKLOADS[name]
            if (workload.needs_tls and not peer.tls) or (workload.needs_proxy and not peer.prepare):
                continue
            try:
                row = undisturbed(lambda: workload.run(target))  # noqa: B023 - called at once
            except Exception as error:  # noqa: BLE001 - the result is that it failed
                row = {"fail": repr(error)[:200]}
            run_of = {
                "peer": peer.name,
                "w": name,
                "round": round_number,
                "workers": options.workers,
                "log": options.log,
            }
            put(output, {**run_of, **row})
            shown = (f"{key} {brief(row[key])}" for key in SHOWN if key in row)
            print(
                f"round {round_number}  {peer.name:12} {name:10}",
                "  ".join(shown),
                file=sys.stderr,
                flush=True,
            )


def brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def put(output: TextIO, row: Row) -> None:
    output.write(json.dumps(row) + "\n")
