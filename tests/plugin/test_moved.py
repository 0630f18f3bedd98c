#!/usr/bin/env python3
"""Relative names in options, when the guest changes directory and executes another program: found from where dragoman started.

usage: test_moved.py DRAGOMAN MOVED PROBE    (TAP on standard output)
MOVED is moved.c, linked dynamically, PROBE probe.c.
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

dragoman, moved, probe = map(os.path.abspath, sys.argv[1:])


def run(here, away, *options):
    """In `here`; the guest goes to `away`. What it and dragoman print."""
    p = subprocess.run([dragoman, "run", "-L", "root", *options, moved, away], cwd=here, capture_output=True, text=True,
                       check=False)
    check(p.returncode == 0 and p.stdout == "moved\n", f"{' '.join(options) or 'no option'}: runs", p.stderr)
    return p.stderr


def main():
    with tempfile.TemporaryDirectory() as tmp:
        here, away = os.path.join(tmp, "here"), os.path.join(tmp, "away")
        os.mkdir(here)
        os.mkdir(away)
        os.symlink("/usr/aarch64-linux-gnu", os.path.join(here, "root"))
        shutil.copy(probe, os.path.join(here, "probe.so"))
        run(here, away)
        run(here, away, "--log=sys,load,mm,thread:log")
        with open(os.path.join(here, "log"), encoding="utf-8") as f:
            text = f.read()
        check(all(text.count(x) == n for x, n in {"chdir(": 1, "load: vDSO": 2, "moved at": 2, "thread ": 1}.items()) and
              "mm: map 0x" in text, "the log has both programs", text[:2000])
        run(here, away, "--tool=count,out=counts")
        run(here, away, "--tool=callgrind")
        run(here, away, "--perf=jitdump")
        names = sorted(os.listdir(here))
        check("counts" in names and sum(n.startswith("callgrind.out.") for n in names) == 1 and
              sum(n.startswith("jit-") for n in names) == 1, "files of tools", names)
        err = run(here, away, "--plugin=./probe.so,mode=both")
        check(err.count("insns ") == 2, "a plugin in both programs", err)
        check(os.listdir(away) == [], "nothing where the guest went", os.listdir(away))
    return finish()


sys.exit(main())
