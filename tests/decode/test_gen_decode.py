#!/usr/bin/env python3
"""The decoder generator: bad tables are rejected with a line number, good ones decode as written.

usage: test_gen_decode.py GEN_DECODE
"""
import json
import os
import subprocess
import sys
import tempfile

REST = '0' * 24

# name, table, part of the message (None: accepted)
CASES = [
    ('one line', f'a 1 {REST} x:7', None),
    ('too narrow', f'a 1 {REST} x:6', '31 bits wide'),
    ('too wide', f'a 1 {REST} x:8', 'wider than 32'),
    ('bad bits', f'a 12 {REST} x:6', 'bad bits'),
    ('bad name', f'1a 1 {REST} x:7', 'bad name'),
    ('field twice', f'a 1 {REST} x:3 x:4', 'two fields x'),
    ('name twice', f'a 1 {REST} x:7\na 0 {REST} x:7', 'already at'),
    ('same word', f'a 1 {REST} x:7\nb 1 {REST} y:7', 'overlaps a'),
    ('a word in common', f'a x {REST} 0000001\nb 1 {REST} y:7', 'overlaps a'),
    ('precedence', f'< a x {REST} 0000001\nb 1 {REST} y:7', None),
    ('equal precedence', f'< a x {REST} 0000001\n< b 1 {REST} y:7', 'overlaps a'),
    ('apart by a condition', f'a 1 {REST} x:7 x!=0000001\nb 1 {REST} 0000001', None),
    ('apart by half a condition', f'a 1 {REST} x:7 x!=0000001\nb 1 {REST} 000000x', 'overlaps a'),
    ('apart by two conditions', f'a 1 {REST} x:7 x!=0000001 x!=0000000\nb 1 {REST} 000000x', None),
    ('joint condition', f'a s:1 {REST} x:7 !(s=1,x=1xxxxxx)\nb 1 {REST} 1 y:6', None),
    ('condition on no field', f'a 1 {REST} x:7 y!=1', 'bad condition'),
    ('condition of another width', f'a 1 {REST} x:7 x!=1', 'x has 7 bits'),
    ('nothing left', f'a 1 {REST} x:7 x!=xxxxxxx', 'matches nothing'),
    ('two features', f'a 1 {REST} x:7 @A @B', 'two features'),
    ('let', f'let C x!=0000001\na 1 {REST} x:7 $C\nb 1 {REST} 0000001', None),
    ('no let', f'a 1 {REST} x:7 $C', 'no "let C"'),
    ('fixed field', f'a=f op=1 {REST} x:7\nb=f op=0 {REST} x:7', None),
]


def run(gen, table):
    with tempfile.TemporaryDirectory() as d:
        spec, out = os.path.join(d, 'spec.insn'), os.path.join(d, 'out.json')
        with open(spec, 'w') as f:
            f.write(table + '\n')
        r = subprocess.run([sys.executable, gen, '--dump', out, spec], capture_output=True, text=True)
        if r.returncode:
            return None, r.stderr
        with open(out) as f:
            return json.load(f), ''


def main():
    failures = 0
    for i, (name, table, message) in enumerate(CASES, 1):
        lines, err = run(sys.argv[1], table)
        good = lines is not None if message is None else lines is None and message in err and 'spec.insn:' in err
        failures += not good
        print(f'{"" if good else "not "}ok {i} - {name}')
        if not good:
            print(f'# {err.strip()}')
    print(f'1..{len(CASES)}')
    return failures != 0


if __name__ == '__main__':
    sys.exit(main())
