#!/usr/bin/env python3
"""Tools against each other, against other engines, and against QEMU: exact numbers.

usage: test_tools.py PART DRAGOMAN PURE GUEST PROBE.so QEMU_PLUGIN.so STEP TICK GUEST_WITH_LINES QEMU_WRITER.so QEMU_SEVEN.so THUNKS FORMS QEMU_PLAIN.so QEMU_LOCKS.so
PART is one of those in main().
Without arguments: skipped, for want of a cross compiler.
"""
import collections
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

ENGINES = {"interp": ["--engine=interp"], "one-insn": ["--one-insn"], "tier 1": ["--tier2=off"], "tier 2": ["--tier2=20"],
           "graphs": ["--tier2=1"], "graphs interp": ["--tier2=1", "--engine=interp"]}
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "XDG_CACHE_HOME": "/dev/null"}


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


def test_exact(dragoman, pure, guest, step, thunks):
    """Against a debugger that steps through the same program, instructions that fault included, and those of branches' thunks."""
    for what, program in ("pure", [pure]), ("with faults", [guest, "faults", "40"]), ("by thunks", [thunks]):
        want = {m[1]: int(m[2]) for m in re.finditer(r"^(instructions|blocks|reads|writes) (\d+)$", Run(dragoman, [step] + program).out, re.M)}
        check(len(want) == 4, f"stepping: {what}", want)
        for name, opts in ENGINES.items():
            got = Run(dragoman, opts + ["--tool=count"] + program).numbers()
            check(want.items() <= got.items(), f"count is what stepping shows, {what}: {name}", f"{got}\n{want}")
    for opts in ["--promote=on"], ["--promote=on", "--tier2=1"], ["--harden=retpoline", "--tier2=1"]: # thunks once more: `want` is theirs
        got = Run(dragoman, opts + ["--tool=count", thunks]).numbers()
        check(want.items() <= got.items(), f"count is what stepping shows, by thunks: {' '.join(opts)}", f"{got}\n{want}")


def test_interrupted(dragoman, tick):
    """A timer interrupts a loop; each time the same few instructions more."""
    for name, opts in ENGINES.items():
        quiet = Run(dragoman, opts + ["--tool=count", tick, "off"]).numbers()
        for args in [], ["--window=start=insns:5000,stop=insns:1000000"], ["--window=start=symbol:over"]:
            r = subprocess.run([dragoman] + opts + ["--tool=count"] + args + [tick], env=ENV, capture_output=True, timeout=120)
            ticks = int.from_bytes(r.stdout[-8:], "little")
            got = {m[1].decode(): int(m[2]) for m in re.finditer(rb"^([a-z]+)\s+(\d+)$", r.stderr, re.M)}
            if args and "insns" in args[0]:
                ok = got["instructions"] == 1000000
            elif args:
                ok = (got["instructions"] - 13) % 7 == 0 and (got["instructions"] - 13) // 7 <= ticks < quiet["instructions"] // 100
            else:
                again = got["instructions"] - quiet["instructions"] - 7 * ticks  # a system call that a tick came before: svc once more
                ok = 0 <= again <= 2 and got == {
                    "instructions": quiet["instructions"] + 7 * ticks + again, "blocks": quiet["blocks"] + 2 * ticks + again,
                    "reads": quiet["reads"] + ticks, "writes": quiet["writes"] + ticks}
            check(r.returncode == 0 and ticks > 0 and ok, f"interrupted by a timer {args}: {name}", f"{ticks} {got} {quiet}")


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


def test_record_cost(dragoman, guest, tmp):
    """A record is two stores, and blocks that follow each other have one test for room."""
    log = os.path.join(tmp, "log")
    r = Run(dragoman, ["--tier2=off", f"--log=ir:{log}", "--tool=memtrace,null,out=/dev/null", guest, "faults"])
    with open(log, encoding="utf-8") as f:
        text = f.read()
    rooms, stores, accesses = (len(re.findall(x, text, re.M)) for x in (r" = room ", r"^ +stash\.", r"( = load|^ +store)\."))
    check(r.status == 0 and accesses > 1000 and rooms < accesses / 4 and 2 * accesses <= stores < 2.1 * accesses,
          "memtrace: two stores a record, few tests for room", f"{rooms} {stores} {accesses}")


def test_probe(dragoman, pure, guest, probe):
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + [f"--plugin={probe},mode=both", pure])
        pairs = re.findall(r"^(\w+) (\d+) (\d+)$", r.err, re.M)
        check(r.status == 0 and len(pairs) == 10 and all(a == b for _, a, b in pairs), f"inline and called agree: {name}", r.err)
        for mode, total in ("write", 200 * 16), ("skip", 200 * 9):
            r = Run(dragoman, opts + [f"--plugin={probe},mode={mode}", guest, "probe"])
            check(r.status == 0 and r.out == f"probe {total}\n", f"a call changes registers, mode {mode}: {name}", r.out + r.err)
        for what in "probe", "ticks", "faults":
            r = Run(dragoman, opts + [f"--plugin={probe},mode=outside", guest, what])
            said = re.fullmatch(r"some 1 outside (\d+) (\d+) only (\d+) (\d+) order (\d+) (\d+) bad 0\n", r.err)
            check(r.status == 0 and said and all(said[k] == said[k + 1] for k in (1, 3, 5)), f"records of what goes outside, {what}: {name}", r.err)
        r = Run(dragoman, opts + [f"--plugin={probe},mode=watch", guest, "watch"])
        check(r.status == 0 and r.out == "watch 134850\n" and r.err == "watched 150\n", f"watching on and off: {name}", r.out + r.err)
        r = Run(dragoman, opts + [f"--plugin={probe},mode=crash", guest, "probe"])
        check(r.status == 0 and r.out == "probe 59900\n" and "tool 'probe' crashed while being called" in r.err and
              r.err.count("\n") == 1, f"a tool that crashes: {name}", r.out + r.err)


