#!/usr/bin/env python3
"""tests/run/wide.c, whose loops spill vectors: the same sums in every engine, with AVX2 and with AVX-512, and with tools that call C code.

usage: wide.py DRAGOMAN WIDE    (TAP on standard output)
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish, skip  # noqa: E402


def run(options):
    return subprocess.run([sys.argv[1], "run", "--cpu=max", *options, sys.argv[2]], capture_output=True, text=True, check=False)


want = run(["--engine=interp"]).stdout
check(want.count("\n") == 24, "the interpreter", want)
modes = [["--tier2=off"], ["--one-insn"], ["--tier2=1"], ["--tier2=20"], ["--tier2=1", "--check"], ["--tier2=1", "--fp-exact"],
         ["--tier2=1", "--engine=interp"], ["--tier2=20", "--tool=count", "--tool=memtrace,out=/dev/null"],
         ["--tier2=1", "--tool=count,insns"], ["--tier2=1", "--tool=memtrace,insns,out=/dev/null"]]
for cpu in ["avx2", "avx512"]:
    for options in modes:
        p = run([*options, "--host-cpu=" + cpu])
        name = " ".join([cpu, *options])
        if "no AVX-512" in p.stderr:
            skip(name, "this processor has no AVX-512")
        else:
            check(p.returncode == 0 and p.stdout == want, name, p.stdout, p.stderr)
sys.exit(finish())
