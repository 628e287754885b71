"""HAProxy, as Debian packages it."""

from collections.abc import Sequence
from pathlib import Path

from .. import places
from .peer import Launch, Peer, Settings

BINARY = Path("/usr/sbin/haproxy")


def prepare(settings: Settings) -> Launch:
    log_to = "log stdout format raw local0" if settings.log else ""
    log = "log global\n  option httplog" if settings.log else ""
    config = settings.write(
        "haproxy.cfg",
        f"""
global
  nbthread {settings.workers}
  maxconn 9000
  {log_to}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout tunnel 75s
  balance roundrobin
  option http-keep-alive
  http-reuse always
  option forwardfor
  {log}
frontend clients
  bind {places.HTTP} backlog 8192
  bind {places.TLS} ssl crt {places.CERTIFICATE_AND_KEY} alpn h2,http/1.1 backlog 8192
  use_backend many if {{ path_beg {places.MANY_PATH} }}
  use_backend grpc if {{ path_beg {places.GRPC_PATH} }}
  default_backend backends
backend backends
{servers(places.BACKENDS)}
backend many
{servers(places.MANY_BACKENDS)}
backend grpc
{servers(places.BACKENDS, "proto h2")}
""",
    )
    return Launch([BINARY, "-db", "-f", config], prints_log=True)


def servers(addresses: Sequence[str], options: str = "") -> str:
    return "\n".join(
        f"  server s{number} {address} pool-max-conn 1024 {options}"
        for number, address in enumerate(addresses, 1)
    )


PEER = Peer("haproxy", BINARY, prepare, version=("-v",))