def test_combinations(dragoman, guest, probe, tmp):
    """Counters that code adds to together come to what sums do that it adds to one by one, also when there are more combinations than are kept."""
    asm = os.path.join(tmp, "asm")
    for name, opts in ENGINES.items():
        for what in "ticks", "threads", "fork", "faults":
            log = [f"--log=asm:{asm}"] if what == "faults" else []
            r = Run(dragoman, opts + log + [f"--plugin={probe},mode=counts", guest, what])
            pairs = re.findall(r"^count (\d+) (\d+)$", r.err, re.M)
            told = re.findall(r"^compared (\d+) different (\d+)$", r.err, re.M)
            runs = 2 if what == "fork" else 1
            check(r.status == 0 and len(pairs) == 10 * runs and all(a == b for a, b in pairs) and len(told) == runs and
                  all(int(n) > 0 and int(bad) == 0 for n, bad in told), f"combined counts, {what}: {name}", r.out + r.err)
        with open(asm, encoding="utf-8") as f: # in front of the cells there is a whole vcpu
            cells = set(re.findall(r"add qword ptr \[r15\+(0x[0-9A-F]{5,})\], 0x01$", f.read(), re.M))
        many = {"tier 1": 900, "tier 2": 900, "graphs": 200}.get(name, 0)
        check(len(cells) >= many, f"combined counts: cells for combinations: {name}", len(cells))


def test_crowd(dragoman, guest, probe):
    """Threads that come to new code together: one of them makes it. What hundreds that are over have counted is in the sums."""
    said = f"crowd {3 * sum(i + 2000 * 3 for i in range(250))}\n"
    for tool in [], ["--tool=count,insns,blocks"]:
        r = Run(dragoman, ["--stats", "--tier2=20"] + tool + [guest, "crowd"])
        n = {k: int(v) for k, v in re.findall(r"^ +(translations|discarded|counters|cache parts evicted) +(\d+)$", r.err, re.M)}
        check(r.status == 0 and r.out == said and n["discarded"] < 20 and n["cache parts evicted"] < 20 and
              n["counters"] < n["translations"] / 2, f"a crowd makes code once {tool}", f"{n} {r.out}")
    for name in "interp", "tier 1", "tier 2":
        r = Run(dragoman, ENGINES[name] + [f"--plugin={probe},mode=counts", guest, "crowd"])
        pairs = re.findall(r"^count (\d+) (\d+)$", r.err, re.M)
        check(r.status == 0 and r.out == said and len(pairs) == 10 and all(a == b for a, b in pairs), f"combined counts, crowd: {name}", r.out + r.err)


def test_wrap(dragoman, guest, probe):
    # What the guest does, counted by hand: wrap_me(n) makes n + 1 calls, jump_me n + 1 of which none returns, or one that does.
    threads, rounds = 4, range(50)
    entered = threads * sum(i % 12 + 1 for i in rounds)
    jumps = threads * sum(i % 3 + 1 for i in rounds)
    jumped = threads * sum(i % 3 == 0 for i in rounds)
    plain = Run(dragoman, [guest, "wrap"]).out
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + [f"--plugin={probe},mode=wrap", guest, "wrap"])
        check(r.status == 0 and r.out == plain and
              r.numbers() == {"entered": entered, "left": entered, "jumps": jumps, "jumped": jumped, "bad": 0},
              f"wrapping: recursion, jumps, threads: {name}", r.out + r.err)
        for mode, total in ("around", 200 * 17), ("instead", 200 * 9):
            r = Run(dragoman, opts + [f"--plugin={probe},mode={mode}", "--tool=count,insns", guest, "probe"])
            same = Run(dragoman, opts + ["--tool=count,insns", f"--plugin={probe},mode={mode}", guest, "probe"])
            check(r.status == 0 and r.out == f"probe {total}\n" and r.err == same.err and r.numbers(),
                  f"wrapping: argument and result, mode {mode}: {name}", r.out + r.err + same.err)


def insn_lines(dragoman, opts, program, out):
    """A run, and the addresses of the instructions that a memory trace has, in order."""
    r = Run(dragoman, opts + [f"--tool=memtrace,out={out},insns", "--tool=count"] + program)
    text = subprocess.run([dragoman, "memtrace", out], capture_output=True, timeout=120).stdout
    return r, [int(line.split()[2], 16) for line in text.splitlines() if b" insn " in line]


def windowed(pcs, start, stop, open_):
    """The reference: an instruction at a time. start and stop: (address, times)."""
    out, reached = [], 0
    for pc in pcs:
        place, times = stop if open_ else start
        if pc == place:
            reached += 1
            if reached == times:
                open_, reached = not open_, 0
        if open_:
            out.append(pc)
    return out


