"""HAProxy, as Debian packages it."""

from pathlib import Path

from .. import places
from .peer import Launch, Peer, Settings

BINARY = Path("/usr/sbin/haproxy")


def prepare(settings: Settings) -> Launch:
    log_to = "log stdout format raw local0" if settings.log else ""
    log = "log global\n  option httplog" if settings.log else ""
    servers = "\n".join(
        f"  server s{number} {backend} pool-max-conn 1024"
        for number, backend in enumerate(places.BACKENDS, 1)
    )
    config = settings.write(
        "haproxy.cfg",
        f"""
global
  nbthread {settings.workers}
  maxconn 9000
  {log_to}
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  option http-keep-alive
  http-reuse always
  option forwardfor
  {log}
frontend clients
  bind {places.HTTP} backlog 8192
  bind {places.TLS} ssl crt {places.CERTIFICATE_AND_KEY} alpn h2,http/1.1 backlog 8192
  default_backend backends
backend backends
  balance roundrobin
{servers}
""",
    )
    return Launch([BINARY, "-db", "-f", config], prints_log=True)


PEER = Peer("haproxy", BINARY, prepare, version=("-v",))
