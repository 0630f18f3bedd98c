#!/usr/bin/env python3
"""Tools against each other, against other engines, and against QEMU: exact numbers.

usage: test_tools.py DRAGOMAN PURE GUEST PROBE.so QEMU_PLUGIN.so QEMU_WRITER.so
Without arguments: skipped, for want of a cross compiler.
"""
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree

ENGINES = {"interp": ["--engine=interp"], "one-insn": ["--one-insn"], "tier 1": ["--tier2=off"], "tier 2": ["--tier2=20"],
           "graphs": ["--tier2=1"], "graphs interp": ["--tier2=1", "--engine=interp"]}
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "XDG_CACHE_HOME": "/dev/null"}
done = 0
failed = 0


def check(ok, what, detail=""):
    global done, failed
    done += 1
    failed += not ok
    print(("ok" if ok else "not ok"), done, "-", what)
    if not ok:
        for line in str(detail).splitlines()[:20]:
            print("#", line)


class Run:
    def __init__(self, dragoman, args):
        p = subprocess.run([dragoman] + args, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.status, self.out, self.err = p.returncode, p.stdout.decode(), p.stderr.decode(errors="replace")

    def numbers(self):
        return {m[1].strip(): int(m[2]) for m in re.finditer(r"^([a-z][a-z -]*?)\s+(\d+)$", self.err, re.M)}


def qemu_instructions(program):
    """How many instructions QEMU executes: a line of its log for each, translated one at a time."""
    qemu = shutil.which("qemu-aarch64")
    if not qemu:
        return None
    for single in ["-one-insn-per-tb"], ["-singlestep"]:
        p = subprocess.run([qemu] + single + ["-d", "exec,nochain", program], capture_output=True, timeout=120)
        if p.returncode == 0: # what was stopped before it began is in the log again
            lines = p.stderr.splitlines()
            return sum(line.startswith(b"Trace") for line in lines) - sum(line.startswith(b"Stopped") for line in lines)
    return None


def same_everywhere(dragoman, what, program, tool="count"):
    """Every engine, the same numbers."""
    runs = {name: Run(dragoman, opts + ["--tool=" + tool] + program) for name, opts in ENGINES.items()}
    first = runs["interp"]
    for name, r in runs.items():
        check(r.status == 0 and r.numbers() and r.err == first.err and r.out == first.out, f"{what}: {name}",
              f"{r.out}{r.err}instead of\n{first.out}{first.err}")
    return first


def test_count(dragoman, pure, guest):
    r = same_everywhere(dragoman, "count pure", [pure], "count,insns,blocks,mem,classes")
    want = qemu_instructions(pure)
    if want:
        check(r.numbers().get("instructions") == want, "count: as many instructions as QEMU executes", f"{r.err}QEMU: {want}")
    same_everywhere(dragoman, "count with faults", [guest, "faults"])
    same_everywhere(dragoman, "count of a C program", [guest, "probe"])


def trace(dragoman, opts, program, out, more=""):
    r = Run(dragoman, opts + [f"--tool=memtrace,out={out}{more}", "--tool=count"] + program)
    text = subprocess.run([dragoman, "memtrace", out], capture_output=True, timeout=120)
    total = subprocess.run([dragoman, "memtrace", "--summary", out], capture_output=True, timeout=120)
    return r, text.stdout, dict((k, int(v)) for k, v in (l.split() for l in total.stdout.decode().splitlines()))


def test_memtrace(dragoman, pure, guest, tmp):
    out = os.path.join(tmp, "trace")
    for what, program in ("pure", [pure]), ("with faults", [guest, "faults"]):
        seen = set()
        for name, opts in ENGINES.items():
            r, text, total = trace(dragoman, opts, program, out, ",insns")
            n = r.numbers()
            check(r.status == 0 and n["reads"] == total["reads"] and n["writes"] == total["writes"] and
                  n["instructions"] == total["instructions"], f"memtrace {what}: what count counts: {name}", f"{n}\n{total}")
            seen.add(hashlib.sha256(text).hexdigest())
        check(len(seen) == 1, f"memtrace {what}: the same trace from every engine", seen)
    for what in "ticks", "threads", "leave":
        for name in "tier 1", "tier 2":
            r, text, total = trace(dragoman, ENGINES[name], [guest, what], out, ",insns")
            n = r.numbers()
            check(r.status == 0 and n["reads"] == total["reads"] and n["writes"] == total["writes"] and
                  n["instructions"] == total["instructions"], f"memtrace {what}: what count counts: {name}", f"{n}\n{total}\n{r.err}")
    r, text, total = trace(dragoman, [], [pure], out, ",insns")
    cs = os.path.join(tmp, "champsim")
    p = subprocess.run([dragoman, "memtrace", "--champsim=" + cs, out], timeout=120)
    data = open(cs, "rb").read()
    rows = list(struct.iter_unpack("<QBB2B4B2Q4Q", data)) if len(data) % 64 == 0 else []
    check(p.returncode == 0 and len(rows) == total["instructions"], "memtrace: ChampSim's trace has every instruction", len(rows))
    wrong = sum(bool(a[2]) != (b[0] != a[0] + 4) for a, b in zip(rows, rows[1:]) if a[1])
    check(rows and wrong == 0 and all(a[1] or b[0] == a[0] + 4 for a, b in zip(rows, rows[1:])),
          "memtrace: ChampSim's branches go where they say", wrong)
    accesses = sum((m != 0) for row in rows for m in row[9:15])
    check(accesses == total["reads"] + total["writes"], "memtrace: ChampSim's accesses", f"{accesses} {total}")
    for cut in 4, 30, len(open(out, "rb").read()) - 3:
        short = os.path.join(tmp, "short")
        with open(short, "wb") as f:
            f.write(open(out, "rb").read()[:cut])
        p = subprocess.run([dragoman, "memtrace", "--summary", short], capture_output=True, timeout=60)
        check(p.returncode in (2, 125) and p.stderr.count(b"\n") == 1, f"memtrace: a file cut to {cut} bytes is refused", p.stderr)


def test_probe(dragoman, pure, guest, probe):
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + [f"--plugin={probe},mode=both", pure])
        pairs = re.findall(r"^(\w+) (\d+) (\d+)$", r.err, re.M)
        check(r.status == 0 and len(pairs) == 8 and all(a == b for _, a, b in pairs), f"inline and called agree: {name}", r.err)
        for mode, total in ("write", 200 * 16), ("skip", 200 * 9):
            r = Run(dragoman, opts + [f"--plugin={probe},mode={mode}", guest, "probe"])
            check(r.status == 0 and r.out == f"probe {total}\n", f"a call changes registers, mode {mode}: {name}", r.out + r.err)
        r = Run(dragoman, opts + [f"--plugin={probe},mode=watch", guest, "watch"])
        check(r.status == 0 and r.out == "watch 134850\n" and r.err == "watched 150\n", f"watching on and off: {name}", r.out + r.err)
        r = Run(dragoman, opts + [f"--plugin={probe},mode=crash", guest, "probe"])
        check(r.status == 0 and r.out == "probe 59900\n" and "tool 'probe' crashed while being called" in r.err and
              r.err.count("\n") == 1, f"a tool that crashes: {name}", r.out + r.err)