def test_windows(dragoman, pure, guest, step, tmp):
    out = os.path.join(tmp, "trace")
    pcs = [int(pc, 16) for pc in Run(dragoman, [step, "-p", pure]).out.split()]
    symbol = {m[2]: int(m[1], 16) for m in re.finditer(r"^(\w+) \w (\w+)$",
              subprocess.run(["nm", pure], capture_output=True, text=True).stdout, re.M)}
    work, case0, never = symbol["work"], symbol["case0"], (None, 1)
    middle = work + 8 # in the middle of a block
    for name, opts in ENGINES.items():
        for window, want in (("start=insns:1000,stop=insns:500", pcs[1000:1500]), ("stop=insns:777", pcs[:777]), ("start=insns:5000", pcs[5000:]),
                             ("start=symbol:work,stop=symbol:case0", windowed(pcs, (work, 1), (case0, 1), False)),
                             ("start=symbol:work*10,stop=symbol:work*3", windowed(pcs, (work, 10), (work, 3), False)),
                             (f"start=addr:{middle:#x}*7,stop=addr:{middle + 4:#x}*5", windowed(pcs, (middle, 7), (middle + 4, 5), False)),
                             (f"stop=addr:{middle:#x}*100", windowed(pcs, never, (middle, 100), True)[:0] or
                              pcs[:[k for k, pc in enumerate(pcs) if pc == middle][99]]), ("off", [])):
            n, got = insn_lines(dragoman, opts + ["--tool=hot", "--window=" + window], [pure], out)
            hot = re.search(r"^ *(\d+) instructions$", n.err, re.M)
            check(got == want and n.numbers()["instructions"] == len(want) == int(hot[1]), f"window {window}: {name}",
                  f"{len(got)} of {len(want)}\n{n.err}")
    # A signal that the guest never sees.
    p = subprocess.Popen([dragoman, "--tool=count,insns", "--window=start=signal:USR1,stop=signal:USR1", guest, "sleep"], env=ENV,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [p.stdout.readline()]
    for _ in range(2):
        p.send_signal(signal.SIGUSR1)
        time.sleep(0.1)
        p.stdin.write("\n")
        p.stdin.flush()
        lines.append(p.stdout.readline())
    rest, err = p.communicate("\n", timeout=60)
    n = int(re.search(r"instructions +(\d+)", err)[1])
    check(p.returncode == 0 and lines == ["ready\n", "line\n", "line\n"] and rest == "line\n" and 100000 < n < 900000,
          "window: from one signal to the next", f"{lines} {rest} {n} {err}")
    for bad in "start=", "start=insns:0", "stop=addr:x", "x", "start=symbol:a,start=symbol:b", "start=signal:KILL", "stop=insns:5*2", "start=foo:1":
        r = Run(dragoman, ["--tool=count", "--window=" + bad, pure])
        check(r.status == 2 and "--window" in r.err and r.err.count("\n") == 1, f"window {bad}: refused", r.err)
    r = Run(dragoman, ["--window=off", pure])
    check(r.status == 2 and r.err.count("\n") == 1, "a window without a tool: refused", r.err)


def test_streams(dragoman, pure, guest, tmp):
    """Consumed on a thread of its own, the same trace."""
    out = os.path.join(tmp, "trace")
    for what, program in ("pure", [pure]), ("with faults", [guest, "faults"]):
        for name, opts in ENGINES.items():
            texts = []
            for more in "", ",thread":
                Run(dragoman, opts + [f"--tool=memtrace,insns,out={out}{more}"] + program)
                texts.append(subprocess.run([dragoman, "memtrace", out], capture_output=True, timeout=120).stdout)
            check(texts[0] == texts[1] and texts[0], f"memtrace,thread: {what}: {name}", [len(t) for t in texts])
    for what in "threads", "leave", "over":
        r, text, total = trace(dragoman, [], [guest, what], out, ",insns,thread")
        n = r.numbers()
        check(r.status == 0 and n["reads"] == total["reads"] and n["writes"] == total["writes"] and
              n["instructions"] == total["instructions"], f"memtrace,thread: {what}", f"{n}\n{total}\n{r.err}")
    # A child has its own; and a fatal signal loses nothing.
    r = Run(dragoman, [f"--tool=memtrace,insns,thread,out={out}.%p", "--tool=count", guest, "fork"])
    totals = [subprocess.run([dragoman, "memtrace", "--summary", os.path.join(tmp, f)], capture_output=True, text=True, timeout=60).stdout
              for f in os.listdir(tmp) if f.startswith("trace.")]
    want = sorted(re.findall(r"^instructions +(\d+)$", r.err, re.M))
    got = sorted(re.search(r"^instructions (\d+)$", t, re.M)[1] for t in totals)
    check(r.status == 0 and len(got) == 2 and got == want, "memtrace,thread: parent and child", f"{got} {want} {r.err}")
    r, text, total = trace(dragoman, [], [guest, "abort"], out, ",insns,thread")
    check(r.status == -6 and r.numbers().get("instructions") == total["instructions"], "memtrace,thread: a fatal signal",
          f"{r.status} {r.err} {total}")


def test_accesses(dragoman, guest, probe):
    """What signals and system calls access, against what the calls' arguments say."""
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + [f"--plugin={probe},mode=access", guest, "faults"])
        rows = [line.split() for line in r.err.splitlines()]
        signals = [(kind, int(size)) for by, kind, _, size in rows if by == "signal"]
        frames = sum(kind == "write" and size > 4096 for kind, size in signals)
        check(frames == 500 and signals == signals[:3] * 500 and [k for k, _ in signals[:3]] == ["write", "write", "read"] and
              signals[1][1] == signals[2][1], f"accesses: frames of signals: {name}", signals[:6])
        calls = [json.loads(line) for line in Run(dragoman, opts + ["--tool=syscalls,json", guest, "faults"]).err.splitlines()]
        text = [c["args"] for c in calls if c.get("name") == "write"][0]
        check(["syscall", "read", hex(text[1]), str(text[2])] in rows, f"accesses: of write(): {name}", r.err[-300:])


