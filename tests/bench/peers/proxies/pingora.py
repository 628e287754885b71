"""Pingora, by the small program in `pingora/` that follows its own quick start. Optional."""

from .. import places
from .peer import Launch, Peer, Settings

BINARY = places.BIN / "pingora-lb"


def prepare(settings: Settings) -> Launch:
    tls = [places.TLS, places.CERTIFICATE, places.KEY]
    return Launch([BINARY, settings.workers, places.HTTP, *tls, *places.BACKENDS])


PEER = Peer("pingora", BINARY, prepare, version=(), without=("grpc", "slow"))
