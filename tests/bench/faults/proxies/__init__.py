"""Who is asked. What all have in common stands here, so that each file says it in its proxy's own words."""

from . import envoy, haproxy, weir

PEERS = {peer.name: peer for peer in (weir.PEER, weir.PLAIN, envoy.PEER, haproxy.PEER)}

__all__ = ["PEERS"]