def test_helpers(dragoman, guest, probe):
    """What memory-copy instructions access, each byte once, also where a fault interrupts one."""
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + ["--cpu=+mops", f"--plugin={probe},mode=access", guest, "mops"])
        said = re.fullmatch(r"mops (0x[0-9a-f]+) 90 1\n", r.out)
        mem = int(said[1], 16) if said else 0
        rows = [line.split() for line in r.err.splitlines() if line.startswith("helper")]
        got = {kind: sorted(at for _, what, start, n in rows if what == kind for at in range(int(start, 16), int(start, 16) + int(n)))
               for kind in ("read", "write")}
        want = {"read": list(range(mem + 8197, mem + 8197 + 3001)),
                "write": sorted([*range(mem + 3, mem + 3 + 3001), *range(mem + 3500, mem + 5500)])}
        check(r.status == 0 and said and got == want, f"accesses: of helpers, each byte once: {name}", f"{r.out}{rows[:20]}")


def map_rows(text):
    return [(int(a, 16), int(b, 16), c) for a, b, c in (line.split(" ", 2) for line in text.splitlines())]


def dump_rows(data):
    """The code that a jitdump has: address, size, name, bytes. Raises when it is not one."""
    magic, version, size, machine, _, pid, when, flags = struct.unpack_from("<IIIIIIQQ", data)
    assert (magic, version, size, machine, flags) == (0x4a695444, 1, 40, 62, 0) and when
    rows, at = [], 40
    while at < len(data):
        kind, size, stamp, rpid, _, vma, code, length, index = struct.unpack_from("<IIQIIQQQQ", data, at)
        name, _, rest = data[at + 56:at + size].partition(b"\0")
        assert kind == 0 and stamp and rpid == pid and vma == code and len(rest) == length and index == len(rows)
        rows.append((code, length, name.decode(), rest))
        at += size
    assert at == len(data)
    return pid, rows


