#!/usr/bin/env python3
"""The persistent cache from outside: is it used, is it right, and what does it do with bad files.

usage: test_cache.py DRAGOMAN GUEST OTHER STATIC LIBRARY LIBRARY2 [DRAGOMAN2]    (TAP on standard output)
"""
import glob
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

DRAGOMAN, GUEST, OTHER, STATIC, LIB, LIB2 = (os.path.abspath(a) for a in sys.argv[1:7])
SECOND = os.path.abspath(sys.argv[7]) if len(sys.argv) > 7 else None
ROOT = "/usr/aarch64-linux-gnu"
TOP = tempfile.mkdtemp(prefix="dragoman-cache-")
MISSED = 116  # offset of PersistHeader.missed
FEW = 7  # too few to be written; where random numbers, addresses of the host's and such send a run


class Run:
    """One run: status, output, and numbers of --stats by name."""

    def __init__(self, args, cache, options=(), program=DRAGOMAN, env=None):
        cmd = [program, "run"] + ([f"--cache={cache}"] if cache else []) + ["--stats", "--log=cache", "-L", ROOT, *options, *args]
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=120, check=False)
        self.status, self.out, self.err = p.returncode, p.stdout.decode(), p.stderr.decode()
        self.n = {m[0].strip(): int(m[1]) for m in re.findall(r"^  (\S.*?|  \S.*?|)\s{2,}(\d+)", self.err, re.M)}

    def key(self):
        return self.status, self.out


def fresh(name):
    d = os.path.join(TOP, name)
    shutil.rmtree(d, ignore_errors=True)
    return d


def files(d):
    return sorted(glob.glob(os.path.join(d, "*.dgc")))


def used(r):
    return r.n.get("persistent cache: files used", 0)


def wrote(r):
    return r.n.get("files written", 0)


