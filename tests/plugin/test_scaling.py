#!/usr/bin/env python3
"""What tools cost 8 threads, and one: processor time of the same work, divided among threads or not.

usage: test_scaling.py DRAGOMAN GUEST
Under a tool 8 threads may take no more than 1.2 times what one takes: they share no lock and no cache line.
"""
import os
import resource
import statistics
import subprocess
import sys

LIMIT, ROUNDS, WORK = 1.2, 5, 40000000
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "XDG_CACHE_HOME": "/dev/null"}


def seconds(args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(args, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    dragoman, guest = sys.argv[1:3]
    tools = {"none": [], "count": ["--tool=count"], "cover": ["--tool=cover,out=/dev/null"], "memtrace": ["--tool=memtrace,insns,null"]}
    failed = 0
    print(f"1..{len(tools)}")
    for number, (name, opts) in enumerate(tools.items(), 1):
        ratios = []
        for _ in range(ROUNDS): # side by side: a loaded machine is slow for both
            one = seconds([dragoman] + opts + [guest, "work", "1", str(WORK)])
            eight = seconds([dragoman] + opts + [guest, "work", "8", str(WORK // 8)])
            ratios.append(eight / one)
        ratio = statistics.median(ratios)
        failed += ratio > LIMIT
        print("ok" if ratio <= LIMIT else "not ok", number, f"- {name}: 8 threads take {ratio:.2f} times one's processor time")
        print("#", " ".join(f"{r:.2f}" for r in ratios))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
