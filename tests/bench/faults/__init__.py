"""Faults side by side: real proxies, one at a time, the same trouble behind them, in rounds.

Three backends, each a process of its own (`peers/load/src/bin/faulty`), one proxy, and an open loop:
requests come at a constant rate whatever becomes of those before, some on connections of their own, and
latency counts from when a request was due (`peers/load/src/bin/arrivals`). A measurement has a while
without trouble, then the fault, then a while after it. Every proxy has the same active checks, passive
detection, least-request balancing, timeouts and one retry, as far as it knows them (`proxies/`).

With one worker the proxy has core 0, everything else core 1. Start with `__main__.py`; `measure.py` is one
measurement, `faults.py` what happens to the backends, `figures.py` what is made of it. `storm.py` and
`overload.py` are not about one backend but about all: what a proxy may do to backends that are down, and what
it gets out of those that are full.
"""
