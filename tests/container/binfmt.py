#!/usr/bin/env python3
"""dragoman binfmt, in a user and mount namespace of its own: the machine's table of program formats is not touched.

usage: binfmt.py DRAGOMAN DRAGOMAN_STATIC GUEST
Skipped where the kernel has no binfmt_misc for each user namespace (before Linux 6.7).
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap  # noqa: E402

DRAGOMAN, STATIC, GUEST = map(os.path.realpath, sys.argv[1:4])
TABLE = "/proc/sys/fs/binfmt_misc"


def run(*cmd, **kw):
    env = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": "/dev/null", **kw.pop("env", {})}
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60, check=False,
                       env=env, **kw)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def check(name, got, want):
    tap.check(want(got) if callable(want) else got == want, name, repr(got))


def enter():
    """A namespace where this user is root, with a table of its own. False where that cannot be had."""
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
    except AttributeError:  # Python before 3.12: by way of unshare(1)
        if os.environ.get("BINFMT_INSIDE") != "1":
            os.environ["BINFMT_INSIDE"] = "1"
            os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", sys.executable] + sys.argv)
    except OSError:
        return False
    return subprocess.run(["mount", "-t", "binfmt_misc", "none", TABLE], stderr=subprocess.DEVNULL, check=False).returncode == 0


def started_by_kernel(tmp):
    rc, out, _ = run("called", "a b", "", executable=GUEST)
    check("a program starts by itself, with its own argv[0]", (rc, out), (7, "called|a b| secure 0 next fd 3\n"))
    rc, out, err = run(GUEST, env={"DRAGOMAN_OPTIONS": "--strace --tier2=off"})
    check("options from the environment", (rc, "exit_group(7" in err), (7, True))
    rc, _, err = run(GUEST, env={"DRAGOMAN_OPTIONS": "--no-such"})
    check("a bad option there", (rc, err), (2, "dragoman: unknown option '--no-such' (see dragoman --help)\n"))
    root = os.path.join(tmp, "root")
    os.mkdir(root)
    shutil.copy(GUEST, os.path.join(root, "guest"))
    rc, out, err = run("/guest", "again", "/guest", executable="/guest", preexec_fn=lambda: os.chroot(root), cwd="/")
    check("in a chroot that holds nothing else it starts itself again", (rc, out),
          (7, "second|/guest secure 0 next fd 3\nstatus 7\n/guest|again|/guest secure 0 next fd 3\n"))


def main():
    if not enter():
        print("1..0 # SKIP no binfmt_misc in user namespaces here")
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        boot = os.path.join(tmp, "boot")
        os.mkdir(boot)
        has_boot = os.path.isdir("/etc/binfmt.d") and subprocess.run(["mount", "--bind", boot, "/etc/binfmt.d"], check=False).returncode == 0
        check("nothing there at first", run(DRAGOMAN, "binfmt", "status"), lambda r: r[0] == 1 and "not installed" in r[1])
        check("a dynamic program is refused", run(DRAGOMAN, "binfmt", "install", DRAGOMAN),
              lambda r: r[0] == 2 and "not a static program" in r[2] and r[2].count("\n") == 1)
        check("a missing one too", run(DRAGOMAN, "binfmt", "install", tmp + "/none"), lambda r: r[0] == 125 and r[2].count("\n") == 1)
        check("an unknown word", run(DRAGOMAN, "binfmt", "instal")[0], 2)
        check("install", run(DRAGOMAN, "binfmt", "install", STATIC), lambda r: r[0] == 0 and STATIC in r[1])
        if has_boot:
            check("registered for the next start of the machine", os.listdir(boot), ["dragoman-aarch64.conf"])
        check("status", run(DRAGOMAN, "binfmt", "status"), lambda r: r[0] == 0 and "flags: POCF" in r[1])
        check("installing again is no error", run(DRAGOMAN, "binfmt", "install", STATIC)[0], 0)
        started_by_kernel(tmp)
        check("remove", run(DRAGOMAN, "binfmt", "remove")[0], 0)
        if has_boot:
            check("nothing left behind", os.listdir(boot), [])
            subprocess.run(["umount", "/etc/binfmt.d"], check=False)
        try:
            run(GUEST)
            check("programs no longer start", "started", "refused")
        except OSError as e:
            check("programs no longer start", e.errno, 8)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
