"""What the tests of this folder share: running the guest, and cases in TAP."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap  # noqa: E402

finish = tap.finish
DRAGOMAN, GUEST = sys.argv[1:3]
SECONDS = sys.argv[3] if len(sys.argv) > 3 else None


def on_one_processor():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def run(options, *args, limit=300, promote=("--promote=on",), alone=False):
    """
    Exit status, output and errors. The user's persistent cache is left alone. `alone`: on one processor, where tier 2 compiles at once when its count
    says so, however busy the machine is.
    """
    p = subprocess.run([DRAGOMAN, "run", "--cache=off", *promote, *options, GUEST, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=subprocess.DEVNULL, timeout=limit, check=False, preexec_fn=on_one_processor if alone else None, env={**os.environ, "XDG_CACHE_HOME": "/dev/null"})
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def check(name, good, *shown):
    """One case, with `shown` as comments when it is not good."""
    tap.check(good, name, *(repr(s)[:3000] for s in shown))
