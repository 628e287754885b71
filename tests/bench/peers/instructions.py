"""Instructions that Weir's proxy executes for each request: the same on a busy machine as on an idle one, so
that a regression of 3 % shows anywhere. `tests/bench/run instructions [SCRIPT...]`

Callgrind counts two runs of the release build with one worker and one client that asks one thing after the
other on one connection. What both have in common, the start, the handshake and the end, falls out of the
difference. What the system does for them is not counted.
"""

import subprocess
import sys

from . import places
from .find import figure
from .process import unwind_at_signals
from .proxies import PEERS
from .running import backends, proxy
from .workloads.tls import SECURE, unary_call

FEW, MANY = 2_000, 12_000
GENERATOR = (places.BIN / "generator", "count", places.HTTP)
H2LOAD = ("h2load", "-t1", "-c1", "-m1")
# How each asks so many times; the number takes the place of `N`.
SCRIPTS = {
    "get": (*GENERATOR, "/", "N"),
    "post1k": (*GENERATOR, "/", "N", 1 << 10),
    "chunked": (*GENERATOR, f"/c/{4 << 10}", "N", f"chunked:{4 << 10}"),
    "tls": (*H2LOAD, "--h1", "-n", "N", SECURE),
    "h2": (*H2LOAD, "-n", "N", SECURE),
    "grpc": (*H2LOAD, "-n", "N", *unary_call()),
}


def main() -> int:
    unwind_at_signals()
    names = sys.argv[1:] or list(SCRIPTS)
    if unknown := [name for name in names if name not in SCRIPTS]:
        print(f"{', '.join(unknown)}: the scripts are {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    failed = False
    with backends(pinned=False):
        for name in names:
            try:
                few, many = counted(name, FEW), counted(name, MANY)
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"{name:8} failed: {error}", flush=True)
                failed = True
                continue
            each = (many - few) / (MANY - FEW)
            print(
                f"{name:8} {each:>10,.0f} instructions per request "
                f"(of {MANY:,} requests {many:,}, of {FEW:,} {few:,})",
                flush=True,
            )
    return int(failed)


def counted(name: str, requests: int) -> int:
    """What the whole life of a proxy takes that answers so many requests."""
    file = places.RUN / "callgrind.out"
    valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={file}")
    command = [str(requests) if word == "N" else str(word) for word in SCRIPTS[name]]
    with proxy(PEERS["weir"], workers=1, log=False, under=valgrind):
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        if "h2load" in command and f" {requests} 2xx" not in done.stdout:
            raise RuntimeError(f"not all were answered: {' '.join(done.stdout.split())[-300:]}")
    return int(figure(r"^totals: (\d+)", file.read_text()))


if __name__ == "__main__":
    sys.exit(main())
