"""Two limits, no competitors: no proxy at all, and the least that a proxy over plain sockets can do."""

from .. import places
from .peer import Launch, Peer, Settings

FLOOR_BINARY = places.BIN / "floor"


def floor(_: Settings) -> Launch:
    """Raw epoll and httparse in one thread, no feature at all; always one worker."""
    return Launch([FLOOR_BINARY, places.HTTP, *places.BACKENDS])


DIRECT = Peer("direct", places.BIN / "backend", None, version=(), tls=False, limit=True)
FLOOR = Peer("floor", FLOOR_BINARY, floor, version=(), tls=False, limit=True)
