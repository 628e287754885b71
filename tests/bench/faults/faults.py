"""What happens to the backends, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass

from .backends import Backend

Act = Callable[[list[Backend], str], None]


@dataclass(frozen=True)
class Fault:
    """`begin` and `end` get the backends, and whom a misbehaving one treats badly: `all` or `requests`."""

    what: str
    begin: Act
    end: Act


def told(how: str, many: slice) -> tuple[Act, Act]:
    """Some backends are told to behave so, and well again."""

    def begin(backends: list[Backend], whom: str) -> None:
        for backend in backends[many]:
            backend.behave(f"{how} {whom}")

    def end(backends: list[Backend], _whom: str) -> None:
        for backend in backends[many]:
            backend.behave("well")

    return begin, end


ONE, ALL = slice(1), slice(None)

FAULTS = {
    "kill": Fault(
        "kill -9 of one, which starts again at the end",
        lambda backends, _: backends[0].kill(),
        lambda backends, _: backends[0].start(),
    ),
    "stop": Fault(
        "SIGSTOP of one, SIGCONT at the end",
        lambda backends, _: backends[0].stop(),
        lambda backends, _: backends[0].go_on(),
    ),
    "reset": Fault("one resets every tenth request", *told("reset:10", ONE)),
    "drip": Fault("one answers a byte a second", *told("drip", ONE)),
    "all503": Fault("all answer 503 at once", *told("503", ALL)),
}

# For the storm: nobody can be reached well.
STORMS = {
    "503": Fault("all answer 503 at once", *told("503", ALL)),
    "reset": Fault("all reset every request", *told("reset:1", ALL)),
}
