"""Weir, as a user runs it: a control plane, a file that the CLI applies, and a proxy that follows.

The release build. The control plane shares the clients' core; it is not on the request path.
"""

import subprocess
from pathlib import Path

from .. import places
from .peer import Launch, Peer, Settings

BINARY = places.WEIR / "weir-data-plane"
# High and odd, so that they meet nobody's.
CONTROL_PORT, CONTROL_ADMIN_PORT, PROXY_ADMIN_PORT = 17401, 17403, 19901
CONTROL = f"127.0.0.1:{CONTROL_PORT}"

# In one file, so that a proxy that has one listener has them all.
CONFIGURATION = f"""
listeners:
  - name: bench
    address: {places.HTTP}
  - name: bench-tls
    address: {places.TLS}
    tls: {{ certificates: [ {{ certificate: {places.CERTIFICATE}, private_key: {places.KEY} }} ] }}
services:
  - name: bench
    backends: {places.quoted(places.BACKENDS)}
  - name: bench-many
    backends: {places.quoted(places.MANY_BACKENDS)}
  - name: bench-grpc
    protocol: http2
    backends: {places.quoted(places.BACKENDS)}
routes:
  - match: {{ path_prefix: / }}
    service: bench
  - match: {{ path_prefix: {places.MANY_PATH} }}
    service: bench-many
  - match: {{ path_prefix: {places.GRPC_PATH} }}
    service: bench-grpc
"""


def prepare(settings: Settings, configuration: str = CONFIGURATION) -> Launch:
    own = settings.directory
    settings.beside(
        [
            places.WEIR / "weir-control-plane",
            "--data-dir",
            own / "control-plane",
            "--listen",
            CONTROL,
            "--admin",
            f"127.0.0.1:{CONTROL_ADMIN_PORT}",
        ],
        CONTROL_PORT,
    )
    apply(settings.write("weir.yaml", configuration))
    return Launch(
        [
            BINARY,
            "--control-plane",
            f"http://{CONTROL}",
            "--data-dir",
            own / "proxy",
            "--listen",
            "off",
            "--admin",
            f"127.0.0.1:{PROXY_ADMIN_PORT}",
            "--workers",
            settings.workers,
            "--access-log",
            places.ACCESS_LOG if settings.log else "off",
            "--lame-duck",
            "0s",
            "--drain-timeout",
            "1s",
        ]
    )


def apply(file: Path, *options: str) -> None:
    """As an operator does it."""
    done = subprocess.run(cli("apply", "-f", str(file), *options), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(" ".join(done.stderr.split())[-200:])


def cli(*words: str) -> list[str]:
    """A command line."""
    return [str(places.WEIR / "weir"), "--control-plane", f"http://{CONTROL}", *words]


PEER = Peer("weir", BINARY, prepare)
