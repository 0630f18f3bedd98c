#!/usr/bin/env python3
"""Compare what our decoder calls defined with what binutils does.

usage: decode_objdump.py DECODE_WORDS TABLE.json DIFFERENCES OBJDUMP [COUNT]

For each line of the tables, words that match it and words one fixed bit away; and words at random. DIFFERENCES lists the
words on which the two may disagree, one `ours|theirs BITS reason` a line: `ours`: only we define it, `theirs`: only they.
"""
import json
import random
import re
import struct
import subprocess
import sys
import tempfile


def parse_differences(path):
    rows = []
    with open(path) as f:
        for line in f:
            line = line.split('#')[0].strip()
            if line:
                who, rest = line.split(None, 1)
                m = re.match(r'([01x\s]+?)(?:\s+([^01x\s].*))?$', rest)
                bits = re.sub(r'\s', '', m.group(1))
                assert len(bits) == 32, (line, len(bits))
                mask = int(''.join('0' if c == 'x' else '1' for c in bits), 2)
                value = int(''.join('1' if c == '1' else '0' for c in bits), 2)
                rows.append([who, mask, value, line, 0])
    return rows


def words_of(table, rng, count):
    for p in table:
        for _ in range(count):
            r = rng.getrandbits(32) & ~p['mask'] | p['value']
            yield r
            yield r ^ (1 << rng.randrange(32))
    for _ in range(count * len(table)):
        yield rng.getrandbits(32)


def ours(program, data):
    out = subprocess.run([program], input=data, capture_output=True, check=True).stdout
    return out.decode().split('\n')[:-1]


def theirs(objdump, data):
    """The text of each word; None where it is undefined."""
    with tempfile.NamedTemporaryFile(suffix='.bin') as f:
        f.write(data)
        f.flush()
        out = subprocess.run([objdump, '-D', '-b', 'binary', '-m', 'aarch64', '-z', f.name], capture_output=True, check=True)
    texts = []
    for line in out.stdout.decode().split('\n'):
        m = re.match(r'\s*[0-9a-f]+:\s+[0-9a-f]{8}\s+(.*)', line)
        if m:
            text = m.group(1).strip()
            texts.append(None if text.startswith('.inst') or 'undefined' in text else text)
    return texts


def main():
    program, table_path, differences_path, objdump = sys.argv[1:5]
    count = int(sys.argv[5]) if len(sys.argv) > 5 else 20
    with open(table_path) as f:
        table = json.load(f)
    differences = parse_differences(differences_path)
    words = list(words_of(table, random.Random(20), count))
    data = struct.pack(f'<{len(words)}I', *words)
    names, texts = ours(program, data), theirs(objdump, data)
    assert len(names) == len(texts) == len(words), (len(names), len(texts), len(words))
    bad = 0
    for word, name, text in zip(words, names, texts):
        if (name != '-') == (text is not None):
            continue
        who = 'theirs' if name == '-' else 'ours'
        for row in differences:
            if row[0] == who and word & row[1] == row[2]:
                row[4] += 1
                break
        else:
            bad += 1
            if bad <= 100:
                print(f'# {word:08x} {word:032b} ours: {name}; theirs: {text}')
    for row in differences:
        if row[4] == 0:
            print(f'# never seen: {row[3]}')
    print(f'{"not " if bad else ""}ok 1 - {len(words)} words, {bad} unexplained differences')
    print('1..1')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
