"""Cases in TAP, for the scripts of the folders beside."""
count = failed = 0


def check(good, name, *shown):
    """One case, with up to 20 lines of each of `shown` as comments when it is not good."""
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    for text in shown if not good else ():
        for line in str(text).splitlines()[:20]:
            print("#", line)


def skip(name, why):
    """One case that cannot be had here."""
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}")


def finish():
    """Returns the exit status."""
    print(f"1..{count}")
    return failed != 0