def test_lines(dragoman, guest, debug, tmp):
    """Source lines: lcov's file against the source, and genhtml's opinion of it."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest.c")
    text = open(source, encoding="ascii").read().splitlines()
    info = os.path.join(tmp, "cover.info")
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + [f"--tool=cover,lcov,out={info}", debug, "probe"])
        with open(info, encoding="ascii") as f:
            records = [rec for rec in f.read().split("end_of_record\n") if f"/guest.c\n" in rec]
        lines = {int(m[1]): int(m[2]) for rec in records for m in re.finditer(r"^DA:(\d+),(\d+)$", rec, re.M)}
        calls = {m[2]: int(m[1]) for rec in records for m in re.finditer(r"^FNDA:(\d+),(\w+)$", rec, re.M)}
        times = {what: [n for at, n in lines.items() if what in text[at - 1]] for what in ("return x * 3 + 1;", "abort();", "sum += probe_me(i);")}
        check(r.status == 0 and len(records) == 1 and calls.get("probe_me") == 200 and calls.get("wrap_me") == 0 and calls.get("main") == 1 and
              times["return x * 3 + 1;"] == [200] and times["abort();"] == [0] and times["sum += probe_me(i);"] == [200, 0],
              f"lcov: lines and functions of the source: {name}", f"{times} {calls} {r.err}")
    if shutil.which("genhtml"):
        html = os.path.join(tmp, "html")
        p = subprocess.run(["genhtml", "-q", "--ignore-errors", "source", "-o", html, info], capture_output=True, text=True, timeout=120)
        pages = [os.path.join(d, f) for d, _, files in os.walk(html) for f in files if f == "guest.c.gcov.html"]
        check(p.returncode == 0 and len(pages) == 1 and "probe_me" in open(pages[0], encoding="utf-8").read(), "lcov: genhtml takes it",
              p.stdout + p.stderr)
    stripped = os.path.join(tmp, "stripped") # and its debugging information beside it, and by its build id
    by_id = subprocess.run(["aarch64-linux-gnu-readelf", "-n", debug], capture_output=True, text=True, timeout=60).stdout
    ident = re.search(r"Build ID: (\w\w)(\w+)", by_id)
    for where in ".debug/guest.debug", f"usr/lib/debug/.build-id/{ident[1]}/{ident[2]}.debug" if ident else None:
        if not where:
            continue
        place = os.path.join(tmp, where)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        subprocess.run(["aarch64-linux-gnu-objcopy", "--only-keep-debug", debug, place], check=True, timeout=60)
        subprocess.run(["aarch64-linux-gnu-objcopy", "--strip-debug"] + ([f"--add-gnu-debuglink={place}"] if "link" in where or where[0] == "." else []) +
                       [debug, stripped], check=True, timeout=60)
        r = Run(dragoman, ["--tool=hot", stripped, "work", "1", "20000"])
        at = re.search(r"^source lines.*\n +\d+ +[\d.]+%  \S*/guest\.c:(\d+)$", r.err, re.M)
        check(r.status == 0 and at and "x += i;" in "".join(text[int(at[1]) - 2:int(at[1]) + 1]), f"hot: source lines, from {where.split('/')[0]}", r.err[:600])
        os.unlink(place)
        check("source lines" not in Run(dragoman, ["--tool=hot", stripped, "probe"]).err, "hot: none where there is nothing to tell them", "")


def test_perf(dragoman, guest, tmp):
    p = subprocess.Popen([dragoman, "--perf=map", guest, "sleep"], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.communicate("\n\n\n", timeout=60)
    path = f"/tmp/perf-{p.pid}.map"
    with open(path, encoding="ascii") as f:
        rows = map_rows(f.read())
    os.unlink(path)
    ends = sorted((a, a + n) for a, n, _ in rows)
    check(p.returncode == 0 and {"main", "spin", "_start"} <= {c for _, _, c in rows} and all(n for _, n, _ in rows) and
          all(x[1] <= y[0] for x, y in zip(ends, ends[1:])), "perf: the map has functions, which do not overlap", rows[:5])
    here = os.path.join(tmp, "jit")
    os.mkdir(here)
    p = subprocess.run([dragoman, "--perf=jitdump", guest, "fork"], env=ENV, cwd=here, capture_output=True, timeout=60)
    dumps = [dump_rows(open(os.path.join(here, name), "rb").read()) for name in os.listdir(here)]
    names = [{name for _, _, name, _ in rows} for _, rows in dumps]
    check(p.returncode == 0 and len(dumps) == 2 and all("main" in n for n in names) and sum("spin" in n for n in names) == 1,
          "perf: a jitdump of parent and child", names)
    perf = shutil.which("perf")
    data, named = os.path.join(tmp, "perf.data"), os.path.join(tmp, "named.data")
    record = perf and subprocess.run([perf, "record", "-q", "-k", "mono", "-o", data, dragoman, "--perf=jitdump", guest, "spin"], env=ENV, cwd=here,
                                     capture_output=True, timeout=120)
    if record and record.returncode == 0: # else the machine has no perf, or does not let us
        inject = subprocess.run([perf, "inject", "--jit", "-i", data, "-o", named], cwd=here, env=ENV, capture_output=True, timeout=120)
        report = subprocess.run([perf, "report", "--stdio", "-i", named], cwd=here, env=ENV, capture_output=True, text=True, timeout=120)
        check(inject.returncode == 0 and re.search(r"jitted-\d+-\d+\.so +\[\.\] spin", report.stdout), "perf: reports the guest's functions",
              f"{inject.stderr}{report.stdout[:1500]}{report.stderr}")
    r = Run(dragoman, ["--perf=x", guest])
    check(r.status == 2 and "--perf" in r.err and r.err.count("\n") == 1, "perf: an unknown kind is refused", r.err)


def bbv_total(path):
    with open(path, encoding="ascii") as f:
        lines = f.read().splitlines()
    ok = all(re.fullmatch(r"T(:\d+:\d+ )+", line) for line in lines)
    return ok, len(lines), sum(int(n) for line in lines for n in re.findall(r":\d+:(\d+)", line))


def test_fetches(dragoman, guest):
    """Instruction lines: what a small cache misses is the same everywhere, whatever is left out because it is known."""
    for program in "probe", "lines":
        for option in "I1=512:2:16", "I1=1024:1:64", "I1=512:8:64":
            rows = {}
            for name, opts in ENGINES.items():
                r = Run(dragoman, opts + [f"--tool=cache,{option}", guest, program])
                rows[name] = [line.split() for line in r.err.splitlines() if line.startswith("I1 ")]
            check(rows["interp"] and int(rows["interp"][0][3]) > 40, f"cache: instructions missed, {option}", rows["interp"])
            for name, row in rows.items():
                check(row == rows["interp"], f"cache: instructions, {option}, {program}: {name}", f"{row} {rows['interp']}")


def stacks(path):
    """Two functions may have the same name, so a stack may be there twice."""
    found = collections.Counter()
    with open(path, encoding="utf-8") as f:
        for line in f.read().splitlines():
            stack, n = line.rsplit(" ", 1)
            found[stack] += int(n)
    return found


def test_family(dragoman, guest, tmp):
    """A forked child tells of itself alone, one of vfork is its parent's, and so is a thread that the process's end ends."""
    for name, opts in ENGINES.items():
        here = tempfile.mkdtemp(dir=tmp)
        tools = [f"--tool={t},out={here}/{t.split(',')[0]}.%p" for t in ("count", "flame", "bbv,interval=900", "callgrind", "memtrace,insns")]
        r = Run(dragoman, opts + tools + [guest, "family"])
        pids = sorted({int(f.split(".")[1]) for f in os.listdir(here)})
        check(r.status == 0 and r.out == "family\n" and len(pids) == 2, f"family: parent and child report: {name}", f"{r.err} {pids}")
        for who, pid, least in zip(("parent", "child"), pids, (5000 + 4000 + 7000 + 600, 300)):
            count = {k: int(v) for k, v in (line.split() for line in open(f"{here}/count.{pid}", encoding="ascii"))}
            insns = count["instructions"]
            check(least <= insns < 20 * least + 20000, f"family: instructions of the {who}: {name}", count)
            flame = stacks(f"{here}/flame.{pid}")
            check(sum(flame.values()) == insns and any(k.endswith(";spin") for k in flame), f"family: flame, {who}: {name}", f"{insns} {flame}")
            vectors = [bbv_total(f"{here}/{f}") for f in os.listdir(here) if f.startswith(f"bbv.{pid}.")]
            check(all(v[0] for v in vectors) and sum(v[2] for v in vectors) == insns, f"family: bbv, {who}: {name}", f"{insns} {vectors}")
            with open(f"{here}/callgrind.{pid}", encoding="utf-8") as f:
                total = int(re.search(r"^totals: (\d+)", f.read(), re.M)[1])
            check(total == insns, f"family: callgrind, {who}: {name}", f"{insns} {total}")
            text = subprocess.run([dragoman, "memtrace", f"{here}/memtrace.{pid}"], capture_output=True, text=True, timeout=60).stdout
            kinds = collections.Counter(line.split()[1] for line in text.splitlines())
            check(kinds["insn"] == insns and kinds["read"] + kinds["update"] == count["reads"] and kinds["write"] + kinds["update"] == count["writes"],
                  f"family: memtrace, {who}: {name}", f"{kinds} {count}")


def test_descriptors(dragoman, guest, tmp):
    """What dragoman writes to stays its own, whatever the guest does with descriptors; the guest's are numbered as ever."""
    want = Run(dragoman, [guest, "files"]).out
    check(want == "files 3 4 3 42 2 5 5 0 mine\n", "descriptors: the guest's", want)
    at = os.path.join(tmp, "own")
    for option in ("--tool=count", f"--tool=count,out={at}", "--tool=hot", f"--tool=flame,out={at}", f"--tool=bbv,interval=1000,out={at}",
                   f"--tool=memtrace,out={at}", f"--tool=syscalls,out={at}", "--tool=syscalls", f"--tool=cover,out={at}", f"--tool=cache,out={at}",
                   f"--tool=callgrind,out={at}", "--stats", "--stats=branches", "--strace", f"--log=sys:{at}", "--log=sys"):
        for f in at, at + ".0":
            if os.path.exists(f):
                os.remove(f)
        r = Run(dragoman, [option, guest, "files"])
        found = [os.path.getsize(f) for f in (at, at + ".0") if os.path.exists(f)]
        check(r.status == 0 and r.out == want, f"descriptors: {option}", f"{r.out} {r.err[:300]}")
        check((found and found[0] > 30 and not r.err) if at in option else (not found and len(r.err) > 30), f"descriptors: {option}: what it says",
              f"{found} {r.err[:300]}")
        if "syscalls" in option or "sys" in option.split("=")[-1]:
            text = open(at, encoding="utf-8").read() if at in option else r.err
            check("memfd_create" in text and "lseek(2" in text, f"descriptors: {option}: to the end", text[-300:])


