#!/usr/bin/env python3
"""Files that cannot be run: one line on stderr says why, and the exit status is the documented one.

usage: errors.py DRAGOMAN
"""
import os
import struct
import subprocess
import sys
import tempfile

DRAGOMAN = sys.argv[1]
count = bad = 0


def elf(machine=183, kind=2, phnum=1, segments=None, cut=None, wide=2):
    """A minimal ELF file."""
    segments = segments if segments is not None else [(1, 5, 0, 0x400000, 0x1000, 0x1000)]
    head = b"\x7fELF" + bytes([wide, 1, 1]) + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0x400100, 64, 0, 0, 64, 56, phnum, 64, 0, 0)
    for t, flags, off, va, filesz, memsz in segments:
        head += struct.pack("<IIQQQQQQ", t, flags, off, va, va, filesz, memsz, 4096)
    data = head.ljust(0x1000, b"\0")
    return data if cut is None else data[:cut]


def check(name, data, status, text, mode=0o755, args=()):
    global count, bad
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "program")
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
            os.chmod(path, mode)
        r = subprocess.run([DRAGOMAN, *args, path], capture_output=True, text=True, timeout=60, check=False)
    lines = r.stderr.strip().splitlines()
    ok = r.returncode == status and len(lines) == 1 and text in lines[0]
    count += 1
    bad += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {name}")
    if not ok:
        print(f"# status {r.returncode}, wanted {status}; stderr: {r.stderr!r}, wanted '{text}'")


check("missing", None, 127, "no such file")
check("empty", b"", 126, "empty file")
check("text", b"hello, world", 126, "not an ELF file")
check("short", b"\x7fELF\2", 126, "truncated")
check("half a header", elf(cut=40), 126, "truncated")
check("no program headers", elf(cut=64), 126, "truncated")
check("segment beyond the end", elf(segments=[(1, 5, 0, 0x400000, 0x5000, 0x5000)]), 126, "truncated")
check("x86-64", elf(machine=62), 126, "x86-64")
check("RISC-V", elf(machine=243), 126, "RISC-V")
check("32-bit Arm", elf(machine=40, wide=1), 126, "32-bit Arm")
check("object file", elf(kind=1), 126, "object file")
check("core dump", elf(kind=4), 126, "core dump")
check("no segments", elf(phnum=0), 126, "damaged")
check("too many segments", elf(phnum=60000), 126, "damaged")
check("nothing to load", elf(segments=[(6, 5, 0, 0, 0, 0)]), 126, "damaged")
check("segment at the top", elf(segments=[(1, 5, 0, 0xfffffffffffff000, 0x1000, 0x2000)]), 126, "damaged")
check("more file than memory", elf(segments=[(1, 5, 0, 0x400000, 0x1000, 0x10)]), 126, "damaged")
check("not aligned", elf(segments=[(1, 5, 0x10, 0x400000, 0x100, 0x100)]), 126, "damaged")
check("address zero", elf(segments=[(1, 5, 0, 0, 0x1000, 0x1000)]), 126, "cannot be placed")
check("over dragoman's own memory", elf(segments=[(1, 5, 0, 0x700000000000, 0x1000, 0xffffff00000)]), 126, "cannot be placed")
interp = bytearray(elf(phnum=2, segments=[(1, 5, 0, 0x400000, 0x1000, 0x1000), (3, 4, 0x800, 0x400800, 24, 24)]))
interp[0x800:0x800 + 24] = b"/lib/no-such-ld-linux.so"[:23] + b"\0"
check("missing interpreter", bytes(interp), 126, "sysroot")
interp[0x800:0x800 + 24] = b"x" * 24
check("interpreter without an end", bytes(interp), 126, "damaged")
check("not executable", elf(), 126, "not executable", mode=0o644)
check("script without interpreter", b"#!\n", 126, "interpreter")
check("script of a missing one", b"#!/no/such/thing\n", 127, "no such file")
check("no sysroot", elf(), 2, "no-such-dir", args=["-L", "/no-such-dir"])
print(f"1..{count}")
sys.exit(bad != 0)
