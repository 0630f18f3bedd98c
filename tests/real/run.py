#!/usr/bin/env python3
"""Real arm64 programs from Debian packages under dragoman: TAP, one line a case.

usage: tests/real/run.py DRAGOMAN BUILD_DIR short|long|NAME...   (SYSROOT=DIR uses an existing tree;
NATIVE=1 runs the cases with the host's own programs, to check what they expect, and with UPDATE=1 to write it)

Each case is a shell script run by the sysroot's bash under dragoman (cases.sh), in an empty directory; it passes when it
exits 0 and prints what its `#=` lines say. `short` are the cases marked so; a NAME picks single cases. A case marked fetch=X
finds what get_X has fetched in the directory $FETCHED.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
SHORT_PACKAGES = "bash coreutils findutils sed gawk perl python3 sqlite3 xz-utils zstd".split()
LONG_PACKAGES = SHORT_PACKAGES + ("git gcc make libc6-dev openssl p7zip-full tar libpython3.11-testsuite file procps "
                                  "diffutils bzip2").split()


def read_cases(path):
    """cases.sh: `### name [short] [timeout=N] [fetch=X]` starts a case; `#= text` lines are its expected output."""
    cases = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"### (\S+)(.*)", line)
            if m:
                opts = m.group(2).split()
                value = dict(o.split("=") for o in opts if "=" in o)
                cases.append({"name": m.group(1), "short": "short" in opts, "limit": int(value.get("timeout", 120)),
                              "fetch": value.get("fetch"), "script": [], "expect": []})
            elif cases and line.startswith("#= "):
                cases[-1]["expect"].append(line[3:])
            elif cases:
                cases[-1]["script"].append(line)
    return cases


def update(path, results):
    """UPDATE=1: rewrite the expectations from what was printed."""
    out, name = [], None
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"### (\S+)", line)
            if m:
                name = m.group(1)
            if line.startswith("#= ") and name in results:
                if results[name] is not None:
                    out += ["#= " + text + "\n" for text in results[name].splitlines()]
                    results[name] = None
                continue
            out.append(line)
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(out)


def fetch(case, build):
    """What the case needs beside the packages; None when it cannot be had."""
    if not case["fetch"]:
        return ""
    path = os.path.join(build, "test-" + case["fetch"])
    p = subprocess.run([os.path.join(HERE, "get_" + case["fetch"]), path], stdout=sys.stderr, check=False)
    return path if p.returncode == 0 else None


def run_case(case, dragoman, sysroot, fetched):
    if fetched is None:
        return "what it needs could not be fetched", "", ""
    with tempfile.TemporaryDirectory() as tmp:
        env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": tmp, "LC_ALL": "C.UTF-8", "TMPDIR": tmp, "REAL": HERE,
               "DRAGOMAN": dragoman, "SYSROOT": sysroot, "FETCHED": fetched}
        script = "set -eu\n" + "".join(case["script"])
        cmd = [dragoman, "run", "-L", sysroot, *os.environ.get("DRAGOMAN_ARGS", "").split(), f"{sysroot}/bin/bash", "-c", script]
        if os.environ.get("NATIVE"):
            cmd = ["/bin/bash", "-c", script]
        p = subprocess.Popen(cmd, cwd=tmp, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
        late = False
        try:
            out, err = p.communicate(timeout=case["limit"])
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(p.pid, signal.SIGKILL)  # what the shell has started, too
            out, err = p.communicate()
    out, err = out.decode(errors="replace"), err.decode(errors="replace")
    if late:
        return f"no end after {case['limit']} s", out, err
    if p.returncode != 0:
        return f"exit status {p.returncode}", out, err
    if case["expect"] and out != "".join(case["expect"]):
        return "output differs", out, err
    return None, out, err


def sysroot_for(dragoman, build, packages, kind):
    if os.environ.get("SYSROOT"):
        return os.environ["SYSROOT"]
    path = os.path.join(build, f"test-sysroot-{kind}")
    stamp = os.path.join(path, "complete")
    if not os.path.exists(stamp):
        subprocess.run([dragoman, "sysroot", "create", path, "--arch", "arm64", *packages], check=True, stdout=sys.stderr)
        with open(stamp, "w", encoding="utf-8"):
            pass
    return path


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    dragoman, build, names = os.path.realpath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    cases = read_cases(os.path.join(HERE, "cases.sh"))
    if names == ["short"]:
        cases = [c for c in cases if c["short"]]
    elif names != ["long"]:
        cases = [c for c in cases if any(re.fullmatch(n, c["name"]) for n in names)]
    short_only = all(c["short"] for c in cases)
    if not shutil.which("apt-get"):
        print("1..0 # SKIP no apt-get")
        return 0
    sysroot = sysroot_for(dragoman, build, SHORT_PACKAGES if short_only else LONG_PACKAGES, "short" if short_only else "long")
    print(f"1..{len(cases)}", flush=True)
    bad, results = 0, {}
    for n, case in enumerate(cases, 1):
        start = time.monotonic()
        why, out, err = run_case(case, dragoman, sysroot, fetch(case, os.path.abspath(build)))
        bad += why is not None
        if case["expect"]:
            results[case["name"]] = out
        print(f"{'not ' if why else ''}ok {n} - {case['name']} # {time.monotonic() - start:.1f} s", flush=True)
        if why:
            for line in [why, *out.splitlines()[-8:], *err.splitlines()[-12:]]:
                print("#", line[:300])
            sys.stdout.flush()
    if os.environ.get("UPDATE"):
        update(os.path.join(HERE, "cases.sh"), results)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