def bbv_total(path):
    with open(path, encoding="ascii") as f:
        lines = f.read().splitlines()
    ok = all(re.fullmatch(r"T(:\d+:\d+ )+", line) for line in lines)
    return ok, len(lines), sum(int(n) for line in lines for n in re.findall(r":\d+:(\d+)", line))


def test_others(dragoman, pure, guest, tmp):
    for name, opts in ENGINES.items():
        out = os.path.join(tmp, "bbv")
        r = Run(dragoman, opts + ["--tool=count,insns", f"--tool=bbv,interval=1000,out={out}", pure])
        ok, lines, total = bbv_total(out + ".0")
        check(ok and total == r.numbers()["instructions"] and total // 1100 <= lines <= total // 1000 + 1,
              f"bbv: all instructions, in intervals: {name}", f"{ok} {lines} {total} {r.err}")
        r = Run(dragoman, opts + ["--tool=count,insns", "--tool=hot", pure])
        n = r.numbers()["instructions"]
        check(re.search(rf"^ *{n} instructions$", r.err, re.M) and "work+0x" in r.err, f"hot: as count has it: {name}", r.err)
        r = Run(dragoman, opts + ["--tool=hot,top=3,host=40", pure])
        check(r.err.count("host code of the translation at 0x4") == 3 and (name.endswith("interp") or "[r15" in r.err),
              f"hot: host code: {name}", r.err)
        r = Run(dragoman, opts + ["--tool=count,insns", "--tool=flame", pure])
        folded = dict(line.rsplit(" ", 1) for line in r.err.splitlines() if ";" in line or line.startswith("(start) "))
        check(sum(map(int, folded.values())) == r.numbers()["instructions"] and set(folded) == {"(start)", "(start);work"},
              f"flame: stacks: {name}", r.err)
        out = os.path.join(tmp, "drcov")
        r = Run(dragoman, opts + [f"--tool=cover,out={out}", pure])
        pcs = drcov_bytes(out)
        check(pcs == drcov_expected(dragoman, pure, tmp), f"cover: the instructions that ran: {name}", f"{len(pcs)} {r.err}")
    out = os.path.join(tmp, "trace")
    for name, opts in ENGINES.items():
        r, text, _ = trace(dragoman, opts + ["--tool=cache,D1=1024:2:32,TLB=16384:4:4096"], [guest, "probe"], out)
        rows = {m[1]: [int(x) for x in m[2].split()] for m in re.finditer(r"^(I1|D1|ITLB|DTLB) +((?:\d+ +){4})", r.err, re.M)}
        want, pages = lru_misses(text, 1024, 2, 32), lru_misses(text, 16384, 4, 4096)
        check(rows["D1"][2:] == want and rows["D1"][:2] == [r.numbers()["reads"], r.numbers()["writes"]],
              f"cache: misses as simulated here: {name}", f"{rows} {want}\n{r.err}")
        check(rows["DTLB"][2:] == pages and rows["ITLB"][0] == rows["I1"][0] == r.numbers()["instructions"] and rows["ITLB"][2] > 4,
              f"cache: TLBs: {name}", f"{rows} {pages}\n{r.err}")
    r = Run(dragoman, ["--tool=flame,svg", guest, "threads"])
    svg = xml.etree.ElementTree.fromstring(r.err)
    titles = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}title")]
    check(svg.tag.endswith("svg") and any(t.startswith("spin: ") for t in titles), "flame: a picture", r.err)
    r = Run(dragoman, ["--tool=syscalls,json", guest, "fork"])
    rows = [json.loads(line) for line in r.err.splitlines()]
    names = [row.get("name") for row in rows]
    check(r.status == 0 and names.count("clone") == 2 and "wait4" in names, "syscalls: JSON, of parent and child", r.err)
    r = Run(dragoman, ["--tool=syscalls,json", guest, "faults"])
    rows = [json.loads(line) for line in r.err.splitlines()]
    check(sum(row.get("signal") == 11 for row in rows) == 500, "syscalls: signals", r.err)


