"""The side-by-side benchmark: real proxies, one at a time, the same work, in rounds.

What counts is the CPU per request of a proxy's process tree, and its ratio to another proxy's in the same
run: absolute figures drift with the machine, ratios less. The report says how far they did, round by round.

With one worker the proxy has core 0, everything else core 1. Every proxy balances round robin over two
backends, keeps connections alive on both sides and adds X-Forwarded-For; each is configured as its own
documentation advises for production. Start with `__main__.py`; `compare.py` is the run, `workloads/` what is
asked, `proxies/` who is asked.
"""
