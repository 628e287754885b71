"""Envoy. Its documentation asks for a retry budget in place of the default of three retries at a time."""

import json
from typing import Any

from peers import places
from peers.proxies import envoy
from peers.proxies.envoy import address, listener, typed
from peers.proxies.peer import Launch, Peer, Settings

from ..backends import ADDRESSES
from . import common

CLUSTER = "faults"
# Under way at a time, whatever the budget: as many as a fault may need, so that it fails no request.
LEAST_RETRIES = 100


def prepare(settings: Settings) -> Launch:
    chain = {"filters": [connection_manager()]}
    config = {
        "static_resources": {"listeners": [listener(places.HTTP_PORT, chain)], "clusters": [cluster()]},
    }
    path = settings.write("envoy.json", json.dumps(config, indent=1))
    options = ("--concurrency", settings.workers, "--disable-hot-restart", "-l", "error")
    return Launch([envoy.BINARY, "-c", path, *options])


def connection_manager() -> dict[str, Any]:
    route = {
        "cluster": CLUSTER,
        "timeout": seconds(common.REQUEST_TIMEOUT),
        "retry_policy": {
            # A try that takes too long counts as a gateway error.
            "retry_on": "connect-failure,refused-stream,reset,gateway-error",
            "num_retries": common.RETRIES,
            "per_try_timeout": seconds(common.TRY_TIMEOUT),
            "retry_host_predicate": [
                typed(
                    "envoy.retry_host_predicates.previous_hosts",
                    "retry.host.previous_hosts.v3.PreviousHostsPredicate",
                    {},
                )
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router", {})
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        {
            "stat_prefix": CLUSTER,
            "use_remote_address": True,
            "route_config": {"virtual_hosts": [host]},
            "http_filters": [router],
        },
    )


def cluster() -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": address(ip, int(port))}}
        for ip, port in (backend.split(":") for backend in ADDRESSES)
    ]
    check = {
        "http_health_check": {"path": common.CHECK_PATH},
        "interval": seconds(common.CHECK_INTERVAL),
        # Else one check a minute until the first request came.
        "no_traffic_interval": seconds(common.CHECK_INTERVAL),
        "timeout": seconds(common.CHECK_TIMEOUT),
        "unhealthy_threshold": common.UNHEALTHY,
        "healthy_threshold": common.HEALTHY,
    }
    outliers = {
        "consecutive_5xx": common.CONSECUTIVE_FAILURES,
        "consecutive_gateway_failure": common.CONSECUTIVE_FAILURES,
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": common.CONSECUTIVE_FAILURES,
        # Ejections end only when it looks; every ten seconds unless told.
        "interval": seconds(1),
        "base_ejection_time": seconds(common.EJECTION),
        # Of three, its share of ten percent is none.
        "always_eject_one_host": True,
    }
    budget = {"budget_percent": {"value": 20}, "min_retry_concurrency": LEAST_RETRIES}
    return {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": seconds(common.CONNECT_TIMEOUT),
        "lb_policy": "LEAST_REQUEST",
        "health_checks": [check],
        "outlier_detection": outliers,
        "circuit_breakers": {"thresholds": [{"retry_budget": budget}]},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def seconds(number: int) -> str:
    return f"{number}s"


PEER = Peer("envoy", envoy.BINARY, prepare)
