#!/usr/bin/env python3
"""tests/run/switches.c in every way: the same results; and in its loops, once hot, what the tables lead to.

usage: switches.py DRAGOMAN SWITCHES    (TAP on standard output)
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

# Instructions of a loop with its arms, at least; the way to the branch is less than ten.
least = {"bytes": 40, "words": 20, "ways_out": 20}

modes = [["--tier2=off"], ["--tier2=20"], ["--tier2=1"], ["--engine=interp"], ["--tier2=20", "--cache-size=1"],
         ["--tier2=20", "--promote=off"], ["--tier2=20", "--harden=retpoline"]]
for options in modes:
    p = subprocess.run([sys.argv[1], "run", *options, sys.argv[2]], capture_output=True, text=True, check=False)
    check(p.returncode == 0 and p.stdout == "0 bad\n", " ".join(options), p.stdout + p.stderr)
# On one processor hot code is translated again at once, and not when a thread gets round to it.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for name in least:
    p = subprocess.run([sys.argv[1], "run", "--cache=off", "--tier2=20", "--log=tier", f"--log-pc={name}", sys.argv[2]],
                       capture_output=True, text=True, check=False)
    made = [int(k) for k in re.findall(r"^tier: \S+ (\d+) guest instructions", p.stderr, re.M)]
    check(max(made, default=0) >= least[name], f"{name}: the table is followed", p.stderr)
sys.exit(finish())
