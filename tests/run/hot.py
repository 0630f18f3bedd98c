#!/usr/bin/env python3
"""--stats=hot on tests/run/start.S, whose instructions can be counted by hand, in traces, graphs and single instructions.

usage: hot.py DRAGOMAN START    (TAP on standard output)
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

INSNS = 5 + 2 + 10 * 7 + 4

modes = [[], ["--tier2=1"], ["--tier2=off"], ["--one-insn"], ["--host-cpu=avx2"]]
for options in modes:
    p = subprocess.run([sys.argv[1], "run", "--stats=hot", *options, sys.argv[2]], capture_output=True, text=True, check=False)
    executed = dict(re.findall(r"^  (guest|host) instructions executed +(\d+)", p.stderr, re.M))
    what = " ".join(options) or "default"
    check(executed.get("guest") == str(INSNS), f"{what}: {INSNS} guest instructions", p.stderr)
    # Each of `twice` shows with the host code that it became, under a block that ran ten times.
    blocks = re.split(r"^    block ", p.stderr, flags=re.M)
    twice = [b for b in blocks if re.match(r"\d+: 10 times\n", b) and re.search(r"add\s+x0, x0, x0 +\| \w+", b)]
    check(len(twice) == 1 and int(executed["host"]) > INSNS, f"{what}: what is called ten times, in both languages", p.stderr)
sys.exit(finish())