def command(*args):
    p = subprocess.run([DRAGOMAN, "cache", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return p.returncode, p.stdout.decode() + p.stderr.decode()


def sound(d):
    status, text = command(f"--cache={d}", "verify")
    return status == 0, text


def entries(path):
    """(tier, guest address, where in the code) of each translation in a file that is no counter, as they stand there (src/engine/persist_file.h)."""
    data = open(path, "rb").read()
    page, n, nhash = struct.unpack_from("<3I", data, 88)
    entry = struct.unpack_from("<I", data, 12)[0] + 16 * page
    more = entry + 16 * n + 4 * nhash
    for k in range(n):
        tier, _, counter = struct.unpack_from("<BB?", data, more + 36 * k + 27)
        if not counter:
            at, _, code = struct.unpack_from("<3I", data, entry + 16 * k)
            yield tier, at, code


WANT = Run([GUEST], "off")


def test_second_run():
    for what in (["work"], ["fault"], ["modify"], ["dlopen", LIB, "20"], ["fork", "10"]):
        d = fresh("second")
        want = Run([GUEST, *what], "off")
        first, second, third = (Run([GUEST, *what], d) for _ in range(3))
        check(first.key() == second.key() == third.key() == want.key(), f"{what[0]}: the same results", (first.err, second.err, second.out))
        check(used(first) == 0 and wrote(first) >= 2 and used(second) >= 2, f"{what[0]}: written by the first, used by the second", second.err)
        if what[0] in ("work", "fault"):
            check(second.n["translations"] <= FEW and wrote(second) == 0, f"{what[0]}: nothing of a file translated again", second.err)
        check(sound(d)[0], f"{what[0]}: verifies", sound(d)[1])
    r = [Run([STATIC], d) for d in [fresh("static")] * 2]
    check(r[0].key() == r[1].key() == WANT.key() and r[1].n["translations"] <= FEW, "a static program", r[1].err)


def test_mapping_changes():
    d = fresh("changes")
    want = Run([GUEST, "threads", "4"], "off")
    Run([GUEST], d)
    runs = [Run([GUEST, "threads", "4"], d, options) for options in ([], [], ["--cache-size=2"])]
    check(all(r.key() == want.key() for r in runs), "threads in a file's code that is dropped and taken up a hundred times", [r.out for r in runs])
    check(used(runs[1]) > 50, "it was", runs[1].err)


def test_careful():
    d = fresh("careful")
    want = Run([GUEST, "odd"], "off")
    Run([GUEST, "even"], d)
    a, b, c = (Run([GUEST, "odd"], d) for _ in range(3))
    check(a.key() == b.key() == c.key() == want.key(), "NaNs and tagged pointers in code kept from a run without", (a.out, want.out))
    check(0 < a.n["careful sites"] < 20 and 0 < a.n["faults"] < 50 and used(a) >= 2, "what trapped is made anew, once, and little else", a.err)
    check(b.n["careful sites"] == 0 and b.n["faults"] == 0, "the next run has it in its careful form", b.err)


def test_tiers():
    d, options = fresh("tiers"), ["--tier2=50"]
    want = Run([GUEST, "threads", "2"], "off")
    Run([GUEST, "even"], d, options)
    runs = [Run([GUEST, "threads", "2"], d, options) for _ in range(4)]
    check(all(r.key() == want.key() for r in runs), "tier 2 takes over from kept code", [r.out for r in runs])
    graphs = [r.n.get("graphs", 0) for r in runs]
    check(graphs[0] > 0, "it does", runs[0].err)
    d = fresh("tiers2")
    want = Run([GUEST], "off")
    runs = [Run([GUEST], d, options) for _ in range(4)]
    graphs = [r.n.get("graphs", 0) for r in runs]
    check(all(r.key() == want.key() for r in runs) and graphs[3] < graphs[0] / 2, "graphs are kept", (graphs, runs[3].err))
    kept = [list(entries(f)) for f in files(d)]
    check(all(k == sorted(k, key=lambda e: (-e[0], e[1])) for k in kept) and {1, 2} <= {e[0] for k in kept for e in k},
       "graphs stand in front, and all in the order of guest code", kept)
    graphs = [code for k in kept for tier, _, code in k if tier > 1]
    check(len(graphs) > 4 and all(code % 64 == 0 for code in graphs), "graphs begin at lines, as their loops expect it", graphs)


def test_few_graphs():
    d = fresh("few")
    Run([GUEST], d, ["--tier2=50000000"])
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})  # one processor: what is hot is made at once, not by a thread that may be late
    a, _, b = (Run([GUEST], d, ["--tier2=300"]) for _ in range(3))  # in the second one an exit of the first's may be hot
    os.sched_setaffinity(0, every)
    hot = "tier 2: hot places"
    check(a.n[hot] > a.n["graphs"] > 0 and wrote(a) >= 1, "a few graphs are worth a file", a.err)
    check(b.n[hot] == 0, "neither they nor what was refused is asked for again", b.err)


def missed(d, value=None):
    """What the files say that processes made and did not write; or have them say so."""
    said = []
    for name in files(d):
        with open(name, "r+b") as f:
            f.seek(MISSED)
            said.append(int.from_bytes(f.read(4), "little"))
            if value is not None:
                f.seek(MISSED)
                f.write(value.to_bytes(4, "little"))
    return said


def test_a_little_each_time():
    d = fresh("little")
    runs = [Run([STATIC, "part", str(k)], d, ["--tier2=off"]) for k in range(40)]
    later = [k for k in range(1, 40) if wrote(runs[k])]
    check(wrote(runs[0]) == 1 and later and min(later) > 3, "what is too little each time is written when it is enough together",
          [later, *(r.n.get("translations") for r in runs)])
    outs = [Run([STATIC, "part", str(k)], None, ["--cache=off"]).key() for k in range(40)]
    check([r.key() for r in runs] == outs, "and does what it did", [r.out for r in runs])
    again = Run([STATIC, "part", str(later[0])], d, ["--tier2=off"])
    check(again.n["translations"] < runs[later[0]].n["translations"], "and is not made again", again.err)
    before = missed(d)
    ok, text = sound(d)
    check(ok and before[0] > 0, "what was made since is noted in the file, which is whole", [before, text])
    missed(d, 0xffffffff)
    r = Run([STATIC, "part", "39"], d, ["--tier2=off"])
    check(used(r) == 1 and sound(d)[0], "any number there will do", r.err)
    missed(d, 0xffffffff)
    r = Run([STATIC], d, ["--tier2=off"])
    check(wrote(r) == 1 and missed(d) == [0], "and begins anew with a new file", r.err)


