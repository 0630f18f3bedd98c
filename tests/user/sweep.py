#!/usr/bin/env python3
"""Every system call with right, wrong and nonsensical arguments: a guest is answered what the host's kernel answers a program
of its own. TAP.

usage: sweep.py DRAGOMAN SOURCE_ROOT HOST_CC GUEST_CC
"""
import errno
import os
import re
import subprocess
import sys
import tempfile

DRAGOMAN, ROOT, HOST_CC, GUEST_CC = sys.argv[1:5]
sys.path[:0] = [os.path.join(ROOT, "scripts"), os.path.join(ROOT, "tests")]
import gen_syscalls  # noqa: E402
import tap  # noqa: E402

# Not made: what ends, copies or stops the process, waits for ever, sends signals, is slow, or leaves something behind.
LEFT_OUT = set("""exit exit_group rt_sigreturn clone clone3 kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo
    pidfd_send_signal rt_sigsuspend sync syncfs vhangup reboot msgget semget shmget""".split())
# Of the processor, of how much memory a process has, or not there whatever the host's kernel has (modules, other kernels).
OTHERWISE = set("""map_shadow_stack pkey_alloc pkey_free pkey_mprotect mlockall perf_event_open rseq
    kexec_load kexec_file_load init_module finit_module""".split())
# Options of prctl that one of the two architectures has not: TSC, SVE, PAC, tagged addresses, user dispatch, SME.
PRCTL_OTHERWISE = {25, 26, 50, 51, 54, 55, 56, 59, 60, 61, 63, 64}
KEYCTL_SESSION_TO_PARENT = 18  # refused to a parent with a translator's thread
PATH_ERRORS = {-errno.EFAULT, -errno.ENAMETOOLONG}
# Whose faults, when there are several, are found in another order.
ORDER_DIFFERS = set("execve execveat io_uring_enter io_uring_register".split())
# Calls of many meanings: which argument says which, and its values.
MANY = {
    "prctl": (0, [n for n in range(1, 79) if n not in PRCTL_OTHERWISE]), "fcntl": (1, [*range(17), *range(1024, 1041)]),
    "futex": (1, range(14)), "keyctl": (0, [n for n in range(33) if n != KEYCTL_SESSION_TO_PARENT]), "bpf": (0, range(38)), "prlimit64": (1, range(11, 17)),
    "setrlimit": (0, range(11, 17)),
    "madvise": (2, range(1, 26)), "membarrier": (0, range(10)), "seccomp": (0, range(4)), "landlock_add_rule": (1, range(4)),
    "io_uring_register": (1, range(33)), "fsconfig": (1, range(9)), "msgctl": (1, range(14)), "semctl": (2, range(21)),
    "shmctl": (1, range(16)), "getsockopt": (2, range(80)), "setsockopt": (2, range(80)), "socket": (0, range(46)),
    "clock_gettime": (0, range(13)), "clock_getres": (0, range(13)), "timerfd_create": (0, range(13)),
    "timer_create": (0, range(13)), "getpriority": (0, range(4)), "getrusage": (0, range(-1, 3)), "waitid": (0, range(5)),
    "rt_sigprocmask": (0, range(4)), "epoll_ctl": (1, range(5)), "quotactl": (0, [n << 8 for n in range(0x800001, 0x80000a)]),
    "personality": (0, [0, 1, 2, 9, 11]), "syslog": (0, [9, 10]), "sched_setscheduler": (1, range(9)), "mbind": (2, range(8)),
    "set_mempolicy": (0, range(8)),
}
# Only so: the rest would end the process (a limit of no processor time does at the next tick), clear the machine's log, or ask for 32-bit programs.
ONLY_MANY = {"personality", "prlimit64", "setrlimit", "syslog"}
# Kinds of spec/syscalls.tbl to those of sweep.c; all others are integers.
KINDS = {
    "f": "fd", "d": "dirfd", "p": "path lpath npath apath", "s": "str", "n": "size", "o": "off", "x": "hex ptr ioarg long",
    "b": "strs in out iov oiov s o io", "g": "f",
}
LETTERS = {kind: letter for letter, kinds in KINDS.items() for kind in kinds.split()}


def letter(name, kind):
    return "t" if name == "timeout" else LETTERS.get(re.split(r"[.\[]", kind)[0], "i")


def rows(calls, column):
    """C initialisers of what is called, by its number in the guest's (0) or the host's (1) table."""
    for c in calls:
        if c["name"] in LEFT_OUT | OTHERWISE or min(c["numbers"]) < 0:
            continue
        kinds = "".join(letter(*a) for a in c["args"])
        if c["name"] not in ONLY_MANY:
            yield f'{{ "{c["name"]}", {c["numbers"][column]}, "{kinds}", 0 }},\n'
        at, values = MANY.get(c["name"], (0, ()))
        for v in values:
            yield f'{{ "{c["name"]}#{v}", {c["numbers"][column]}, "{kinds[:at]}={kinds[at + 1:]}", {v}l }},\n'


def answers(calls, column, cc, command):
    """Exit status and lines of the program built by `cc`."""
    with tempfile.TemporaryDirectory() as tmp:
        os.chmod(tmp, 0o755)
        with open(os.path.join(tmp, "sweep_calls.h"), "w", encoding="utf-8") as f:
            f.writelines(rows(calls, column))
        program, work = os.path.join(tmp, "sweep"), os.path.join(tmp, "work")
        os.mkdir(work, 0o777)
        source = os.path.join(ROOT, "tests", "user", "sweep.c")
        subprocess.run([cc, "-D_GNU_SOURCE", "-O1", "-Wall", "-static", f"-I{tmp}", source, "-o", program], check=True)
        p = subprocess.run([*command, program, work], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=280, check=False)
        return p.returncode, p.stdout.decode().splitlines()


def alike(native, guest, letters):
    """Whether two lines say the same. A path is looked up before other arguments: what is wrong with it may be told first."""
    if native == guest:
        return True
    call, was = native.rsplit(": ", 1)
    same, got = guest.rsplit(": ", 1)
    name = re.split(r"[# ]", call)[0]
    at = re.search(r"argument (\d)", call)
    if call != same or int(was) >= 0:
        return False
    return name in ORDER_DIFFERS and int(got) < 0 or bool(at) and letters[name][int(at[1]) - 1] == "p" and int(got) in PATH_ERRORS


def main():
    calls, _, _, _ = gen_syscalls.read_spec(os.path.join(ROOT, "spec/syscalls.tbl"))
    host_status, native = answers(calls, 1, HOST_CC, [])
    status, guest = answers(calls, 0, GUEST_CC, [DRAGOMAN, "run", "--cache=off"])
    letters = {c["name"]: "".join(letter(*a) for a in c["args"]) for c in calls}
    differ = [f"{n}, not {g.rsplit(' ', 1)[1]}" for n, g in zip(native, guest) if not alike(n, g, letters)]
    tap.check(host_status == 0 and len(native) > 3000, f"{len(native)} calls made natively")
    tap.check(status == 0 and len(guest) == len(native), f"{len(guest)} by a guest: status {status}")
    tap.check(not differ, "answered alike", *differ)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
