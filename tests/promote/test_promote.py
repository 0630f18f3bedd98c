#!/usr/bin/env python3
"""Promotion of indirect branches and hardened code, seen from outside: TAP.

usage: test_promote.py DRAGOMAN GUEST [SECONDS]     SECONDS: only the race, for so long
"""
import json
import os
import re
import sys
import tempfile

from common import SECONDS, check, finish, run

LONG = 60 # seconds from which on memory is looked at


def branch(mode, n, name, *options, alone=False):
    """What --stats=branches says of the branch in function `name`, and the program's output."""
    rc, out, err = run(["--stats=branches,json", *options], mode, str(n), alone=alone)
    try:
        sites = json.loads(err)
    except ValueError:
        check(f"{mode}: JSON", False, rc, err)
        return None, out
    found = [s for s in sites if re.match(name + r"(\+|\.|$)", s["branch"]["name"])]
    return (max(found, key=lambda s: s["missed"] + sum(t["hits"] for t in s["slots"])) if found else None), out


def targets(site):
    return [t["target"]["name"] for t in site["slots"]]


def statistics():
    n = 100000
    plain = run(["--promote=off"], "one", str(n))[1]
    s, out = branch("one", n, "call_place", "--tier2=off") # which would take the targets in at some time
    check("one target: the result", out == plain)
    check("one target is promoted", s and s["kind"] == "call" and s["state"] == "monomorphic" and targets(s) == ["f3"], s)
    check("and counted, all but the first misses", s and n - 8300 <= s["slots"][0]["hits"] <= n and s["stubs"] <= 3, s)
    s, out = branch("two", n, "call_place", "--tier2=off")
    check("two targets are promoted", s and sorted(targets(s)) == ["f0", "f1"] and s["state"] in ("polymorphic", "settled"), s)
    check("and both counted", s and all(n // 2 - 5000 <= t["hits"] <= n // 2 for t in s["slots"]), s)
    hard = "--harden=retpoline"
    for options, on in ([], True), (["--promote=off"], False), ([hard], True), ([hard, "--promote=off"], False):
        rc, out, err = run(["--stats=branches", "--tier2=off", *options], "one", str(n), promote=())
        check(f"on or off by default: {' '.join(options)}", rc == 0 and ("monomorphic" in err) == on, err)
    s, out = branch("two", n, "call_place", "--promote=slots=1")
    check("as many as are allowed", s and len(s["slots"]) <= 1, s)
    n *= 10 # each phase lasts while a busy machine gets round to building the stub
    s, out = branch("phases", n, "call_place")
    check("after changes of phase the last target is in front", s and targets(s)[:1] == ["f15"], s)
    check("and few executions were missed", s and s["missed"] < 16 * n // 5, s)
    check("phases: the result", out == run(["--promote=off"], "phases", str(n))[1])
    n //= 10
    s, out = branch("jump", n, "jumps")
    check("a table of labels: jumps", s and s["kind"] == "jump" and out == run(["--promote=off"], "jump", str(n))[1], s, out)
    s, out = branch("one", n, "call_place", alone=True)
    check("one target: tier 2 takes it in, which is not counted", s and s["inlined"] and not s["dropped"] and s["slots"][0]["hits"] < n // 2, s)
    s, out = branch("phases", n, "call_place", alone=True)
    check("and lets go of it when it changes", s and not s["inlined"] and s["dropped"] == 1, s)
    check("with the right result", out == run(["--promote=off"], "phases", str(n))[1], out)
    comes_back()
    rc, out, err = run(["--stats=branches"], "one", str(n))
    check("as text", rc == 0 and re.search(r"call_place\S* call: monomorphic(?: \(inlined\))?, missed \d+.*\n +\d+  0x[0-9a-f]+ f3\n", err), err)


def comes_back():
    """Two targets in phases: what went on in the only one is made shorter as it changes, and as long again when that has come back."""
    rc, out, err = run(["--log=tier"], "back", "300000", alone=True)
    made = {}
    for pc, n in re.findall(r"tier: (0x[0-9a-f]+): (\d+) guest instructions", err):
        made.setdefault(pc, []).append(int(n))
    made = [m for m in made.values() if len(m) > 1]
    check("a trail goes on again in a target that comes back", made and any(min(m) < m[0] for m in made) and all(m[-1] >= m[0] for m in made), rc, made, err)
    check("with the right result, too", out == run(["--promote=off"], "back", "300000")[1], out)


def thunks():
    n = 100000
    plain = run(["--promote=off", "--one-insn"], "thunks", str(n // 100))[1]
    for options in ([], ["--tier2=1"], ["--engine=interp"], ["--no-ret-predict"]):
        check(f"thunks: the result {' '.join(options)}", run(options, "thunks", str(n // 100))[1] == plain)
    for i, kind in enumerate(("call", "call", "call", "jump")):
        s, out = branch("thunks", n, f"thunk_place{i}")
        check(f"thunks: each branch to one has a target of its own ({kind}, {i})",
              s and s["kind"] == kind and s["state"] == "monomorphic" and targets(s) == [f"f{i + 4}"], s)
    for options, stubs in ([], False), (["--harden=retpoline"], True):
        s, out = branch("thunks", n, "thunk_place3", *options)
        check(f"a jump of one target has a stub only where lookups are dear {' '.join(options)}",
              s and (s["stubs"] > 0) == stubs, s)


def placement():
    """The region of stubs is apart: what threads translate stays together, as it does without promotion."""
    rc, out, err = run(["--log=link"], "two", "100000")
    regions = sorted((int(at), int(size)) for size, at in re.findall(r"cache: region of (\d+) KiB at (\d+) KiB", err))
    ends = [at + size for at, size in regions]
    together = [a == b for a, (b, _) in zip(ends, regions[1:])]
    check("regions of code follow each other, and that of stubs does not", len(regions) > 2 and all(together[:-1]) and not together[-1], regions)


def cached():
    """The second of two processes with a persistent cache knows the targets before it has run what it would take to learn them."""
    few = 1000
    for mode, name, to in ("one", "call_place", ["f3"]), ("two", "call_place", ["f0", "f1"]), ("thunks", "thunk_place2", ["f6"]):
        with tempfile.TemporaryDirectory() as tmp:
            for n in (100000, 100000, few):
                s, out = branch(mode, n, name, f"--cache={tmp}")
                check(f"{mode} {n}, with a persistent cache", s and sorted(targets(s)) == to and out == run(["--promote=off"], mode, str(n))[1], s, out)
        s, out = branch(mode, few, name)
        check(f"{mode} {few}, without", not s, s)


def hardened():
    n = "20000"
    for mode in ("one", "phases", "jump", "thunks"):
        plain = run([], mode, n)[1]
        for kind in ("retpoline", "lfence"):
            for more in ([], ["--promote=off"], ["--no-ret-predict"], ["--tier2=1"]):
                rc, out, err = run([f"--harden={kind}", "--stats", *more], mode, n)
                m = re.search(r"hardened code, bytes +(\d+)\n.*unprotected branches +(\d+)\n", err)
                check(f"{mode}, {kind} {' '.join(more)}", rc == 0 and out == plain and m and int(m[1]) > 1000 and m[2] == "0", rc, out, err)


def many():
    """Where lookups are dear: regular branches with many targets, which are found by halves, and sixteen in a row of others."""
    n, hard = 400000, "--harden=retpoline"
    for mode in "low", "near", "far":
        plain = run(["--promote=off"], mode, str(n))[1]
        for options in ([hard], [hard, "--tier2=off"], [hard, "--promote=slots=24"], ["--harden=lfence", "--no-ret-predict"]):
            rc, out, err = run(["--stats", *options], mode, str(n))
            check(f"48 targets, {mode}: {' '.join(options)}", rc == 0 and out == plain and re.search(r"unprotected branches +0\n", err), rc, out, err)
        s, out = branch(mode, n, "call_place", hard)
        check(f"48 targets, {mode}: all are promoted", s and len(s["slots"]) == 48 and s["missed"] < n // 4 and out == plain, s, out)
        s, out = branch(mode, n, "call_place", hard, "--promote=slots=24")
        check(f"48 targets, {mode}: not more than are allowed", s and len(s["slots"]) <= 24 and out == plain, s, out)
        s, out = branch(mode, n, "call_place")
        check(f"48 targets, {mode}: and few where lookups are cheap", s and len(s["slots"]) <= 3 and out == plain, s, out)


def bad_options():
    for o in ("--promote=", "--promote=slots=0", "--promote=slots=65", "--promote=miss", "--promote=miss=x", "--promote=window=3", "--promote=window=129",
              "--promote=slots=2,", "--harden=", "--harden=magic", "--stats=", "--stats=leaves"):
        rc, out, err = run([o], "one", "1")
        check(f"{o} is refused", rc == 2 and out == "" and err.startswith("dragoman: ") and err.count("\n") == 1, rc, err)
    check("several items", run(["--promote=slots=2,miss=8,window=16"], "one", "1000")[0] == 0)


def race(seconds):
    for options in ([], ["--promote=slots=16,miss=1"], ["--harden=retpoline", "--tier2=off"], ["--cache-size=1", "--promote=miss=2"]):
        rc, out, err = run(options, "race", seconds, limit=int(seconds) * 4 + 120)
        check(f"eight threads, changing targets {' '.join(options)}", rc == 0 and out == "wrong 0\n", rc, out, err)
        if int(seconds) >= LONG and not os.environ.get("T_SANITIZER"): # their runtimes keep what is freed for a while
            m = re.search(r"(\d+) KiB, then (\d+) KiB", err)
            check("memory is stable", m and int(m[2]) < int(m[1]) + 4096, err)


def main():
    if SECONDS:
        race(SECONDS)
    else:
        statistics()
        thunks()
        placement()
        cached()
        hardened()
        many()
        bad_options()
        race("2")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
