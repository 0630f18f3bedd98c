#!/usr/bin/env python3
"""The callgrind tool: totals as `count` has them, whom costs are charged to, and that callgrind_annotate reads the files.

usage: test_callgrind.py DRAGOMAN PURE GUEST CALLS
Without arguments: skipped, for want of a cross compiler.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish, skip  # noqa: E402

ENGINES = {"interp": ["--engine=interp"], "tier 1": ["--tier2=off"], "tier 2": ["--tier2=20"]}
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "XDG_CACHE_HOME": "/dev/null"}


class Profile:
    """A file of the format, read as its specification says."""

    def __init__(self, path):
        self.head, self.own, self.arcs, names = {}, {}, {}, {}
        self.ok, fn, cfn, calls = True, None, None, None
        with open(path, encoding="utf-8") as f:
            for text in f:
                text = text.rstrip("\n")
                name = re.match(r"(fn|cfn|fl|fi|fe|cfi|ob|cob)=\((\d+)\)(?: (.+))?$", text)
                if name:
                    kind = {"fn": "fn", "cfn": "fn", "ob": "ob", "cob": "ob"}.get(name[1], "fl")
                    if name[3]:
                        self.ok &= (kind, name[2]) not in names
                        names[kind, name[2]] = name[3]
                    value = names.get((kind, name[2]))
                    self.ok &= value is not None
                    fn, cfn = (value, cfn) if name[1] == "fn" else (fn, value if name[1] == "cfn" else cfn)
                elif text.startswith("calls="):
                    calls = int(text[6:].split()[0])
                elif re.match(r"0x[0-9a-f]+ \d+( \d+)*$", text):
                    cost = [int(x) for x in text.split()[2:]]
                    if calls is None:
                        self.add(self.own, fn, cost)
                    else:
                        self.add(self.arcs, (fn, cfn), [calls, *cost])
                    calls = None
                elif text and not text.startswith("#"):
                    key, _, value = text.partition(":")
                    self.ok &= key in ("version", "creator", "pid", "cmd", "part", "desc", "positions", "events", "summary", "totals")
                    self.head[key] = value.split()
        self.total = [int(x) for x in self.head.get("totals", [])]

    @staticmethod
    def add(table, key, cost):
        old = table.setdefault(key, [])
        table[key] = [(old[k] if k < len(old) else 0) + (cost[k] if k < len(cost) else 0) for k in range(max(len(old), len(cost)))]

    def sums(self):
        out = [0] * len(self.total)
        for cost in self.own.values():
            for k, v in enumerate(cost):
                out[k] += v
        return out


def run(dragoman, opts, program, out):
    p = subprocess.run([dragoman, *opts, "--tool=count,insns,mem", *program], env=ENV, stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=120)
    counted = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", p.stderr.decode(), re.M)}
    return p, counted, Profile(out)


def test_totals(dragoman, pure, guest, tmp):
    out = os.path.join(tmp, "out")
    for name, opts in ENGINES.items():
        for program in [pure], [guest, "faults"], [guest, "ticks"], [guest, "threads"]:
            what = " ".join([os.path.basename(program[0]), *program[1:]])
            p, n, got = run(dragoman, [*opts, f"--tool=callgrind,out={out}"], program, out)
            check(p.returncode == 0 and got.ok and got.sums() == got.total == [n.get("instructions")], f"as count has it: {what}: {name}",
                  f"{got.total} {got.sums()} {n} {p.stderr.decode()}")
            p, n, got = run(dragoman, [*opts, f"--tool=callgrind,cache,out={out}"], program, out)
            check(p.returncode == 0 and got.ok and got.sums() == got.total and
                  got.total[:3] == [n.get("instructions"), n.get("reads"), n.get("writes")], f"and its accesses: {what}: {name}",
                  f"{got.total} {got.sums()} {n} {p.stderr.decode()}")


def misses(report):
    """Of I1, D1 read and write, in the cache tool's report."""
    row = {m[1]: [int(x) for x in m[2].split()] for m in re.finditer(r"^(I1|D1) +((?:\d+ +){4})", report, re.M)}
    return [row["I1"][2], row["D1"][2], row["D1"][3]]


