#!/usr/bin/env python3
"""spec/syscalls.tbl against the kernel's own headers, where they are installed; and what the generator must refuse.

usage: table.py SOURCE_ROOT
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = sys.argv[1]
sys.path += [os.path.join(ROOT, "scripts"), os.path.join(ROOT, "tests")]
import gen_syscalls  # noqa: E402
from tap import check, finish  # noqa: E402


def header(path, pattern):
    try:
        with open(path, encoding="utf-8") as f:
            return {m[0]: int(m[1]) for m in re.findall(pattern, f.read())}
    except OSError:
        return {}


def main():
    calls, _, _, _ = gen_syscalls.read_spec(os.path.join(ROOT, "spec/syscalls.tbl"))
    ours = {c["name"]: c["numbers"] for c in calls}
    generic = header("/usr/include/asm-generic/unistd.h", r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)")
    generic = {("newfstatat" if n == "fstatat" else n): v for n, v in generic.items() if not n.endswith(("time64", "64_time")) and
               n not in ("arch_specific_syscall", "syscalls", "sync_file_range2") and not (403 <= v <= 423)}
    wrong = [f"{n} {v}" for n, v in generic.items() if v <= 462 and ours.get(n, [None])[0] != v]
    check(not wrong, "every generic number", wrong)
    x86 = header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)")
    wrong = [n for n, v in x86.items() if n in ours and ours[n][1] != v]
    check(not wrong, "every x86-64 number", wrong)
    check(len(calls) >= 300, "all of them", len(calls))
    for name, line in (("an unknown kind", "500 500 x pass a:nonsense"), ("an unknown handler", "500 500 x maybe"),
                       ("a size that is no argument", "500 500 x pass a:out[b]"), ("seven arguments", "500 500 x pass" + " a:int" * 7)):
        with tempfile.TemporaryDirectory() as d:
            spec = os.path.join(d, "t.tbl")
            with open(spec, "w", encoding="utf-8") as f:
                f.write(line + "\n")
            r = subprocess.run([sys.executable, os.path.join(ROOT, "scripts/gen_syscalls.py"), spec, "x86_64",
                                os.path.join(d, "h"), os.path.join(d, "c")], capture_output=True, check=False)
        check(r.returncode != 0, f"refuses {name}")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