def test_shared_libraries():
    d = fresh("shared")
    Run([GUEST], d)
    r = Run([OTHER], d)
    check(used(r) >= 2, "the C library's translations serve another program", r.err)


def test_changed_file():
    d, path = fresh("changed"), os.path.join(TOP, "program")
    shutil.copy(GUEST, path)
    Run([path], d)
    shutil.copy(OTHER, path)
    want = Run([OTHER], "off")
    a, b = Run([path], d), Run([path], d)
    check(a.key() == b.key() == want.key(), "another program at the same path", a.out)
    # The same file but for one instruction: the first page, which names the file, is the same.
    data = bytearray(open(GUEST, "rb").read())
    sites = [m.start() for m in re.finditer(rb"[\x60-\x7f]\x01\x80\x52", bytes(data), re.S) if m.start() % 4 == 0]  # mov wN, #11
    check(sites, "the instruction to be changed is there")
    shutil.copy(GUEST, path)
    Run([path, "modify"], d)
    for s in sites:
        word = int.from_bytes(data[s:s + 4], "little")
        data[s:s + 4] = (word & ~(0xffff << 5) | 13 << 5).to_bytes(4, "little")
    with open(path, "r+b") as f:
        f.write(data)
    want = Run([path, "modify"], "off")
    a, b = Run([path, "modify"], d), Run([path, "modify"], d)
    check(want.out != "11 22\n" and a.key() == b.key() == want.key(), "one instruction changed in place", (a.out, want.out, a.err))
    # While a process runs it: what that one translated is not kept for the new bytes.
    d, new = fresh("changing"), os.path.join(TOP, "new")
    shutil.copy(GUEST, path)
    with open(new, "wb") as f:
        f.write(data)
    Run([path, "replace", f"/bin/dd if={new} of={path} conv=notrunc status=none"], d)
    got = [Run([path, "constant"], d).out for _ in range(2)]
    check(got == ["13\n", "13\n"], "one instruction changed while it ran", got)
    shutil.copy(LIB, os.path.join(TOP, "lib.so"))
    one = [Run([GUEST, "dlopen", os.path.join(TOP, "lib.so"), "9"], d).out for _ in range(2)]
    shutil.copy(LIB2, os.path.join(TOP, "lib.so"))
    two = [Run([GUEST, "dlopen", os.path.join(TOP, "lib.so"), "9"], d).out for _ in range(2)]
    check(one[0] == one[1] != two[0] == two[1], "a changed library", (one, two))


def damage(path, rng):
    data = bytearray(open(path, "rb").read())
    kind = rng.randrange(6)
    if kind == 0:
        del data[rng.randrange(len(data)):]
    elif kind == 1:
        data += bytes(rng.randrange(1, 9000))
    elif kind == 2:
        data[rng.randrange(min(264, len(data)))] ^= 1 << rng.randrange(8)
    elif kind == 3:
        a = rng.randrange(len(data))
        data[a:a + 64] = bytes(rng.randrange(256) for _ in range(len(data[a:a + 64])))
    else:
        end = len(data)
        while end and data[end - 1] == 0:
            end -= 1
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    os.unlink(path)
    with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(data)


def test_damage():
    d, rng, bad, unseen = fresh("damage"), random.Random(5), [], 0
    Run([GUEST, "fault"], d)
    for i in range(120):
        for f in files(d):
            damage(f, rng)
        r = Run([GUEST, "fault"], d)
        if r.status != 3 or not r.out:
            bad.append((i, r.status, r.out, r.err))
        unseen += "ignored: damaged" not in r.err
    check(not bad, "120 times every file damaged at random: right results", bad[:2])
    check(unseen == 0, "each time said in one line of the log", unseen)
    check(sound(d)[0], "damaged files were replaced", sound(d)[1])
    for name, make in (("empty", lambda p: open(p, "wb").close()), ("a directory", os.mkdir),
                       ("a link", lambda p: os.symlink("/etc/passwd", p)), ("a pipe", os.mkfifo)):
        for f in files(d):
            shutil.rmtree(f) if os.path.isdir(f) else os.unlink(f)
            make(f)
        r = Run([GUEST], d)
        check(r.key() == WANT.key(), f"in a file's place: {name}", r.err)
        for f in files(d):
            if os.path.isdir(f):
                shutil.rmtree(f)