def lru_misses(text, size, ways, line):
    """Misses of a data cache on reads and writes, from a trace."""
    sets = [[] for _ in range(size // ways // line)]
    misses = [0, 0]
    for row in text.decode().splitlines():
        kind, addr, size = row.split()[1:4]
        first, last = int(addr, 16) // line, (int(addr, 16) + int(size) - 1) // line
        hit = True
        for at in sorted({first, last}):
            s = sets[at % len(sets)]
            hit &= at in s
            if at in s:
                s.remove(at)
            s.insert(0, at)
            del s[ways:]
        misses[kind != "read"] += not hit
    return misses


def drcov_bytes(path):
    """The addresses of all bytes that a drcov file says have run, by image and offset."""
    with open(path, "rb") as f:
        head, _, rest = f.read().partition(b"BB Table: ")
    count, _, data = rest.partition(b" bbs\n")
    assert head.startswith(b"DRCOV VERSION: 3\nDRCOV FLAVOR: drcov-64\nModule Table: version 5, count ")
    rows = list(struct.iter_unpack("<IHH", data))
    assert len(rows) == int(count)
    starts = [int(line.split(b",")[2], 16) for line in head.splitlines()[4:]]
    return {starts[m] + off + k for off, size, m in rows for k in range(size)}


def drcov_expected(dragoman, pure, tmp):
    """The same from a trace."""
    out = os.path.join(tmp, "trace")
    _, text, _ = trace(dragoman, ["--engine=interp"], [pure], out, ",insns")
    return {int(line.split()[2], 16) + k for line in text.splitlines() if b" insn " in line for k in range(4)}


def test_static(dragoman, pure, probe):
    """The static program has the tools that ship, and says that it loads no others."""
    if not os.path.exists(dragoman + "-static"):
        return
    r, want = Run(dragoman + "-static", ["--tool=count", pure]), Run(dragoman, ["--tool=count", pure])
    check(r.status == 0 and r.err == want.err, "the static program: count", r.err)
    r = Run(dragoman + "-static", [f"--plugin={probe},mode=both", pure])
    check(r.status == 2 and "linked statically" in r.err and r.err.count("\n") == 1, "the static program: --plugin is refused", r.err)


def test_errors(dragoman, pure, probe):
    for args, text in ((["--tool=nothing"], "there is no tool"), (["--tool=count,bogus=1"], "no option 'bogus'"),
                       (["--tool=count", "--tool=count"], "given twice"),
                       (["--plugin=/nonexistent.so"], "--plugin:"), ([f"--plugin={probe}"], "no mode"),
                       (["--tool=count", "--check"], "--check")):
        r = Run(dragoman, args + [pure])
        check(r.status == 2 and text in r.err and r.err.count("\n") == 1, "refused: " + " ".join(args), r.err)


def test_qemu(dragoman, pure, guest, probe, plugin):
    """A plugin with QEMU's interface, which checks much itself and counts the same in several ways."""
    counted = Run(dragoman, ["--tool=count", pure]).numbers()
    for name, opts in ENGINES.items():
        n = Run(dragoman, opts + ["--qemu-plugin", plugin, pure]).numbers()
        check(n.get("bad") == 0 and n["insns"] == n["called"] == counted["instructions"] and n["accesses"] == n["told"] and
              n["stores"] == counted["writes"] and n["hundred"] == n["conditions"] == n["insns"] // 100 and n["blocks"] == 1 and
              n["inits"] == n["exits"] == n["vcpus"] == 1 and n["texts"] == n["symbols"] == 1, f"QEMU's interface: {name}", n)
    r = Run(dragoman, ["--qemu-plugin", plugin, guest, "threads"])
    n = r.numbers()
    check(n.get("bad") == 0 and n["insns"] == n["called"] and n["accesses"] == n["told"] and n["inits"] == n["exits"] == 5 and
          n["syscalls"] > n["returns"] > 10 and "data mine" in r.err and "uninstalled" in r.err, "QEMU's interface: threads", r.err)
    runs = [Run(dragoman, ["--qemu-plugin", plugin, guest, "over"]).numbers() for _ in range(5)]
    check(all(n["inits"] == n["exits"] == 9 and n["insns"] == n["called"] for n in runs), "QEMU's interface: threads that are over", runs)
    n = Run(dragoman, ["--qemu-plugin", plugin + ",reset=on", pure]).numbers()
    check(n.get("bad") == 0 and 0 <= counted["instructions"] - n["insns"] < 100 and n["insns"] == n["called"], "QEMU's interface: reset", n)
    r = Run(dragoman, ["--qemu-plugin", plugin, "--tool=count", pure])
    check(r.numbers().get("instructions") == counted["instructions"] == r.numbers().get("insns"), "and a tool beside it", r.err)
    for what, file, text in ("an argument that it refuses", plugin + ",x", "returned -1"), ("no such plugin", probe, "no plugin for QEMU"), \
            ("no such file", "/nonesuch.so", "nonesuch"):
        r = Run(dragoman, ["--qemu-plugin", file, pure])
        check(r.status == 2 and text in r.err and r.err.count("\n") == 1, "QEMU's interface: " + what, r.err)


def test_qemu_write(dragoman, guest, writer):
    """A plugin that changes registers, memory, the program counter and the results of system calls."""
    for name, opts in ENGINES.items():
        for mode, out in ("regs", "Probe 1800\n"), ("late", f"Probe {sum(3 * i + 1 for i in range(100)) + 900}\n"), ("pc", "Probe 1800\n"), \
                ("quiet", ""):
            r = Run(dragoman, opts + ["--qemu-plugin", f"{writer},mode={mode}", guest, "probe"])
            check(r.status == 0 and r.out == out and r.err == "", f"QEMU's interface: a plugin that changes the guest, {mode}: {name}", r.out + r.err)


def main():
    if len(sys.argv) < 7:
        sys.exit(77)
    dragoman, pure, guest, probe, plugin, writer = sys.argv[1:7]
    with tempfile.TemporaryDirectory() as tmp:
        for test in (lambda: test_count(dragoman, pure, guest),
                     lambda: test_memtrace(dragoman, pure, guest, tmp),
                     lambda: test_probe(dragoman, pure, guest, probe),
                     lambda: test_others(dragoman, pure, guest, tmp),
                     lambda: test_errors(dragoman, pure, probe),
                     lambda: test_static(dragoman, pure, probe),
                     lambda: test_qemu(dragoman, pure, guest, probe, plugin),
                     lambda: test_qemu_write(dragoman, guest, writer)):
            try:
                test()
            except Exception: # such output that a test could not even look at it: say which, and go on
                check(False, "a test that broke off", traceback.format_exc())
    print(f"1..{done}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
