#!/usr/bin/env python3
"""What short pieces of AArch64 code are lifted to, before any optimisation.

usage: text.py DRAGOMAN FILE.lift...        UPDATE=1 in the environment: rewrite the files instead

A file holds cases: lines `> WORD  instruction` and then the IR that they become, up to an empty line.
"""
import os
import re
import subprocess
import sys


def cases(path):
    with open(path) as f:
        for block in re.split(r'\n\s*\n', f.read().strip()):
            lines = block.split('\n')
            yield [l for l in lines if l[0] in '>#'], '\n'.join(l for l in lines if l[0] not in '>#')


def main():
    number = failures = 0
    for path in sys.argv[2:]:
        out = []
        for head, expected in cases(path):
            words = [l.split()[1] for l in head if l[0] == '>']
            r = subprocess.run([sys.argv[1], 'dev', 'lift'] + words, capture_output=True, text=True)
            lines = (r.stdout + r.stderr).strip('\n').split('\n')
            got = '\n'.join(l for l in lines if not re.match(r'in: |ir: |region ', l))
            out.append('\n'.join(head + [got]))
            number += 1
            good = got == expected or os.environ.get('UPDATE') == '1'
            failures += not good
            print(f'{"" if good else "not "}ok {number} - {" ".join(head[0].split()[2:])}')
            if not good:
                print('\n'.join('# ' + l for l in ['expected:'] + expected.split('\n') + ['got:'] + got.split('\n')))
        if os.environ.get('UPDATE') == '1':
            with open(path, 'w') as f:
                f.write('\n\n'.join(out) + '\n')
    print(f'1..{number}')
    return failures != 0


if __name__ == '__main__':
    sys.exit(main())
