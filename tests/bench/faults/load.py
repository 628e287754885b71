"""The load: an open loop, and what became of each of its requests."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers import places
from peers.process import OTHER_CORE, on_core, raise_descriptor_limit

from .backends import DIRECTORY

# One request in so many comes on a connection of its own.
FRESH = 4
# After so many seconds a client gives up.
PATIENCE = 5


@dataclass(frozen=True)
class Request:
    """How one request ended. Times are in seconds, as `time.monotonic` counts."""

    due: float
    # How late it was sent; if that is much, the machine was too busy for the load.
    late: float
    # From when it was due.
    took: float
    # A status, or `timeout`, `refused`, `broken`.
    how: str
    # The backend that answered, `-` if none did.
    backend: str

    @property
    def good(self) -> bool:
        return self.how == "200"

    @property
    def passed_on(self) -> bool:
        """A bad answer of a backend's own."""
        return not self.good and self.backend != "-"

    @property
    def ended(self) -> float:
        return self.due + self.took


@dataclass
class Load:
    """A load that runs."""

    process: subprocess.Popen[bytes]
    output: Path
    seconds: float

    def wait(self) -> list[Request]:
        """All of its requests, in the order in which they were due."""
        code = self.process.wait(self.seconds + PATIENCE + 10)
        if code != 0:
            raise RuntimeError(f"the load ended with {code}: {self.output.read_text()[-300:]}")
        lines = self.output.read_text().splitlines()
        return sorted(map(request, lines), key=lambda request: request.due)


@contextmanager
def load(rate: int, seconds: float, pinned: bool) -> Iterator[Load]:
    """So many requests a second, for so long, to the proxy; begins at once."""
    output = DIRECTORY / "load"
    numbers = (rate, round(rate * seconds), FRESH, PATIENCE * 1000)
    command: Sequence[object] = (places.BIN / "arrivals", places.HTTP, "/", *numbers)
    with output.open("w") as file:
        process = subprocess.Popen(
            on_core(OTHER_CORE if pinned else None, command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            preexec_fn=raise_descriptor_limit,
        )
    try:
        yield Load(process, output, seconds)
    finally:
        process.kill()
        process.wait()


def request(line: str) -> Request:
    due, late, took, how, backend = line.split()
    return Request(int(due) / 1e6, int(late) / 1e6, int(took) / 1e6, how, backend)
