#!/usr/bin/env python3
"""Guest returns that do not go back to the last call, seen from outside: TAP.

usage: test_returns.py DRAGOMAN GUEST [SECONDS]     SECONDS: only the race, for so long
"""
import json
import re
import sys
import tempfile

from common import SECONDS, check, finish, run

HARD = "--harden=retpoline"
# mode, how often (a tenth of these may go elsewhere before they are promoted), what is promoted, whether as a return with targets
MODES = [("thunks", 100000, ["thunk_place"], ["f1", "f2"]),
         ("spoiled", 100000, ["spoil_place"], ["spoil_place"]),
         ("yields", 100000, ["switch_stack", "yield_one", "yield_two", "produce"], None),
         ("unwinds", 100000, ["try", "try_outer"], None),
         ("deep", 50000, ["levels"], ["levels", "main"])]
RUNS = {"deep": 100} # of so many levels


def watch(mode, n, *options):
    """How many returns the host's return stack did not serve, what --stats=branches says of returns, and the program's output."""
    rc, out, err = run(["--stats", "--stats=branches,json", *options], mode, str(n))
    m = re.search(r"returns elsewhere +(\d+)\n", err)
    if rc or not m:
        return float("inf"), {}, (rc, out, err)
    found = json.loads(err[err.index("\n["):])
    return int(m[1]), {s["branch"]["name"].split("+")[0]: s for s in found if s["kind"] == "return"}, out


def promoted():
    for mode, n, names, targets in MODES:
        plain = run(["--promote=off"], mode, str(n))[1]
        for options in ([], ["--tier2=1"], ["--tier2=off"], [HARD], [HARD, "--tier2=1"]):
            what = f"{mode} {' '.join(options)}"
            missed, s, out = watch(mode, n, *options)
            check(f"{what}: few returns go elsewhere", missed < n * RUNS.get(mode, 1) // 10 and out == plain, missed, out)
            check(f"{what}: they are promoted", all(x in s for x in names), sorted(s))
            found = [t["target"]["name"].split("+")[0] for t in s[names[0]]["slots"]] if names[0] in s else None
            check(f"{what}: to where they go", targets is None or (found and set(found) <= set(targets)), s)
        missed, s, out = watch(mode, n, "--promote=off")
        check(f"{mode}: all go elsewhere without promotion", n <= missed < float("inf") and not s, missed, out)


def modes():
    """All ways to run give the same."""
    for mode, *_ in [*MODES, ("turns",)]:
        first = run(["--promote=off", "--tier2=off"], mode, "3000")[1]
        for options in (["--engine=interp"], ["--check"], ["--one-insn"], ["--no-chain"], ["--no-ret-predict"], ["--harden=lfence"],
                        ["--promote=slots=1,miss=1"], ["--cache-size=1"]):
            rc, out, err = run(options, mode, "3000")
            check(f"{mode} {' '.join(options)}: the result", rc == 0 and out == first, rc, out, err)


def cached():
    """Returns and other branches are promoted together where code is kept, and the next process need not find out again."""
    few = 1000 # not enough to begin a watch
    for mode, n, names, _ in MODES:
        if mode in RUNS: # with few levels nothing is to be found out
            continue
        for tier2 in ([], ["--tier2=off"]): # off: as when there was no time for graphs, where calls and their returns are together
            what = f"{mode} %d, with a persistent cache {' '.join(tier2)}"
            with tempfile.TemporaryDirectory() as tmp:
                for times in (n, n, few):
                    missed, s, out = watch(mode, times, f"--cache={tmp}", *tier2)
                    check(f"{what % times}: the result", out == run(["--promote=off"], mode, str(times))[1], out)
                    check(f"{what % times}: they are promoted", all(x in s and s[x]["state"] != "paired" for x in names), s)
            without, s, out = watch(mode, few, *tier2)
            check(f"{what % few}: fewer go elsewhere than without", missed < without * 2 // 3, missed, without)


def others():
    for n in (2000000, 20000000, 400000000): # a phase is to be longer than it takes until the next watch, which is longer in debug builds
        missed, s, out = watch("turns", n)
        if missed < n // 2:
            break
    check("a return that is a jump for a while: few go elsewhere", missed < n // 2, missed, out)
    check("and it is paired again", s.get("maybe_place", {}).get("state") == "paired" and out == run(["--promote=off"], "turns", str(n))[1], s)
    for options in ([], ["--promote=off"], [HARD]):
        missed, s, out = watch("calls", 20000, *options)
        check(f"system calls leave the return stack as it is {' '.join(options)}", missed < 2000, missed, out)
    _, s, out = watch("thunks", 300000, "--no-ret-predict", "--tier2=off")
    check("without the return predictor: all returns are branches", "outer" in s and "f1" in s, sorted(s))
    rc, out, err = run(["--stats=branches"], "unwinds", "300000")
    check("as text", rc == 0 and re.search(r"try_outer\S* return: monomorphic(?: \(inlined\))?, missed \d+.*\n +\d+  0x[0-9a-f]+ main", err), err)
    for mode, *_ in MODES:
        rc, out, err = run([HARD, "--stats"], mode, "20000")
        m = re.search(r"hardened code, bytes +(\d+)\n.*unprotected branches +(\d+)\n", err)
        check(f"{mode}: no unprotected branch", rc == 0 and m and int(m[1]) > 1000 and m[2] == "0", rc, out, err)


def race(seconds):
    for options in ([], ["--promote=slots=8,miss=1"], [HARD, "--tier2=off"], ["--cache-size=1", "--promote=miss=2"], ["--tier2=1"]):
        rc, out, err = run(options, "race", seconds, limit=int(seconds) * 4 + 120)
        check(f"eight threads, changing targets {' '.join(options)}", rc == 0 and out == "wrong 0\n", rc, out, err)


def main():
    if SECONDS:
        race(SECONDS)
    else:
        promoted()
        modes()
        cached()
        others()
        race("1")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