def timeline_faults(events):
    """What Perfetto's importer of the Trace Event Format would not take, or show wrong: members, their types, slices of a thread that overlap."""
    members = {"M": {"name": str, "pid": int, "args": dict}, "X": {"name": str, "cat": str, "pid": int, "tid": int, "ts": (int, float), "dur": (int, float)},
               "i": {"name": str, "cat": str, "pid": int, "tid": int, "ts": (int, float), "s": str}}
    bad = [e for e in events if e.get("ph") not in members or any(not isinstance(e.get(k), t) for k, t in members[e["ph"]].items())]
    bad += [e for e in events if e.get("ph") == "X" and (e["dur"] < 0 or e["ts"] <= 0)] + [e for e in events if e.get("ph") == "i" and e["s"] != "t"]
    bad += [e for e in events if e.get("ph") == "M" and (e["name"] != "process_name" or not isinstance(e["args"].get("name"), str))]
    last = {}
    for e in sorted((e for e in events if e.get("ph") == "X"), key=lambda e: (e["ts"], -e["dur"])):
        while last.get(e["tid"]) and last[e["tid"]][-1] <= e["ts"]:
            last[e["tid"]].pop()
        if last.get(e["tid"]) and last[e["tid"]][-1] < e["ts"] + e["dur"] - 0.002:
            bad.append(e)
        last.setdefault(e["tid"], []).append(e["ts"] + e["dur"])
    return bad


