#!/usr/bin/env python3
"""tests/run/trails.c with trails (engine/trail.c) and without: the same results, and in `outer` the functions that it calls.

usage: trails.py DRAGOMAN TRAILS    (TAP on standard output)
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

OUTER = 12 # instructions of `outer` itself, and a few more

modes = [["--tier2=off"], ["--tier2=20"], ["--tier2=200"], ["--tier2=20", "--no-ret-predict"], ["--tier2=20", "--cache-size=1"]]
for options in modes:
    p = subprocess.run([sys.argv[1], "run", *options, sys.argv[2]], capture_output=True, text=True, check=False)
    check(p.returncode == 0 and p.stdout == "0 bad\n", " ".join(options), p.stdout + p.stderr)
# On one processor hot code is translated again at once, and not when a thread gets round to it. Without signals: under a
# sanitizer they leave no time for a trail between two.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
p = subprocess.run([sys.argv[1], "run", "--cache=off", "--tier2=20", "--log=tier", "--log-pc=outer", sys.argv[2], "calm"],
                   capture_output=True, text=True, check=False)
made = [int(k) for k in re.findall(r"^tier: \S+ (\d+) guest instructions", p.stderr, re.M)]
check(any(k > 2 * OUTER for k in made), "calls are followed", p.stderr)
sys.exit(finish())
