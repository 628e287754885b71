"""nginx, as Debian packages it (before 1.25.1: HTTP/2 is a word of `listen`)."""

from collections.abc import Iterable
from pathlib import Path

from .. import places
from .peer import Launch, Peer, Settings

BINARY = Path("/usr/sbin/nginx")


def prepare(settings: Settings) -> Launch:
    own = settings.directory
    reuseport = " reuseport" if settings.workers > 1 else ""
    access_log = f"{places.ACCESS_LOG} combined buffer=64k flush=1s" if settings.log else "off"
    config = settings.write(
        "nginx.conf",
        f"""
daemon off;
worker_processes {settings.workers};
worker_rlimit_nofile 20000;
pid {own}/nginx.pid;
error_log {own}/error.log error;
events {{ worker_connections 9500; multi_accept on; }}
http {{
  sendfile on;
  tcp_nodelay on;
  access_log {access_log};
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 128k;
  client_body_temp_path {own}/body;
  proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi;
  upstream backends {{ {servers(places.BACKENDS)} keepalive 512; keepalive_requests 1000000000; }}
  upstream many {{ {servers(places.MANY_BACKENDS)} keepalive 512; keepalive_requests 1000000000; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{
    listen {places.HTTP} backlog=8192{reuseport};
    listen {places.TLS} ssl http2 backlog=8192{reuseport};
    server_name bench.local;
    ssl_certificate {places.CERTIFICATE};
    ssl_certificate_key {places.KEY};
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_max_temp_file_size 0;
    location / {{ proxy_pass http://backends; }}
    location {places.MANY_PATH} {{ proxy_pass http://many; }}
    location {places.WEBSOCKET_PATH} {{
      proxy_pass http://backends;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
""",
    )
    return Launch([BINARY, "-c", config, "-p", own, "-e", own / "error.log"])


def servers(addresses: Iterable[str]) -> str:
    return " ".join(f"server {address};" for address in addresses)


# It speaks HTTP/2 in the clear on ports that speak nothing else, and to backends not at all but for gRPC.
PEER = Peer("nginx", BINARY, prepare, version=("-v",), without=("grpc",))