def test_timeline(dragoman, guest, tmp):
    """A timeline of system calls that Perfetto takes: of threads, forked and vforked children, faults, calls that do not return."""
    for program, signals in (("family", 0), ("threads", 0), ("faults", 500), ("ticks", 50)):
        here = tempfile.mkdtemp(dir=tmp)
        r = Run(dragoman, [f"--tool=syscalls,trace,out={here}/%p", guest, program])
        runs = {}
        for f in os.listdir(here):
            with open(os.path.join(here, f), encoding="ascii") as file:
                runs[int(f)] = json.load(file)
        check(r.status == 0 and len(runs) == (2 if program == "family" else 1), f"timeline: a file a process: {program}", f"{r.err} {list(runs)}")
        for pid, events in runs.items():
            bad = timeline_faults(events)
            check(not bad and events[0]["name"] == "process_name" and all(e["pid"] == pid or e["tid"] == e["pid"] for e in events), f"timeline: as Perfetto has it: {program}", bad[:5])
            check(any(e["name"] == "exit_group" for e in events), f"timeline: to the end: {program}", events[-3:])
        parent = runs[min(runs)]
        count = sum(e["ph"] == "i" for e in parent)
        check(count >= signals and (signals or not count), f"timeline: signals: {program}", count)
        if program == "family": # the child of vfork runs while its parent is in the call
            waits = [e for e in parent if e["name"] == "clone" and "VFORK" in e["args"]["call"]]
            child = [e for e in parent if e["name"] == "exit_group" and e["pid"] != min(runs)]
            check(len(waits) == len(child) == 1 and waits[0]["ts"] < child[0]["ts"] <= waits[0]["ts"] + waits[0]["dur"], "timeline: vfork", f"{waits} {child}")
            check(any(e["name"] == "ppoll" and e["tid"] != e["pid"] for e in parent),
                  "timeline: a thread that is still in a call at the end", parent[-5:])


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
    for name, opts in {**ENGINES, "tier 2, AVX2": ["--tier2=20", "--host-cpu=avx2"]}.items():
        for shape, program in (((1024, 2, 32), "probe"), ((64, 2, 32), "lines"), ((64, 2, 16), "lines"), ((1024, 8, 16), "lines"), ((1024, 8, 64), "lines"),
                               ((2048, 4, 64), "lines"), ((768, 12, 32), "lines")):
            option = "D1=%d:%d:%d" % shape
            r, text, _ = trace(dragoman, opts + [f"--tool=cache,{option},TLB=16384:4:4096"], [guest, program], out)
            rows = {m[1]: [int(x) for x in m[2].split()] for m in re.finditer(r"^(I1|D1|ITLB|DTLB) +((?:\d+ +){4})", r.err, re.M)}
            want, pages = lru_misses(text, *shape), lru_misses(text, 16384, 4, 4096)
            check(rows["D1"][2:] == want and rows["D1"][:2] == [r.numbers()["reads"], r.numbers()["writes"]],
                  f"cache: misses as simulated here, {option}: {name}", f"{rows} {want}\n{r.err}")
            check(rows["DTLB"][2:] == pages and rows["ITLB"][2] > 4 and
                  rows["ITLB"][0] == rows["I1"][0] == r.numbers()["instructions"], f"cache: TLBs: {name}", f"{rows} {pages}\n{r.err}")
    r = Run(dragoman, ["--tool=cache,D1=1024:8:16,L2=none", guest, "lines"])
    rows = {m[1]: [int(x) for x in m[2].split()] for m in re.finditer(r"^(I1|D1|L2|LL) +((?:\d+ +){4})", r.err, re.M)}
    missed = [rows["I1"][2] + rows["D1"][2], rows["D1"][3]]
    check(list(rows) == ["I1", "D1", "LL"] and all(n >= m > 0 for n, m in zip(rows["LL"], missed)), "cache: no second level", r.err)
    r = Run(dragoman, ["--tool=cache,D1=1024:8:16", guest, "fork"])
    rows = [[int(x) for x in m[1].split()] for m in re.finditer(r"^(?:I1|D1|L2|LL) +((?:\d+ +){4})", r.err, re.M)]
    check(len(rows) == 8 and all(row[0] >= row[2] and row[1] >= row[3] for row in rows), "cache: parent and child, each its own", r.err)
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
    """A plugin with QEMU's interface, which checks much itself and counts the same in several ways. Accesses are those that
    QEMU 10.0.2 tells of."""
    counted = Run(dragoman, ["--tool=count", pure]).numbers()
    for name, opts in ENGINES.items():
        n = Run(dragoman, opts + ["--qemu-plugin", plugin, pure]).numbers()
        check(n.get("bad") == 0 and n["insns"] == n["called"] == counted["instructions"] and n["accesses"] == n["told"] == 1816 and
              n["stores"] == 663 and n["hundred"] == n["conditions"] == n["insns"] // 100 and n["blocks"] == 1 and
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


def test_qemu_forms(dragoman, forms, plugin):
    for name, opts in ENGINES.items():
        n = Run(dragoman, opts + ["--qemu-plugin", plugin, forms]).numbers()
        check(n.get("bad") == 0 and n["insns"] == 68 and n["accesses"] == n["told"] == 180 and n["stores"] == 56,
              f"accesses of each form are those of QEMU's: {name}", n)


def test_qemu_write(dragoman, guest, writer):
    """A plugin that changes registers, memory, the program counter and the results of system calls."""
    for name, opts in ENGINES.items():
        for mode, out in ("regs", "Probe 1800\n"), ("late", f"Probe {sum(3 * i + 1 for i in range(100)) + 900}\n"), ("pc", "Probe 1800\n"), \
                ("quiet", ""):
            r = Run(dragoman, opts + ["--qemu-plugin", f"{writer},mode={mode}", guest, "probe"])
            check(r.status == 0 and r.out == out and r.err == "", f"QEMU's interface: a plugin that changes the guest, {mode}: {name}", r.out + r.err)


def test_qemu_seven(dragoman, pure, guest, plugin):
    """Version 7 of QEMU's interface: data instead of ids."""
    for name, opts in ENGINES.items():
        r = Run(dragoman, opts + ["--tool=count,insns", "--qemu-plugin", plugin, pure])
        n = r.numbers()
        check(r.status == 0 and n["bad"] == 0 and n["insns"] == n["instructions"] and n["syscalls"] == n["filtered"] > n["returns"] and
              all(n[k] == 1 for k in ("inits", "exits", "blocks", "ends", "each", "resets", "removed")),
              f"QEMU's interface, version 7: {name}", r.err)
    r = Run(dragoman, ["--qemu-plugin", plugin + ",quiet", guest, "probe"])
    check(r.status == 0 and r.out == "" and r.numbers()["bad"] == 0 and r.numbers()["returns"] > 0,
          "QEMU's interface, version 7: system calls answered", r.out + r.err)


def test_qemu_plain(dragoman, guest, plain):
    """Functions that translated code calls by itself: what they are told and may ask for, and their end."""
    runs = {name: Run(dragoman, opts + ["--qemu-plugin", plain + ",mode=values", guest, "lines"]) for name, opts in ENGINES.items()}
    want = runs["interp"]
    check(6000 * 6 <= want.numbers()["accesses"] < 6000 * 6 + 100 and want.numbers()["calls"] > 2 * 6000 * 20, "QEMU's interface: values", want.err)
    for name, r in runs.items():
        check(r.status == 0 and r.numbers()["bad"] == 0 and r.err == want.err, f"QEMU's interface: values: {name}", r.err + want.err)
    for name, opts in list(ENGINES.items()) + [("retpolines", ["--harden=retpoline"]), ("fences", ["--harden=lfence"])]:
        r = Run(dragoman, opts + ["--qemu-plugin", plain + ",mode=crash", guest, "probe"])
        check(r.status == 0 and r.out == "probe 59900\n" and "tool 'qemu_plain.so' crashed while being called, guest pc 0x" in r.err and
              r.err.count("\n") == 1, f"QEMU's interface: a plugin that crashes: {name}", r.out + r.err)
        r = Run(dragoman, opts + ["--qemu-plugin", plain + ",mode=leave", guest, "probe"])
        check(r.status == 0 and r.out == "probe 59900\n" and r.err == "gone\n", f"QEMU's interface: one that leaves: {name}", r.out + r.err)


def test_qemu_locks(dragoman, guest, locks):
    """GLib's mutexes exclude, whoever comes: one thread of the guest, several, those that translate, one of the plugin, a forked child."""
    for name, opts in ENGINES.items():
        for what in "probe", "threads", "fork":
            for helper in "", ",helper":
                if helper and what == "fork":
                    continue  # the child has no such thread
                r = Run(dragoman, opts + ["--qemu-plugin", locks + helper, guest, what])
                n, found = r.numbers(), re.findall(r"counted (\d+)\nexecuted (\d+)\n", r.err)
                check(r.status == 0 and r.out.startswith(what) and n["bad"] == 0 and len(found) == (2 if what == "fork" else 1) and
                      all(a == b != "0" for a, b in found) and (n["helped"] > 0) == (helper != ""),
                      f"QEMU's interface: GLib's mutexes, {what}{helper}: {name}", r.out + r.err)


def main():
    if len(sys.argv) < 16:
        sys.exit(77)
    part = sys.argv[1]
    dragoman, pure, guest, probe, plugin, step, tick, debug, writer, seven, thunks, forms, plain, locks = map(
        os.path.abspath, sys.argv[2:16])
    with tempfile.TemporaryDirectory() as tmp:
        parts = {"count": [lambda: test_count(dragoman, pure, guest),
                           lambda: test_exact(dragoman, pure, guest, step, thunks),
                           lambda: test_interrupted(dragoman, tick),
                           lambda: test_static(dragoman, pure, probe)],
                 "traces": [lambda: test_memtrace(dragoman, pure, guest, tmp),
                            lambda: test_streams(dragoman, pure, guest, tmp),
                            lambda: test_record_cost(dragoman, guest, tmp)],
                 "interface": [lambda: test_probe(dragoman, pure, guest, probe),
                               lambda: test_combinations(dragoman, guest, probe, tmp),
                               lambda: test_crowd(dragoman, guest, probe),
                               lambda: test_wrap(dragoman, guest, probe),
                               lambda: test_accesses(dragoman, guest, probe),
                               lambda: test_helpers(dragoman, guest, probe),
                               lambda: test_errors(dragoman, pure, probe)],
                 "windows": [lambda: test_windows(dragoman, pure, guest, step, tmp),
                             lambda: test_fetches(dragoman, guest)],
                 "others": [lambda: test_others(dragoman, pure, guest, tmp), lambda: test_family(dragoman, guest, tmp),
                            lambda: test_descriptors(dragoman, guest, tmp), lambda: test_timeline(dragoman, guest, tmp),
                            lambda: test_perf(dragoman, guest, tmp),
                            lambda: test_lines(dragoman, guest, debug, tmp)],
                 "qemu": [lambda: test_qemu(dragoman, pure, guest, probe, plugin),
                          lambda: test_qemu_forms(dragoman, forms, plugin),
                          lambda: test_qemu_write(dragoman, guest, writer),
                          lambda: test_qemu_plain(dragoman, guest, plain),
                          lambda: test_qemu_locks(dragoman, guest, locks),
                          lambda: test_qemu_seven(dragoman, pure, guest, seven)]}
        for test in parts[part]:
            try:
                test()
            except Exception: # such output that a test could not even look at it: say which, and go on
                check(False, "a test that broke off", traceback.format_exc())
    return finish()


if __name__ == "__main__":
    sys.exit(main())
