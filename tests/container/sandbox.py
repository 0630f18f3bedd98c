#!/usr/bin/env python3
"""Programs that make containers, arm64 ones, in a root of their own: bubblewrap with every namespace, as root and as nobody, and
systemd-nspawn. TAP.

usage: sandbox.py DRAGOMAN DRAGOMAN_STATIC BUILD_DIR     (SYSROOT=DIR uses an existing tree)
Root only: the tree is mounted as the root of new namespaces. It needs the network once.
"""
import os
import subprocess
import sys

DRAGOMAN, STATIC, BUILD = (os.path.realpath(a) for a in sys.argv[1:4])
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "real"), os.path.dirname(HERE)]
import run  # noqa: E402
import tap  # noqa: E402

UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
PACKAGES = "bash coreutils util-linux bubblewrap systemd-container".split()
# Make $1 the root, with what a container's program expects to be mounted, and run dragoman's $2 in it.
ENTER = """set -e
mount --make-rprivate /
mount --bind "$1" "$1"; cd "$1"; mkdir -p mnt srv
mount -t proc proc proc; mount -t sysfs none sys; mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none tmp; mount -t tmpfs none srv; mount -t tmpfs none run; mount --rbind /dev dev
pivot_root . mnt
exec "/mnt$2" run --cache=off -L / /bin/bash -c "$3"
"""
SANDBOX = """bwrap --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-all --die-with-parent --hostname inside \\
    sh -c 'uname -nm; [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 9 ] && echo few processes
           touch /usr/file 2>/dev/null || echo read-only; stat -c %t,%T /dev/null'"""
# A tree for systemd-nspawn: the programs of this one.
CONTAINER = """cd /srv; mkdir usr etc proc sys dev run tmp var root; for l in bin sbin lib; do ln -s usr/$l $l; done
mount --bind /usr usr; echo root:x:0:0::/root:/bin/sh >etc/passwd; echo root:x:0: >etc/group; touch etc/os-release; cd /
[ -e /etc/machine-id ] || echo 00112233445566778899aabbccddeeff >/etc/machine-id
systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --private-users=identity --private-network \\
    --uuid=0123456789abcdef0123456789abcdef --machine=inside --directory=/srv --pipe \\
    sh -c 'echo "$(uname -nm) $(id -u) $$"; exit 7'; echo "ended $?" """

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "
INSIDE = "inside aarch64\nfew processes\nread-only\n1,3\n"

CASES = [
    ("bubblewrap as root", SANDBOX, INSIDE),
    ("bubblewrap without rights", NOBODY + SANDBOX, INSIDE),
    ("another user inside", NOBODY + "bwrap --bind / / --unshare-user --uid 7 id -u", "7\n"),
    ("systemd-nspawn", CONTAINER, "inside aarch64 0 1\nended 7\n"),
]


def report(name, cmd, want):
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=300, check=False)
    text = p.stdout.decode(errors="replace")
    tap.check(p.returncode == 0 and text == want, name, f"status {p.returncode}", text)


def main():
    if os.geteuid() != 0 or subprocess.run([*UNSHARE, "true"], check=False).returncode != 0:
        print("1..0 # SKIP needs root, and namespaces")
        return 0
    tree = run.sysroot_for(DRAGOMAN, BUILD, PACKAGES, "sandbox")
    in_sysroot = [DRAGOMAN, "run", "-L", tree, tree + "/usr/bin/unshare", "--mount", "--uts", "uname", "-m"]
    report("namespaces of a program in a sysroot", in_sysroot, "aarch64\n")
    for name, script, want in CASES:
        report(name, [*UNSHARE, "sh", "-c", ENTER, "sh", tree, STATIC, script], want)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