def test_trust():
    d = fresh("trust")
    Run([GUEST], d)
    for f in files(d):
        os.chmod(f, 0o666)
    r = Run([GUEST], d)
    check(r.key() == WANT.key() and used(r) == 0 and "this user's alone" in r.err, "files that others may write are not used", r.err)
    d = fresh("trust")
    Run([GUEST], d)
    os.chmod(d, 0o777)
    r = Run([GUEST], d)
    check(r.key() == WANT.key() and used(r) == wrote(r) == 0, "nor is a directory", r.err)
    check(command(f"--cache={d}", "verify")[0] == 1, "verify says so")
    os.chmod(d, 0o700)
    if os.geteuid() == 0:
        for f in files(d):
            os.chown(f, 12345, -1)
        r = Run([GUEST], d)
        check(r.key() == WANT.key() and used(r) == 0, "files of another user are not used", r.err)
        os.chown(d, 12345, -1)
        r = Run([GUEST], d)
        check(r.key() == WANT.key() and used(r) == wrote(r) == 0, "nor is a directory of another user", r.err)


def start(args, d):
    return subprocess.Popen([DRAGOMAN, f"--cache={d}", "-L", ROOT, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_concurrent():
    d = fresh("many")
    runs = [start([GUEST], d) for _ in range(20)]
    outs = {p.communicate()[0].decode() for p in runs}
    check(outs == {WANT.out} and all(p.returncode == WANT.status for p in runs), "20 processes at once", outs)
    check(sound(d)[0] and not glob.glob(d + "/.new-*"), "what they wrote verifies", sound(d)[1])
    r = Run([GUEST], d)
    check(r.n["translations"] <= FEW, "and is complete", r.err)


def test_killed():
    d, rng = fresh("killed"), random.Random(3)
    for i in range(60):
        p = start([GUEST, "exec", GUEST] if i % 2 else [GUEST], d)
        time.sleep(rng.uniform(0.001, 0.03))
        p.kill()
        p.communicate()
        if i % 10 == 9:
            for f in files(d):
                os.unlink(f)
    check(sound(d)[0], "60 processes killed at random moments: no damaged file", sound(d)[1])
    a, b = Run([GUEST], d), Run([GUEST], d)
    check(a.key() == b.key() == WANT.key() and b.n["translations"] <= FEW, "and the next runs work", b.err)
    old = os.path.join(d, ".new-1-1")
    open(old, "w").close()
    os.utime(old, (1, 1))
    for f in files(d):
        os.unlink(f)
    Run([GUEST], d)
    check(not os.path.exists(old), "what a killed writer left is removed")


def test_ends():
    for what in (["crash"], ["exec", OTHER]):
        d = fresh("ends")
        want = Run([GUEST, *what], "off")
        a, b = Run([GUEST, *what], d), Run([GUEST, *what], d)
        check(a.key() == b.key() == want.key() and used(b) >= 2, f"written before {what[0]}", a.err)


def test_bound():
    d = fresh("bound")
    for i in range(6):
        path = os.path.join(TOP, f"static{i}")
        data = bytearray(open(STATIC, "rb").read())
        data[9] = i  # padding of the ELF header: another file
        open(path, "wb").write(data)
        os.chmod(path, 0o755)
        r = Run([path], d, ["--cache-limit=1"])
        for f in files(d):  # one second's difference at least
            os.utime(f, ns=(0, os.stat(f).st_mtime_ns - 2 * 10**9))
    size = sum(os.stat(f).st_blocks * 512 for f in files(d))
    check(wrote(r) == 1 and 0 < size <= 1 << 20, "no more than the limit is kept", (size, r.err))
    check(Run([path], d).n["translations"] <= FEW, "the last one is there")
    check(Run([os.path.join(TOP, "static0")], d).n["translations"] > 100, "the first one is not")


def test_no_directory():
    r = Run([GUEST], "/proc/none/here")
    check(r.key() == WANT.key() and wrote(r) == 0, "a directory that cannot be made", r.err)
    d = fresh("small")
    r = Run([GUEST, "limit"], d)
    check(r.key() == WANT.key() and not os.listdir(d), "a guest that may not write large files", r.err)
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    r = Run([GUEST], None, env=env)
    check(r.key() == WANT.key() and "persistent" not in r.err, "neither HOME nor XDG_CACHE_HOME", r.err)
    d = fresh("home")
    for name, var in ((".cache/dragoman", "HOME"), ("dragoman", "XDG_CACHE_HOME")):
        Run([GUEST], None, env={**env, var: d})
        check(len(files(os.path.join(d, name))) >= 2, f"{var} says where")
    check(os.stat(os.path.join(d, "dragoman")).st_mode & 0o777 == 0o700, "the directory is the user's alone")
    if os.geteuid() != 0:
        d = fresh("readonly")
        Run([GUEST], d)
        os.chmod(d, 0o500)
        r = Run([OTHER], d)
        check(r.status == 1 and used(r) >= 1 and wrote(r) == 0, "a directory that may only be read", r.err)
        os.chmod(d, 0o700)


def test_keys():
    d = fresh("keys")
    variants = [[], ["--cpu=base"], ["--cpu=max,-lse"], ["--no-ret-predict"], ["--opt=-gvn"], ["--tier2=off"]]
    if "no AVX-512" in Run([GUEST], d, ["--host-cpu=avx512"]).err:
        Run([GUEST], d)
        r = Run([GUEST], d, ["--host-cpu=avx2"])
        check(used(r) > 0 and r.n["translations"] <= FEW and r.key() == WANT.key(), "avx2 is all that this processor has", r.err)
    else:
        variants.append(["--host-cpu=avx2"])
    d = fresh("keys")  # the first run may have been one with no option
    for options in variants:
        n = len(files(d))
        a, b = Run([GUEST], d, options), Run([GUEST], d, options)
        check(used(a) == 0 and len(files(d)) > n and b.n["translations"] <= FEW and a.key() == b.key() == WANT.key(),
           "files of its own: " + (" ".join(options) or "no option"), a.err)
    if SECOND:
        a, b = Run([GUEST], d, program=SECOND), Run([GUEST], d, program=SECOND)
        check(used(a) == 0 and b.n["translations"] <= FEW and b.key() == WANT.key(), "files of its own: another build", a.err)
    ld = os.path.join(ROOT, "lib/ld-linux-aarch64.so.1")
    a, b = Run([ld, GUEST], d), Run([ld, GUEST], d)
    check(a.n["translations"] > 50 and b.n["translations"] <= FEW and a.key() == b.key() == WANT.key(), "the program at another address", b.err)


def test_modes_without():
    for options in (["--engine=interp"], ["--check"], ["--one-insn"], ["--no-chain"], ["--jit-limit=100"]):
        d = fresh("without")
        r = Run([GUEST], d, options)
        check(r.key() == WANT.key() and not os.path.exists(d), f"not used with {options[0]}", r.err)


def test_forks():
    d = fresh("forks")
    a = Run([GUEST, "fork", "20"], d)
    lines = [x for x in a.err.splitlines() if " written: " in x]
    check(len(lines) <= 12, "children do not write what their parent translated", lines)


def test_commands():
    d = fresh("commands")
    Run([GUEST], d)
    status, text = command(f"--cache={d}", "list")
    check(status == 0 and "libc.so.6" in text and os.path.basename(GUEST) in text, "list names the guest's files", text)
    with open(files(d)[0], "r+b") as f:
        f.seek(300)
        f.write(b"damage")
    status, text = command(f"--cache={d}", "verify")
    check(status == 1 and "damaged" in text and "1 bad" in text, "verify finds a damaged file", text)
    open(os.path.join(d, "not-ours"), "w").close()
    status, text = command(f"--cache={d}", "clear")
    check(status == 0 and os.listdir(d) == ["not-ours"], "clear removes what is the cache's", text)
    check(command(f"--cache={d}", "list")[0] == 0 and command(f"--cache={d}/none", "list")[0] == 0, "an empty or missing directory is no error")
    check(command("list", "more")[0] == 2 and command("frobnicate")[0] == 2 and command()[0] == 2, "bad usage")


try:
    for name, fn in list(globals().items()):
        if name.startswith("test_"):
            fn()
finally:
    shutil.rmtree(TOP, ignore_errors=True)
sys.exit(finish())
