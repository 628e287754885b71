"""Two limits, no competitors: no proxy at all, and the least that a proxy over plain sockets can do."""

from .. import places
from .peer import Launch, Peer, Settings

FLOOR_BINARY = places.BIN / "floor"
NOT_PLAIN = ("tls", "h2", "handshake", "idle-tls", "idle-h2", "grpc", "slow", "chunked", "ws", "log", "two")


def floor(_: Settings) -> Launch:
    """Raw epoll and httparse in one thread, no feature at all; always one worker."""
    return Launch([FLOOR_BINARY, places.HTTP, *places.BACKENDS])


DIRECT = Peer("direct", places.BIN / "backend", None, version=(), without=NOT_PLAIN, limit=True)
FLOOR = Peer("floor", FLOOR_BINARY, floor, version=(), without=NOT_PLAIN, limit=True)
