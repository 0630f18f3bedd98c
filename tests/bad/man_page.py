#!/usr/bin/env python3
"""docs/dragoman.1: every option of options.def is in it, and groff or mandoc, where there is one, formats it without a word.

usage: man_page.py SOURCE_ROOT
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = sys.argv[1]
PAGE = os.path.join(ROOT, "docs", "dragoman.1")


def main():
    with open(PAGE, encoding="utf-8") as f:
        text = re.sub(r"\\f.", "", f.read()).replace("\\-", "-")
    with open(os.path.join(ROOT, "src", "cmd", "options.def"), encoding="utf-8") as f:
        options = re.findall(r'^OPT\([^,]*, "([^"]+)"', f.read(), re.M)
    missing = [o for o in options if not re.search(r"--" + o + r"(?![\w-])", text)]
    bad = bool(missing or not options)
    print(f"{'not ok' if bad else 'ok'} 1 - every option")
    for o in missing:
        print(f"# --{o} is not in docs/dragoman.1")
    tools = [("groff", ["groff", "-man", "-Tutf8", "-ww", PAGE]), ("mandoc", ["mandoc", "-Tlint", "-Wwarning", PAGE])]
    for n, (tool, cmd) in enumerate(tools, 2):
        if not shutil.which(tool):
            print(f"ok {n} # SKIP no {tool}")
            continue
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        said = (p.stderr + (p.stdout if tool == "mandoc" else b"")).decode(errors="replace")
        print(f"{'not ok' if said else 'ok'} {n} - {tool} formats it")
        for line in said.splitlines():
            print("#", line)
        bad = bad or bool(said)
    print(f"1..{len(tools) + 1}")
    return bad


if __name__ == "__main__":
    sys.exit(main())
