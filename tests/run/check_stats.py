#!/usr/bin/env python3
"""Run a program under dragoman --stats: it must succeed, and numbers stay within limits.

usage: check_stats.py LIMIT... -- DRAGOMAN ARG...     LIMIT: "name of the statistic<=N", or rss_kib<=N for the peak memory
"""
import os
import re
import subprocess
import sys

split = sys.argv.index("--")
limits, command = sys.argv[1:split], sys.argv[split + 1:]
p = subprocess.Popen([command[0], "--stats", *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
out, err = (f.read().decode(errors="replace") for f in (p.stdout, p.stderr))
_, status, usage = os.wait4(p.pid, 0)
got = {m[1]: int(m[2]) for m in re.finditer(r"^ +(\S.*?) {2,}(\d+)", err, re.M)}
got["rss_kib"] = usage.ru_maxrss
bad = status != 0
for limit in limits:
    name, most = limit.split("<=")
    print(f"{name}: {got.get(name)} (at most {most})")
    bad |= name not in got or got[name] > int(most)
if bad:
    print(f"status {status}\n{out[-2000:]}{err[-4000:]}")
sys.exit(bad)
