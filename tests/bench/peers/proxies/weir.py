"""Weir, as a user runs it: a control plane, a file that the CLI applies, and a proxy that follows.

The release build. The control plane shares the clients' core; it is not on the request path.
"""

import subprocess

from .. import places
from .peer import Launch, Peer, Settings

BINARY = places.WEIR / "weir-data-plane"
# High and odd, so that they meet nobody's.
CONTROL_PORT, CONTROL_ADMIN_PORT, PROXY_ADMIN_PORT = 17401, 17403, 19901
CONTROL_PLANE = f"http://127.0.0.1:{CONTROL_PORT}"


def prepare(settings: Settings) -> Launch:
    own = settings.directory
    settings.beside(
        [
            places.WEIR / "weir-control-plane",
            "--data-dir",
            own / "control-plane",
            "--listen",
            f"127.0.0.1:{CONTROL_PORT}",
            "--admin",
            f"127.0.0.1:{CONTROL_ADMIN_PORT}",
        ],
        CONTROL_PORT,
    )
    file = settings.write(
        "weir.yaml",
        f"""
listeners:
  - name: bench
    address: {places.HTTP}
services:
  - name: bench
    backends: [ {", ".join(f'"{backend}"' for backend in places.BACKENDS)} ]
routes:
  - match: {{ path_prefix: / }}
    service: bench
""",
    )
    apply = [str(places.WEIR / "weir"), "--control-plane", CONTROL_PLANE, "apply", "-f", str(file)]
    subprocess.run(apply, check=True, capture_output=True, timeout=30)
    return Launch(
        [
            BINARY,
            "--control-plane",
            CONTROL_PLANE,
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


# TLS and HTTP/2 wait for listeners that speak them.
PEER = Peer("weir", BINARY, prepare, tls=False)
