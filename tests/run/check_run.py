#!/usr/bin/env python3
"""Run a command; compare its exit status and standard output.

usage: check_run.py STATUS OUTPUT COMMAND...    (OUTPUT: text with \\n escapes)
RUN_TIMEOUT in the environment: seconds that it may take, 280 when it is not set
"""
import os
import subprocess
import sys

status, output, command = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape"), sys.argv[3:]
p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=float(os.environ.get("RUN_TIMEOUT", "280")))
got = p.stdout.decode("utf-8", "replace")
if p.returncode != status or got != output:
    print(f"command: {' '.join(command)}")
    print(f"exit status {p.returncode}, expected {status}")
    print(f"stdout {got!r}, expected {output!r}")
    print(p.stderr.decode("utf-8", "replace")[-4000:])
    sys.exit(1)
