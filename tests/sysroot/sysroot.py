#!/usr/bin/env python3
"""dragoman sysroot with a source of three small packages: create, add, remove, and going on after unpacking failed. TAP.

usage: tests/sysroot/sysroot.py DRAGOMAN
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import check, finish  # noqa: E402

DRAGOMAN = os.path.realpath(sys.argv[1])


def package(repo, name, path, *fields):
    """An arm64 package with one file, its paragraph for the index."""
    tree = os.path.join(repo, name)
    os.makedirs(os.path.join(tree, "DEBIAN"))
    os.makedirs(os.path.join(tree, os.path.dirname(path)))
    control = "\n".join([f"Package: {name}", "Version: 1", "Architecture: arm64", "Maintainer: nobody <nobody@localhost>", *fields,
                         "Description: a test"]) + "\n"
    for where, text in (("DEBIAN/control", control), (path, name + "\n")):
        with open(os.path.join(tree, where), "w", encoding="utf-8") as f:
            f.write(text)
    deb = os.path.join(repo, name + ".deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, stdout=subprocess.DEVNULL)
    with open(deb, "rb") as f:
        data = f.read()
    return f"{control}Filename: ./{name}.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


def make_source(repo):
    """Packages base (essential), first (needs last), last; and a configuration that names them as the only source."""
    os.mkdir(repo)
    index = [package(repo, "base", "usr/share/base/file", "Essential: yes"),
             package(repo, "first", "usr/share/first/file", "Depends: last"), package(repo, "last", "usr/libexec/last")]
    with open(os.path.join(repo, "Packages"), "w", encoding="utf-8") as f:
        f.write("\n".join(index))
    with open(os.path.join(repo, "sources.list"), "w", encoding="utf-8") as f:
        f.write(f"deb [trusted=yes] copy:{repo} ./\n")
    with open(os.path.join(repo, "apt.conf"), "w", encoding="utf-8") as f:
        f.write(f'Dir::Etc::sourcelist "{repo}/sources.list";\nDir::Etc::sourceparts "/dev/null";\nAPT::Sandbox::User "";\n')
    return {**os.environ, "APT_CONFIG": os.path.join(repo, "apt.conf")}


def sysroot(env, *args):
    p = subprocess.run([DRAGOMAN, "sysroot", *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return p.returncode, p.stdout, p.stderr


def test_whole(env, root):
    r = sysroot(env, "create", root, "first")
    check(r[0] == 0 and os.path.exists(f"{root}/usr/libexec/last"), "create takes in what is needed", *r)
    r = sysroot(env, "list", root)
    check(r[1] == "base 1\nfirst 1\nlast 1\n", "list", *r)
    r = sysroot(env, "remove", root, "last")
    check(r[0] == 0 and sysroot(env, "list", root)[1] == "base 1\n" and not os.path.exists(f"{root}/usr/share/first"),
          "remove takes what needs it along", *r)
    r = sysroot(env, "add", root, "last")
    check(r[0] == 0 and sysroot(env, "list", root)[1] == "base 1\nlast 1\n", "add", *r)


def test_unpacking_fails(env, root):
    """A directory in the way of a file stops the second of two packages; the first one's dependency is missing then."""
    os.makedirs(f"{root}/usr/libexec/last/full")
    r = sysroot(env, "create", root, "first")
    check(r[0] == 125 and "usr/libexec/last" in r[2] and "Exiting" not in r[2], "a failure says what could not be unpacked", *r)
    check(os.path.exists(f"{root}/usr/share/first/file"), "what came before it is there")
    shutil.rmtree(f"{root}/usr/libexec/last")
    r = sysroot(env, "create", root, "first")
    check(r[0] == 0 and os.path.isfile(f"{root}/usr/libexec/last"), "the next create goes on", *r)
    r = sysroot(env, "list", root)
    check(r[1] == "base 1\nfirst 1\nlast 1\n", "nothing is missing or there twice", *r)


def main():
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "tar"))):
        print("1..0 # SKIP no apt-get, dpkg-deb or tar")
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        env = make_source(os.path.join(tmp, "repo"))
        test_whole(env, os.path.join(tmp, "whole"))
        test_unpacking_fails(env, os.path.join(tmp, "failing"))
    return finish()


if __name__ == "__main__":
    sys.exit(main())