def test_caches(dragoman, guest, tmp):
    out = os.path.join(tmp, "out")
    shape = "I1=1024:2:64,D1=1024:2:32"
    for name, opts in ENGINES.items():
        p = subprocess.run([dragoman, *opts, f"--tool=callgrind,cache,{shape},out={out}", f"--tool=cache,{shape}", guest, "probe"], env=ENV,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        want, got = misses(p.stderr.decode()), Profile(out).total
        check(p.returncode == 0 and min(want) > 10 and got[3:6] == want, f"misses as the cache tool has them: {name}", f"{want} {got}")


def near(x, want):
    return want <= x <= want + 400


def test_charged(dragoman, calls, tmp):
    """`work(n)` is 2 * n instructions and a few; the rest of each function is next to nothing."""
    out = os.path.join(tmp, "out")
    for name, opts in ENGINES.items():
        p, _, got = run(dragoman, [*opts, f"--tool=callgrind,out={out}"], [calls], out)
        arc = lambda a, b: got.arcs.get((a, b), [0, 0])
        check(p.returncode == 0 and got.ok, f"calls: {name}", p.stderr)
        check(arc("main", "recurse")[0] == 1 and near(arc("main", "recurse")[1], 20000) and arc("recurse", "recurse")[0] == 9 and
              arc("recurse", "recurse")[1] == 0, f"a recursive function's cost is charged to who called it first: {name}", got.arcs)
        check(near(arc("catcher", "deep")[1], 6000) and near(arc("main", "catcher")[1], 16000) and near(arc("deep", "thrower")[1], 6000),
              f"longjmp ends the functions that it leaves: {name}", got.arcs)
        check(arc("main", "caller")[0] == arc("caller", "tail")[0] == arc("tail", "last")[0] == 1 and near(arc("tail", "last")[1], 14000) and
              near(arc("caller", "tail")[1], 14200), f"a jump to a function is a call: {name}", got.arcs)
        check(near(arc("handler", "helper")[1], 22000) and arc("handler", "helper")[0] == 1 and 48000 <= arc("main", "raiser")[1] < 49000 and
              sum(v[0] for (_, to), v in got.arcs.items() if to == "handler") == 1, f"a signal's handler: {name}", got.arcs)
        check(arc("indirect", "direct")[0] == 3 and near(arc("indirect", "direct")[1], 3 * 34000), f"a call by a pointer: {name}", got.arcs)
        want = {("mixed", "hop"): (8, 5600), ("hop", "odd"): (4, 1600), ("hop", "even"): (4, 3200), ("mixed", "odd"): (2, 800),
                ("mixed", "even"): (6, 4800), ("main", "mixed"): (1, 11200)}
        check(all(arc(*a)[0] == n and near(arc(*a)[1], cost) for a, (n, cost) in want.items()), f"calls and jumps again: {name}", got.arcs)
        check(arc("work", "work")[0] == 0 and all(v[1] <= got.total[0] for v in got.arcs.values()), f"no more than all: {name}", got.arcs)


def test_annotate(dragoman, guest, calls, tmp):
    if not shutil.which("callgrind_annotate"):
        skip("callgrind_annotate", "there is none")
        return
    for what, options in ("plain", ""), ("caches", ",cache"):
        out = os.path.join(tmp, "out")
        _, _, got = run(dragoman, [f"--tool=callgrind{options},out={out}"], [calls], out)
        p = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--tree=both", "--threshold=100", out], capture_output=True, timeout=120)
        text = p.stdout.decode()
        for more in "--auto=yes", "--show=Ir --sort=Ir", "--inclusive=no --tree=caller", "--tree=calling", "--show-percs=no":
            q = subprocess.run(["callgrind_annotate", "--threshold=100", *more.split(), out], capture_output=True, timeout=120)
            check(q.returncode == 0 and not q.stderr and b"direct" in q.stdout, f"callgrind_annotate {more}: {what}",
                  q.stderr.decode() + q.stdout.decode())
        total = re.search(r"^ *([\d,]+)(?: \([\d.]+%\))? .*PROGRAM TOTALS", text, re.M)
        check(p.returncode == 0 and not p.stderr and total and int(total[1].replace(",", "")) == got.total[0] and "direct" in text,
              f"callgrind_annotate reads it: {what}", p.stderr.decode() + text)


def main():
    if len(sys.argv) < 5:
        sys.exit(77)
    dragoman, pure, guest, calls = sys.argv[1:5]
    with tempfile.TemporaryDirectory() as tmp:
        for test in (lambda: test_annotate(dragoman, guest, calls, tmp), lambda: test_totals(dragoman, pure, guest, tmp),
                     lambda: test_caches(dragoman, guest, tmp), lambda: test_charged(dragoman, calls, tmp)):
            try:
                test()
            except Exception:
                check(False, "a test that broke off", traceback.format_exc())
    return finish()


if __name__ == "__main__":
    sys.exit(main())
