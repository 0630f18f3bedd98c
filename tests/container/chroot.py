#!/usr/bin/env python3
"""A Debian arm64 system made by debootstrap and used in a chroot, its programs started by the kernel under dragoman: TAP.

usage: chroot.py DRAGOMAN BUILD_DIR
Root only, and it needs the network and debootstrap; otherwise skipped. The tree stays in BUILD_DIR/test-chroot until it has
all passed; the machine's table of program formats is left as it was.
"""
import os
import shutil
import signal
import subprocess
import sys

DRAGOMAN, BUILD = sys.argv[1:3]
TREE = os.path.join(BUILD, "test-chroot")
ENTRY = "/proc/sys/fs/binfmt_misc/dragoman-aarch64"

CONTROL = """Source: dragoman-greets
Maintainer: Nobody <nobody@example.org>
Standards-Version: 4.6.0
Build-Depends: debhelper-compat (= 13)

Package: dragoman-greets
Architecture: any
Depends: ${shlibs:Depends}, ${misc:Depends}
Description: a program that says where it runs
"""
CHANGELOG = """dragoman-greets (1.0) unstable; urgency=low

  * First.

 -- Nobody <nobody@example.org>  Sun, 01 Nov 2026 12:00:00 +0000
"""
MAKEFILE = """greets: greets.c
\t$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<
install: greets
\tinstall -D greets $(DESTDIR)/usr/bin/greets
clean:
\trm -f greets
"""
PROGRAM = """#include <stdio.h>
#include <sys/utsname.h>
int main(void) { struct utsname u; return uname(&u) || printf("greetings from %s\\n", u.machine) < 0; }
"""
FILES = {"debian/control": CONTROL, "debian/changelog": CHANGELOG, "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
         "debian/source/format": "3.0 (native)\n", "Makefile": MAKEFILE, "greets.c": PROGRAM}


def call(name, cmd, limit, want=""):
    """Run; returns whether it exits 0 and prints `want`, else shows its last lines."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=limit, check=False, env=env)
        text, good = p.stdout.decode(errors="replace"), p.returncode == 0
    except subprocess.TimeoutExpired as e:
        text, good = (e.stdout or b"").decode(errors="replace") + "\ntime is up", False
    good = good and want in text
    if not good:
        for line in text.splitlines()[-12:]:
            print("#", line)
    return good


def in_tree(*cmd):
    return ["chroot", TREE, *cmd]


def copy_settings():
    """What apt needs of this machine to reach the packages."""
    for path in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/apt/apt.conf"):
        if os.path.exists(path):
            os.makedirs(os.path.dirname(TREE + path), exist_ok=True)
            shutil.copy(path, TREE + path)
    for path in ("/etc/apt/apt.conf.d", "/etc/apt/sources.list.d"):
        if os.path.isdir(path):
            shutil.copytree(path, TREE + path, dirs_exist_ok=True)
    return True


def make_package():
    for name, text in FILES.items():
        path = os.path.join(TREE, "root", "greets", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    os.chmod(os.path.join(TREE, "root", "greets", "debian", "rules"), 0o755)
    return True


STEPS = [
    ("debootstrap --foreign", lambda n: call(n, ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", "bookworm", TREE], 900)),
    ("debootstrap's second stage", lambda n: call(n, in_tree("/debootstrap/debootstrap", "--second-stage"), 1200)),
    ("settings of apt", lambda n: copy_settings()),
    ("/proc", lambda n: call(n, ["mount", "-t", "proc", "proc", TREE + "/proc"], 10)),
    ("apt-get update", lambda n: call(n, in_tree("apt-get", "update"), 300)),
    ("apt-get install build-essential", lambda n: call(n, in_tree(
        "apt-get", "install", "-y", "--no-install-recommends", "build-essential", "debhelper", "fakeroot"), 1800)),
    ("a package's source", lambda n: make_package()),
    ("dpkg-buildpackage", lambda n: call(n, in_tree("sh", "-c", "cd /root/greets && dpkg-buildpackage -us -uc -b"), 900)),
    ("the package installs and runs", lambda n: call(n, in_tree(
        "sh", "-c", "dpkg -i /root/dragoman-greets_1.0_arm64.deb && greets"), 120, "greetings from aarch64")),
    ("rights of a set-user-ID program", lambda n: call(n, in_tree(
        "sh", "-c", "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && setpriv --reuid=1000 --regid=1000 --clear-groups /tmp/id"), 30,
        "euid=0(root)")),
]


def main():
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        print("1..0 # SKIP needs root and debootstrap")
        return 0
    if os.path.exists(ENTRY):
        print("1..0 # SKIP dragoman is in the kernel's table already")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # out of time: what is in the kernel's table is still removed
    shutil.rmtree(TREE, ignore_errors=True)
    good = call("install", [DRAGOMAN, "binfmt", "install"], 30)
    boot_file = "/etc/binfmt.d/dragoman-aarch64.conf"
    done = 0
    try:
        for name, step in STEPS if good else []:
            good = step(name)
            done += 1
            print(f"{'ok' if good else 'not ok'} {done} - {name}", flush=True)
            if not good:
                break
    finally:
        for mounted in ("/sys", "/proc"):  # debootstrap leaves its own behind when it fails
            subprocess.run(["umount", TREE + mounted], stderr=subprocess.DEVNULL, check=False)
        good = call("remove", [DRAGOMAN, "binfmt", "remove"], 30) and not os.path.exists(boot_file) and good
    print(f"{'ok' if good else 'not ok'} {done + 1} - all of it, and nothing left in the kernel's table")
    print(f"1..{done + 1}")
    if good:
        shutil.rmtree(TREE)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
