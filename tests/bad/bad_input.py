#!/usr/bin/env python3
"""Bad input: programs that cannot be run, damaged files, wrong options. TAP.

usage: bad_input.py DRAGOMAN [GUEST LIBDIR]    GUEST: a dynamic arm64 program, LIBDIR: where its dynamic linker is

Each must end with the documented exit status and say why in one line on stderr, beginning with "dragoman: ". A damaged
program that can still be started may also run, or die by a signal of its own; dragoman itself must not.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import tiny_elf as te

USAGE, HOST, NOT_RUN, NOT_FOUND = 2, 125, 126, 127
GUEST_DEATHS = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGTRAP}
HOSTILE = [0, 1, 2, 3, 7, 0x1000, 0xFFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x400000,
           0x7FFFFFFFF000, 0x7FFFFFFFFFFF, 0x800000000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFF000,
           0xFFFFFFFFFFFFFFFF]


class Tests:
    def __init__(self, dragoman, tmp):
        self.dragoman, self.tmp, self.n, self.bad = dragoman, tmp, 0, 0
        self.env = {"PATH": "/usr/bin:/bin", "HOME": tmp, "XDG_DATA_HOME": tmp, "LC_ALL": "C"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def file(self, name, data, mode=0o755):
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        return path

    def run(self, *args):
        p = subprocess.run([self.dragoman, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=120, check=False, cwd=self.tmp, env=self.env)
        return p.returncode, p.stdout, p.stderr.decode(errors="replace")

    def report(self, name, why):
        self.n += 1
        self.bad += bool(why)
        print(f"{'not ' if why else ''}ok {self.n} - {name}", flush=True)
        for line in (why or "").splitlines():
            print("#", line[:300])

    def skip(self, name, why):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {why}")

    def fails(self, name, status, pattern, *args):
        """`dragoman ARGS` fails with `status` and one line that `pattern` matches."""
        got, out, err = self.run(*args)
        why = ""
        if got != status:
            why += f"exit status {got}, expected {status}\n"
        if not re.fullmatch(r"dragoman: [^\n]+\n", err):
            why += "not one line that begins with 'dragoman: '\n"
        if not re.search(pattern, err):
            why += f"the message lacks '{pattern}'\n"
        if out:
            why += f"stdout: {out[:100]!r}\n"
        self.report(name, why + err if why else "")

    def survives(self, path):
        """A damaged program: refused, run, or dead by its own doing. Returns what is wrong, or ''."""
        got, _, err = self.run(path)
        if got in (NOT_RUN, NOT_FOUND) and re.fullmatch(r"dragoman: [^\n]+\n", err):
            return ""
        if (got == te.EXIT_STATUS or got in GUEST_DEATHS) and not err:
            return ""
        return f"exit status {got}, stderr {err[:400]!r}"

    def all_survive(self, name, variants):
        why = ""
        for what, data in variants:
            wrong = self.survives(self.file("damaged", data))
            if wrong and why.count("\n") < 8:
                why += f"{what}: {wrong}\n"
        self.report(name, why)


def check_files(t):
    good = te.tiny()
    path = t.file("good", good)
    got = t.run(path)
    t.report("the undamaged program runs", "" if got == (te.EXIT_STATUS, b"", "") else repr(got))
    t.fails("no such file", NOT_FOUND, "nonesuch: no such file", "./nonesuch")
    t.fails("no such command along PATH", NOT_FOUND, "nonesuch", "nonesuch")
    t.fails("empty name", NOT_FOUND, "no such file", "")
    t.fails("name too long", NOT_FOUND, "too long", "a" * 5000)
    t.fails("file name with a line break", NOT_FOUND, "no such file", "./a\nb")
    t.fails("under a file", NOT_FOUND, "ot a directory", path + "/x")
    t.fails("directory", NOT_RUN, "is a directory", t.tmp)
    t.fails("empty file", NOT_RUN, "empty file", t.file("empty", b""))
    t.fails("text", NOT_RUN, "not an ELF file", t.file("text", b"hello, world\n"))
    t.fails("not executable", NOT_RUN, "not executable", t.file("plain", good, 0o644))
    t.fails("device", NOT_RUN, "not a file", "/dev/null")
    fifo = os.path.join(t.tmp, "fifo")
    os.mkfifo(fifo, 0o755)
    t.fails("FIFO", NOT_RUN, "not a file", fifo)
    os.symlink("loop", os.path.join(t.tmp, "loop"))
    t.fails("symbolic link to itself", NOT_FOUND, "symbolic links", "./loop")
    if os.geteuid() == 0:
        t.skip("unreadable file", "root reads everything")
    else:
        t.fails("unreadable file", NOT_RUN, "ermission denied", t.file("secret", good, 0o111))


def check_scripts(t):
    t.fails("script without an interpreter", NOT_RUN, "names no interpreter", t.file("s1", b"#!\necho\n"))
    t.fails("script of blanks", NOT_RUN, "names no interpreter", t.file("s2", b"#!  \t \n"))
    t.fails("script with a missing interpreter", NOT_FOUND, "/no/such/interp", t.file("s3", b"#!/no/such/interp -x\n"))
    t.fails("script that is its own interpreter", NOT_RUN, "scripts",
            t.file("s4", b"#!" + os.path.join(t.tmp, "s4").encode() + b"\n"))
    t.fails("script whose interpreter is a directory", NOT_RUN, "is a directory", t.file("s5", b"#!/tmp\n"))
    t.fails("script with a NUL in its first line", NOT_FOUND, "no such file", t.file("s6", b"#!/no\0such\n"))
    got = t.run(t.file("s7", b"#!" + os.path.join(t.tmp, "good").encode()))
    t.report("script without a line end", "" if got[0] == te.EXIT_STATUS else repr(got))


def check_isa(t):
    t.fails("host program", NOT_RUN, "x86-64", os.path.realpath("/bin/sh"))
    t.fails("RISC-V program", NOT_RUN, "RISC-V", t.file("riscv", te.tiny(machine=243)))
    t.fails("unknown machine", NOT_RUN, "machine 60000", t.file("m", te.tiny(machine=60000)))
    t.fails("big-endian program", NOT_RUN, "big-endian", t.file("be", te.big_endian(te.tiny())))
    t.fails("32-bit AArch64 program", NOT_RUN, "32-bit", t.file("ilp32", te.tiny(elf_class=1)))
    t.fails("32-bit Arm program", NOT_RUN, "32-bit Arm", t.file("arm", te.tiny(machine=40, elf_class=1)))
    t.fails("class out of range", NOT_RUN, "damaged ELF", t.file("class", te.tiny(elf_class=9)))
    t.fails("byte order out of range", NOT_RUN, "damaged ELF", t.file("order", te.tiny(data=9)))
    t.fails("object file", NOT_RUN, "object file", t.file("rel", te.tiny(elf_type=1)))
    t.fails("core dump", NOT_RUN, "core dump", t.file("core", te.tiny(elf_type=4)))


def check_damage(t):
    good = te.tiny(interp="/lib/none")
    for n in (1, 3, 4, 5, 16, 19, 20, 40, 63, 64, 65, 119, 120, 176, 200, len(good) - 1):
        t.fails(f"truncated to {n} bytes", NOT_RUN, "ELF", t.file("short", good[:n]))
    static = te.tiny()
    for name, (at, size) in te.EHDR_AT.items():
        if name == "ident":
            variants = [(f"ident[{k}]={v}", te.patch(static, k, 1, v)) for k in range(4, 16) for v in (0, 1, 2, 255)]
        else:
            variants = [(f"{name}={v:#x}", te.patch(static, at, size, v)) for v in HOSTILE if v < 1 << 8 * size]
        t.all_survive(f"file header field {name}", variants)
    phdrs = (static[te.EHDR_AT["phnum"][0]])
    for name, (at, size) in te.PHDR_AT.items():
        variants = [(f"segment {k} {name}={v:#x}", te.patch(static, te.EHDR_SIZE + k * te.PHDR_SIZE + at, size, v))
                    for k in range(phdrs) for v in HOSTILE if v < 1 << 8 * size]
        t.all_survive(f"program header field {name}", variants)
    pie = te.patch(static, *te.EHDR_AT["type"], 3)
    variants = [(f"segment {k} {name}={v:#x}", te.patch(pie, te.EHDR_SIZE + k * te.PHDR_SIZE + te.PHDR_AT[name][0], 8, v))
                for k in (0, 1) for name in ("vaddr", "filesz", "memsz", "offset") for v in HOSTILE]
    t.all_survive("position-independent program's segments", variants)


def check_segments(t):
    """Program headers that are whole but make no sense: one change each to the first, unless it says otherwise."""
    def damaged(name, pattern, phdrs=(0,), **fields):
        data = te.tiny()
        for k in phdrs:
            for field, value in fields.items():
                at, size = te.PHDR_AT[field]
                data = te.patch(data, te.EHDR_SIZE + k * te.PHDR_SIZE + at, size, value)
        t.fails(name, NOT_RUN, pattern, t.file("segment", data))

    for n in (0, 60000):
        t.fails(f"{n} segments", NOT_RUN, "damaged", t.file("segment", te.patch(te.tiny(), *te.EHDR_AT["phnum"], n)))
    damaged("nothing to load", "damaged", (0, 1), type=6)
    damaged("segment beyond the file's end", "truncated", filesz=0x5000, memsz=0x5000)
    damaged("segment at the top", "damaged", vaddr=0xFFFFFFFFFFFFF000, memsz=0x2000)
    damaged("more file than memory", "damaged", memsz=0x10)
    damaged("segment not aligned", "damaged", offset=0x10, filesz=0x10, memsz=0x10)
    damaged("segment at address 0", "cannot be placed", vaddr=0)
    damaged("segment over dragoman's own memory", "cannot be placed", vaddr=0x700000000000, memsz=0xFFFFFF00000)


def check_interp(t):
    lost = r"/lib/ld-nonesuch\.so.*sysroot create.*-L"
    t.fails("missing interpreter", NOT_RUN, lost, t.file("dyn", te.tiny(interp="/lib/ld-nonesuch.so")))
    root = os.path.join(t.tmp, "root")
    os.makedirs(root + "/lib/dir")
    t.fails("missing interpreter in a sysroot", NOT_RUN, re.escape(root), "-L", root, "./dyn")
    t.fails("interpreter is a directory", NOT_RUN, "/lib/dir", "-L", root, t.file("dyn2", te.tiny(interp="/lib/dir")))
    t.fails("interpreter is empty", NOT_RUN, "empty", t.file("dyn3", te.tiny(interp=t.file("empty.so", b""))))
    t.fails("interpreter for the host", NOT_RUN, "x86-64", t.file("dyn4", te.tiny(interp=os.path.realpath("/bin/sh"))))
    t.fails("interpreter of 32 bits", NOT_RUN, "32-bit",
            t.file("dyn5", te.tiny(interp=t.file("ld32.so", te.tiny(elf_class=1)))))
    t.fails("interpreter is truncated", NOT_RUN, "truncated",
            t.file("dyn6", te.tiny(interp=t.file("ldt.so", te.tiny()[:100]))))
    for what, change in (("name of length 0", ("filesz", 0)), ("name too long", ("filesz", 1 << 40)),
                         ("name out of the file", ("offset", 1 << 62)), ("name without an end", ("filesz", 4))):
        at, size = te.PHDR_AT[change[0]]
        data = te.patch(te.tiny(interp="/lib/x"), te.EHDR_SIZE + 3 * te.PHDR_SIZE + at, size, change[1])
        t.fails(f"interpreter {what}", NOT_RUN, "interpreter name", t.file("dyn7", data))


def check_library(t, guest, libdir):
    """The guest's own dynamic linker reports what is missing, and its status is dragoman's."""
    root = os.path.join(t.tmp, "half")
    os.makedirs(root + "/lib")
    os.makedirs(root + "/usr/lib")
    shutil.copy(os.path.join(libdir, "ld-linux-aarch64.so.1"), root + "/lib/")
    got, _, err = t.run("-L", root, guest)
    why = "" if got == 127 and re.search(r"error while loading shared libraries: libc\.so\.6: cannot open", err) else repr((got, err))
    t.report("missing shared library", why)


def check_options(t):
    good = "./good"
    u = lambda name, pattern, *args: t.fails(name, USAGE, pattern, *args)
    t.file("good", te.tiny())
    u("no program", "no program given")
    u("run without a program", "no program given", "run")
    u("options but no program", "no program given", "--stats")
    u("-- without a program", "no program given", "--")
    u("unknown long option", "unknown option '--frobnicate'", "--frobnicate", good)
    u("unknown long option with a value", "unknown option '--frob'", "--frob=1", good)
    u("unknown letter", "unknown option '-z'", "-z", good)
    u("unknown letter after a good one", "unknown option '-z'", "-sz", good)
    for opt in ("--sysroot", "-L", "--env", "-E", "--unset", "-U", "--argv0", "-0", "--cpu", "--engine", "--log", "--log-pc",
                "--opt", "--opt-limit", "--jit-limit", "--cache-size", "--host-cpu"):
        u(f"{opt} without its argument", "needs an argument", opt)
    for opt in ("--strace", "--check", "--one-insn", "--no-chain", "--no-ret-predict"):
        u(f"{opt} with an argument", "takes no argument", opt + "=1", good)
    for opt, pattern in (("--engine=foo", "foo"), ("--engine=", "engine"), ("--cache-size=0", "1024"), ("--cache-size=abc", "abc"),
                         ("--cache-size=99999999", "1024"), ("--cache-size=-1", "-1"), ("--cache-size= -1", "-1"),
                         ("--cache-size=12x", "12x"), ("--cache-size=", "cache-size"), ("--cpu=nonsense", "nonsense"),
                         ("--cpu=max,-nonsense", "nonsense"), ("--cpu=", "cpu"), ("--log=nonsense", "nonsense"),
                         ("--log=in,nonsense", "nonsense"), ("--log=", "log"), ("--log=in:", "log"), ("--log-pc=garbage", "garbage"),
                         ("--log-pc=5..", r"5\.\."), ("--log-pc=9..3", r"9\.\.3"), ("--log-pc=-5", "-5"), ("--log-pc=", "log-pc"),
                         ("--opt=nonsense", "nonsense"), ("--opt=-nonsense", "nonsense"), ("--opt-limit=x", "x"),
                         ("--jit-limit=x", "x"), ("--jit-limit=99999999999999999999999", "9999"),
                         ("--host-cpu=nonsense", "nonsense"), ("--stats=cold", "cold"), ("--stats=", "--stats"),
                         ("-Enothing", "nothing"), ("-E=x", "=x"), ("-UA=B", "A=B"),
                         ("-U=", "="), ("--sysroot=/no/such", "/no/such"), ("--sysroot=", "-L"), ("--sysroot=./good", "-L")):
        u(opt, pattern, opt, good)
    t.fails("log file that cannot be written", HOST, "/no/such/dir", "--log=in:/no/such/dir/file", good)


def check_sysroot(t):
    u = lambda name, pattern, *args: t.fails("sysroot " + name, USAGE, pattern, "sysroot", *args)
    u("without an action", "create, add, remove or list")
    u("unknown action", "frob", "frob")
    u("unknown option", "--frob", "--frob", "list")
    u("create without packages", "package", "create", "./x")
    u("add without packages", "package", "add", "./x")
    u("remove without packages", "package", "remove", "./x")
    u("list with packages", "list", "list", "./x", "bash")
    u("--arch without its argument", "--arch", "create", "./x", "--arch")
    u("unknown architecture", "vax", "create", "./x", "--arch", "vax", "bash")
    u("two directories", "two directories", "create", "./x", "./y", "bash")
    t.fails("sysroot list of nothing", HOST, "nowhere", "sysroot", "list", "./nowhere")
    t.fails("sysroot add to nothing", HOST, "nowhere", "sysroot", "add", "./nowhere", "bash")
    t.fails("sysroot remove from nothing", HOST, "nowhere", "sysroot", "remove", "./nowhere", "bash")
    t.fails("sysroot below a file", HOST, "good", "sysroot", "create", "./good/x", "bash")


def check_dev(t):
    u = lambda name, pattern, *args: t.fails("dev " + name, USAGE, pattern, "dev", *args)
    u("without a stage", "usage")
    u("unknown stage", "usage", "frob", "91000420")
    u("without words", "no instruction", "lift")
    u("bad word", "xyz", "lift", "xyz")
    u("word too wide", "123456789", "lift", "123456789")
    u("bad feature", "nonsense", "lift", "--cpu=nonsense", "91000420")
    u("damaged IR", "dragoman: .", "opt", t.file("ir.txt", b"block0:\n  nonsense here\n"))
    u("directory", "dragoman: .", "lift", t.tmp)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as tmp:
        t = Tests(os.path.realpath(sys.argv[1]), os.path.realpath(tmp))
        for check in (check_files, check_scripts, check_isa, check_damage, check_segments, check_interp, check_options,
                      check_sysroot, check_dev):
            check(t)
        if len(sys.argv) > 3:
            check_library(t, os.path.realpath(sys.argv[2]), sys.argv[3])
    print(f"1..{t.n}")
    return 1 if t.bad else 0


if __name__ == "__main__":
    sys.exit(main())
