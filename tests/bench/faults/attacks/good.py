"""What the others ask for."""

from dataclasses import dataclass

from ..load import Request, load


@dataclass(frozen=True)
class Plan:
    """Requests a second, for so many seconds."""

    rate: int
    seconds: float
    pinned: bool

    def run(self) -> list[Request]:
        """Each a GET, on connections of their own."""
        with load(self.rate, self.seconds, self.pinned) as running:
            return running.wait()
