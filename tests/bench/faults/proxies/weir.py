"""Weir: a control plane, a file that the CLI applies, and a proxy that follows."""

from functools import partial

from peers import places
from peers.proxies import weir
from peers.proxies.peer import Launch, Peer, Settings

from ..backends import ADDRESSES
from . import common

POLICY = f"""
    lb_policy: {{ least_request: {{}} }}
    health_check:
      http: {{ path: {common.CHECK_PATH} }}
      interval: {common.CHECK_INTERVAL}s
      timeout: {common.CHECK_TIMEOUT}s
      unhealthy_threshold: {common.UNHEALTHY}
      healthy_threshold: {common.HEALTHY}
    outlier_detection: {{ base_ejection_time: {common.EJECTION}s }}
    timeouts:
      connect: {common.CONNECT_TIMEOUT}s
      per_try: {common.TRY_TIMEOUT}s
      request: {common.REQUEST_TIMEOUT}s
    retry_policy:
      num_retries: {common.RETRIES}
      retry_on: [connect-failure, refused-stream, reset-before-response, per-try-timeout, gateway-error]
"""


def configuration(policy: str) -> str:
    """One service, with its policy as lines of YAML."""
    return f"""
listeners:
  - name: faults
    address: {places.HTTP}
services:
  - name: faults
    backends: {places.quoted(ADDRESSES)}
{policy}
routes:
  - match: {{ path_prefix: / }}
    service: faults
"""


def prepare(policy: str, settings: Settings) -> Launch:
    return weir.prepare(settings, configuration(policy))


def limited(limits: str) -> Peer:
    """With circuit breakers, whose fields are given as YAML."""
    return peer("weir", f"{POLICY}    circuit_breakers: {{ {limits} }}\n")


def peer(name: str, policy: str) -> Peer:
    return Peer(name, weir.BINARY, partial(prepare, policy))


PEER = peer("weir", POLICY)
# As it is when nobody sets anything.
PLAIN = peer("weir-plain", "")
