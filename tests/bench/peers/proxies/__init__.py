"""Who is asked: every proxy of the benchmark, by name."""

from . import caddy, envoy, haproxy, nginx, pingora, plain, traefik, weir
from .peer import Peer, Settings

PEERS = {
    peer.name: peer
    for peer in (
        plain.DIRECT,
        plain.FLOOR,
        nginx.PEER,
        haproxy.PEER,
        envoy.PEER,
        pingora.PEER,
        caddy.PEER,
        traefik.PEER,
        traefik.FAST,
        weir.PEER,
    )
}

__all__ = ["PEERS", "Peer", "Settings"]
