"""Instructions that Weir's proxy executes for each request: the same on a busy machine as on an idle one, so
that a regression of 3 % shows anywhere. `tests/bench/run instructions`

Callgrind counts two runs of the release build with one worker and one client that sends keep-alive GETs. What
both have in common, the start and the end, falls out of the difference. What the system does for them is not
counted.
"""

import subprocess
import sys

from . import places
from .find import figure
from .process import unwind_at_signals
from .proxies import PEERS
from .running import backends, proxy

FEW, MANY = 2_000, 12_000


def main() -> int:
    unwind_at_signals()
    with backends(pinned=False):
        few, many = counted(FEW), counted(MANY)
    print(
        f"{(many - few) / (MANY - FEW):,.0f} instructions per request "
        f"(of {MANY:,} requests {many:,}, of {FEW:,} {few:,})"
    )
    return 0


def counted(requests: int) -> int:
    """What the whole life of a proxy takes that answers so many requests."""
    file = places.RUN / "callgrind.out"
    valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={file}")
    with proxy(PEERS["weir"], workers=1, log=False, under=valgrind):
        subprocess.run(
            [places.BIN / "generator", "count", places.HTTP, "/", str(requests)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return int(figure(r"^totals: (\d+)", file.read_text()))


if __name__ == "__main__":
    sys.exit(main())
