"""The proxies under attack, each as it is when nobody sets anything but where traffic goes."""

from collections.abc import Callable
from functools import partial

from peers import places
from peers.proxies import haproxy, nginx, weir
from peers.proxies.peer import Launch, Peer, Settings

from .backend_process import HTTP2, STUCK_ADDRESS, STUCK_PATH, address


def of_weir(protocol: str, settings: Settings) -> Launch:
    return weir.prepare(
        settings,
        f"""
listeners:
  - name: attacked
    address: {places.HTTP}
  - name: attacked-http2
    address: {HTTP2}
services:
  - name: good
    protocol: {protocol}
    backends: {places.quoted([address(protocol)])}
  - name: stuck
    backends: {places.quoted([STUCK_ADDRESS])}
routes:
  - match: {{ path_prefix: / }}
    service: good
  - match: {{ path_prefix: {STUCK_PATH} }}
    service: stuck
""",
    )


def of_haproxy(protocol: str, settings: Settings) -> Launch:
    config = settings.write(
        "haproxy.cfg",
        f"""
global
  nbthread {settings.workers}
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
frontend clients
  bind {places.HTTP}
  bind {HTTP2} proto h2
  use_backend stuck if {{ path_beg {STUCK_PATH} }}
  default_backend good
backend good
  server good {address(protocol)} {"proto h2" if protocol == "http2" else ""}
backend stuck
  server stuck {STUCK_ADDRESS}
""",
    )
    return Launch([haproxy.BINARY, "-db", "-f", config])


def of_nginx(protocol: str, settings: Settings) -> Launch:
    own = settings.directory
    paths = "\n".join(f"  {kind}_temp_path {own}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    config = settings.write(
        "nginx.conf",
        f"""
daemon off;
worker_processes {settings.workers};
worker_rlimit_nofile 20000;
pid {own}/nginx.pid;
error_log {own}/error.log error;
events {{ worker_connections 9500; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {own}/body;
{paths}
  upstream good {{ server {address(protocol)}; keepalive 512; }}
  server {{
    listen {places.HTTP};
    listen {HTTP2} http2;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    # Else it takes uploads to its disk, and there is nothing to be stuck.
    proxy_request_buffering off;
    location / {{ proxy_pass http://good; }}
    location {STUCK_PATH} {{ proxy_pass http://{STUCK_ADDRESS}; }}
  }}
}}
""",
    )
    return Launch([nginx.BINARY, "-c", config, "-p", own, "-e", own / "error.log"])


Prepare = Callable[[str, Settings], Launch]


def peer(of: Peer, prepare: Prepare, protocol: str) -> Peer:
    return Peer(of.name, of.binary, partial(prepare, protocol), version=of.version)


ALL: dict[str, tuple[Peer, Prepare]] = {
    "weir": (weir.PEER, of_weir),
    "nginx": (nginx.PEER, of_nginx),
    "haproxy": (haproxy.PEER, of_haproxy),
}
