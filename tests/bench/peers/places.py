"""Where things are: what `setup` installed, Weir's programs, the addresses of the benchmark."""

import os
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("WEIR_BENCH_DIR") or Path.home() / ".cache" / "weir" / "bench")
BIN = CACHE / "bin"
VENV = CACHE / "venv"
RUN = CACHE / "run"
RESULTS = CACHE / "results"
WEIR = Path(os.environ.get("WEIR_BIN_DIR") or REPOSITORY / "target" / "release")

CERTIFICATE, KEY = CACHE / "conf" / "cert.pem", CACHE / "conf" / "key.pem"
CERTIFICATE_AND_KEY = CACHE / "conf" / "both.pem"

HTTP_PORT, TLS_PORT = 8000, 8443
HTTP, TLS = f"127.0.0.1:{HTTP_PORT}", f"127.0.0.1:{TLS_PORT}"
BACKEND_PORTS = (9001, 9002)
BACKENDS = tuple(f"127.0.0.1:{port}" for port in BACKEND_PORTS)
# Comes and goes while the configuration changes.
SPARE_BACKEND_PORT = 9003
SPARE_BACKEND = f"127.0.0.1:{SPARE_BACKEND_PORT}"
# Behind a path of their own; the first of them is slow. A few less than 1 %, so that p99 is not on the edge.
MANY_BACKEND_PORTS = range(9101, 9101 + 128)
MANY_BACKENDS = tuple(f"127.0.0.1:{port}" for port in MANY_BACKEND_PORTS)
MANY_PATH = "/many"
WEBSOCKET_PATH = "/ws"
# Goes to the first two backends, over HTTP/2.
GRPC_PATH = "/bench.Echo"

# In memory, so that no disk is measured.
ACCESS_LOG = Path("/dev/shm/weir-bench-access.log")


def quoted(addresses: Iterable[str]) -> str:
    """As a list in YAML."""
    return "[ " + ", ".join(f'"{address}"' for address in addresses) + " ]"
