"""Cases in TAP, for the scripts of this folder."""
bad = 0


def check(n, good, what, text):
    """Case n, with `text` as comments when it is not good."""
    global bad
    bad += not good
    print(f"{'ok' if good else 'not ok'} {n} - {what}")
    for line in text.splitlines() if not good else ():
        print("# " + line)


def finish(n):
    """Of n cases; returns the exit status."""
    print(f"1..{n}")
    return bad != 0
