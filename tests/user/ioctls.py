#!/usr/bin/env python3
"""spec/ioctls.tbl against the kernel's headers: every request has the same number, and so the same structure size, for the guest's
compiler and the host's; and what the generator must refuse.

usage: ioctls.py SOURCE_ROOT [COMPILER...]
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT, COMPILERS = sys.argv[1], sys.argv[2:]
sys.path += [os.path.join(ROOT, "scripts"), os.path.join(ROOT, "tests")]
import gen_ioctls  # noqa: E402
from tap import check, finish  # noqa: E402

BEFORE = ["stddef.h", "stdint.h", "time.h", "sys/types.h", "sys/socket.h", "net/if.h", "linux/types.h", "sys/ioctl.h", "termios.h"]


def compile_text(cc, text):
    return subprocess.run([cc, "-D_GNU_SOURCE", "-w", "-fsyntax-only", "-xc", "-"], input=text, capture_output=True, text=True,
                          check=False)


def wrong_requests(cc, header, requests):
    """Names whose number is another there; None when the header is missing."""
    text = "".join(f"#include <{h}>\n" for h in BEFORE + [header]) + "".join(f'#ifdef {name}\n_Static_assert((unsigned)({name}) == {number:#x}u, "{name}");\n#endif\n'
                          for number, name, _, _, _ in requests)
    errors = compile_text(cc, text).stderr
    wrong = re.findall(r'static assertion failed: "(\w+)"', errors)
    return None if "error" in errors and not wrong else wrong


def main():
    requests, refused = gen_ioctls.read_spec(os.path.join(ROOT, "spec/ioctls.tbl"))
    check(len(requests) > 500 and refused, "hundreds of requests", len(requests))
    headers = sorted({r[4] for r in requests})
    for cc in COMPILERS:
        found, wrong = 0, []
        for h in headers:
            w = wrong_requests(cc, h, [r for r in requests if r[4] == h])
            found += w is not None
            wrong += w or []
        check(not wrong and found > len(headers) // 2, f"numbers as {cc} has them", (found, wrong))
    for name, line in (("a request twice", "0x1 A none\n0x1 B none"), ("an unknown kind", "0x1 A what"), ("no name", "0x1")):
        with tempfile.TemporaryDirectory() as d:
            spec = os.path.join(d, "t.tbl")
            with open(spec, "w", encoding="utf-8") as f:
                f.write(line + "\n")
            r = subprocess.run([sys.executable, os.path.join(ROOT, "scripts/gen_ioctls.py"), spec, os.path.join(d, "c")],
                               capture_output=True, check=False)
        check(r.returncode != 0, f"refuses {name}")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
