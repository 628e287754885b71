"""HAProxy. It has no ejection of its own: what it observes marks a server down, and checks bring it back.

Nor has it a timeout over all tries; `timeout server` is the one of a try. Each of its three retries goes
where balancing says, which may be the same server again.
"""

from peers import places
from peers.proxies import haproxy
from peers.proxies.peer import Launch, Peer, Settings

from ..backends import ADDRESSES
from . import common

RETRIES = 3


def prepare(settings: Settings) -> Launch:
    servers = "\n".join(f"  server s{number} {address} check" for number, address in enumerate(ADDRESSES, 1))
    check = f"inter {common.CHECK_INTERVAL}s fall {common.UNHEALTHY} rise {common.HEALTHY}"
    observe = f"observe layer7 error-limit {common.CONSECUTIVE_FAILURES} on-error mark-down"
    config = settings.write(
        "haproxy.cfg",
        f"""
global
  nbthread {settings.workers}
  maxconn 9000
defaults
  mode http
  timeout connect {common.CONNECT_TIMEOUT}s
  timeout client 75s
  timeout http-keep-alive 75s
  timeout server {common.TRY_TIMEOUT}s
  timeout check {common.CHECK_TIMEOUT}s
  balance leastconn
  option forwardfor
  retries {RETRIES}
  option redispatch 1
  retry-on conn-failure empty-response response-timeout
frontend clients
  bind {places.HTTP} backlog 8192
  default_backend backends
backend backends
  option httpchk
  http-check send meth GET uri {common.CHECK_PATH} ver HTTP/1.1 hdr host bench.local
  default-server {check} {observe}
{servers}
""",
    )
    return Launch([haproxy.BINARY, "-db", "-f", config])


PEER = Peer("haproxy", haproxy.BINARY, prepare, version=("-v",))
