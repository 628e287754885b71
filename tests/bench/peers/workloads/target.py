"""Whom a workload asks: the address, the meter, and how to run the clients beside it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from .. import places
from ..measure import Meter, Row
from ..process import OTHER_CORE, on_core

# A client that takes longer than this hangs.
PATIENCE = 120


@dataclass(frozen=True)
class Target:
    """`port` is the plain one; TLS is always on its own."""

    port: int
    meter: Meter
    pinned: bool
    seconds: float
    rate: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self, *command: object) -> list[str]:
        """A client's command line, on the core that the proxy does not have."""
        return on_core(OTHER_CORE if self.pinned else None, command)

    def output_of(self, *command: object) -> str:
        """What a client printed."""
        done = subprocess.run(
            self.client(*command), capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return done.stdout

    def generate(self, mode: str, path: str, *numbers: object) -> Row:
        """Runs the load generator."""
        row: Row = json.loads(self.output_of(places.BIN / "generator", mode, self.address, path, *numbers))
        return row

    def cost(self, load: Callable[[], Row], requests: Callable[[Row], int] = lambda row: row["n"]) -> Row:
        """The load's own figures, with what it cost the proxy."""
        row, cost = self.meter.during(load)
        return {**row, **cost.per_request(requests(row))}
