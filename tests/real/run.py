#!/usr/bin/env python3
"""Real arm64 programs from Debian packages under dragoman: TAP, one line a case.

usage: tests/real/run.py DRAGOMAN BUILD_DIR short|long|soft [NAME...]   (SYSROOT=DIR uses an existing tree;
NATIVE=1 runs the cases with the host's own programs, to check what they expect, and with UPDATE=1 to write it)

Each case is a shell script run by the sysroot's bash under dragoman, in an empty directory; it passes when it exits 0 and
prints what its `#=` lines say. `short` are those of cases.sh that are marked so, `long` all of them, `soft` those of
tests/soft/cases.sh: servers and language runtimes under load, debuggers. A NAME, a regular expression, picks single cases. A case
marked fetch=X finds what get_X has fetched in the directory $FETCHED. $PORT is a free port of 127.0.0.1; what a case leaves
running is killed.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
SHORT_PACKAGES = "bash coreutils findutils sed gawk perl python3 sqlite3 xz-utils zstd".split()
LONG_PACKAGES = SHORT_PACKAGES + ("git gcc make libc6-dev openssl p7zip-full tar libpython3.11-testsuite file procps "
                                  "diffutils bzip2").split()
SOFT_PACKAGES = SHORT_PACKAGES + ("util-linux procps curl wrk redis-server redis-tools nginx-light postgresql nodejs gcc libc6-dev "
                                  "openjdk-17-jdk-headless golang-go erlang-base ruby php-cli lua5.4 luajit rustc gdb strace stress-ng").split()
SOFT = os.path.join(os.path.dirname(HERE), "soft")
# What can be asked for: the cases, and the packages they need.
SETS = {"short": (os.path.join(HERE, "cases.sh"), SHORT_PACKAGES), "long": (os.path.join(HERE, "cases.sh"), LONG_PACKAGES),
        "soft": (os.path.join(SOFT, "cases.sh"), SOFT_PACKAGES)}


def read_cases(path):
    """`### name [short] [soak] [timeout=N] [fetch=X]` starts a case; `#= text` lines are its expected output. What is before the
    first case is part of all."""
    cases, common = [], []
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"### (\S+)(.*)", line)
            if m:
                opts = m.group(2).split()
                value = dict(o.split("=") for o in opts if "=" in o)
                cases.append({"name": m.group(1), "short": "short" in opts, "soak": "soak" in opts, "limit": int(value.get("timeout", 120)),
                              "fetch": value.get("fetch"), "script": list(common), "expect": []})
            elif cases and line.startswith("#= "):
                cases[-1]["expect"].append(line[3:])
            elif cases:
                cases[-1]["script"].append(line)
            else:
                common.append(line)
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_case(case, dragoman, sysroot, fetched, tmp, **env):
    """Start a case in the directory `tmp`, in a session of its own. Its output goes to files there."""
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": tmp, "LC_ALL": "C.UTF-8", "TMPDIR": tmp, "REAL": HERE, "SOFT": SOFT,
           "DRAGOMAN": dragoman, "SYSROOT": sysroot, "FETCHED": fetched, "PORT": str(free_port()),
           **{k: os.environ[k] for k in ("REQUESTS", "LOAD_SECONDS", "PGBENCH_SECONDS") if k in os.environ}, **env}
    script = "set -eu\n" + "".join(case["script"])
    cmd = [dragoman, "run", "-L", sysroot, *os.environ.get("DRAGOMAN_ARGS", "").split(), f"{sysroot}/bin/bash", "-c", script]
    if os.environ.get("NATIVE"):
        cmd = ["/bin/bash", "-c", script]
    os.chmod(tmp, 0o755)  # for servers that give up root
    os.mkdir(os.path.join(tmp, "work"))
    with open(os.path.join(tmp, "out"), "wb") as out, open(os.path.join(tmp, "err"), "wb") as err:
        return subprocess.Popen(cmd, cwd=os.path.join(tmp, "work"), env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                start_new_session=True)


def end_case(p):
    """Kill what is left of it, and wait until its files are not written to any more."""
    try:
        os.killpg(p.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    p.wait()


def case_result(case, p, tmp):
    """(why it failed or None, output, errors), of a case that has ended; p.returncode is None when it had to be killed."""
    texts = []
    for name in "out", "err":
        with open(os.path.join(tmp, name), errors="replace", encoding="utf-8") as f:
            texts.append(f.read())
    if p.returncode is None or p.returncode == -signal.SIGKILL:
        return f"no end after {case['limit']} s", *texts
    if p.returncode != 0:
        return f"exit status {p.returncode}", *texts
    if case["expect"] and texts[0] != "".join(case["expect"]):
        return "output differs", *texts
    return None, *texts


def run_case(case, dragoman, sysroot, fetched):
    if fetched is None:
        return "what it needs could not be fetched", "", ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        p = start_case(case, dragoman, sysroot, fetched, tmp)
        try:
            p.wait(case["limit"])
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_case(p)
        return case_result(case, p, tmp)


def sysroot_for(dragoman, build, packages, kind):
    if os.environ.get("SYSROOT"):
        return os.environ["SYSROOT"]
    path = os.path.join(build, f"test-sysroot-{kind}")
    stamp, names = os.path.join(path, "complete"), " ".join(packages)
    have = None
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as f:
            have = f.read()
    if have != names:  # it may be of a time when cases needed fewer packages
        how = ["create", path, "--arch", "arm64"] if have is None else ["add", path]
        subprocess.run([dragoman, "sysroot", *how, *packages], check=True, stdout=sys.stderr)
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(names)
    return path


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    dragoman, build, kind, names = os.path.realpath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3], sys.argv[4:]
    if kind not in SETS:
        sys.exit(__doc__)
    path, packages = SETS[kind]
    cases = [c for c in read_cases(path) if kind != "short" or c["short"]]
    if names:
        cases = [c for c in cases if any(re.fullmatch(n, c["name"]) for n in names)]
    if not shutil.which("apt-get"):
        print("1..0 # SKIP no apt-get")
        return 0
    sysroot = sysroot_for(dragoman, build, packages, kind)
    print(f"1..{len(cases)}", flush=True)
    bad, results = 0, {}
    for n, case in enumerate(cases, 1):
        start = time.monotonic()
        why, out, err = run_case(case, dragoman, sysroot, fetch(case, build))
        bad += why is not None
        if case["expect"]:
            results[case["name"]] = out
        print(f"{'not ' if why else ''}ok {n} - {case['name']} # {time.monotonic() - start:.1f} s", flush=True)
        if why:
            for line in [why, *out.splitlines()[-8:], *err.splitlines()[-12:]]:
                print("#", line[:300])
            sys.stdout.flush()
    if os.environ.get("UPDATE"):
        update(path, results)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
