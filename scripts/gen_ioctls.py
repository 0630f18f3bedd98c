#!/usr/bin/env python3
"""Make a C table of spec/ioctls.tbl (its head describes the format).

usage: gen_ioctls.py SPEC SOURCE
"""
import re
import sys

ENCODED = {0: ("NONE", 0), 1: ("IN", None), 2: ("OUT", None), 3: ("IO", None)}
PLAIN = {"none": "NONE", "int": "INT", "ptr": "PTR"}


def encoded_kind(number):
    """(kind, size) as bits 16..31 of the number say."""
    kind, size = ENCODED[number >> 30]
    return kind, (number >> 16 & 0x3fff) if size is None else size


def parse_kind(word):
    if word in PLAIN:
        return PLAIN[word], 0
    m = re.fullmatch(r"(in|out|io)\[(\d+)\]", word)
    if not m:
        raise ValueError(f"unknown kind {word}")
    return m.group(1).upper(), int(m.group(2))


def read_spec(path):
    """Returns (requests, refused): requests as (number, name, kind, size, header), refused as (type, name)."""
    requests, refused, header, seen = [], [], "", {}
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            words = line.split()
            try:
                if line.startswith("#"):
                    header = words[1] if len(words) == 2 else header
                elif words and words[0] == "refuse":
                    refused.append((int(words[1], 0), words[2]))
                elif words:
                    number = int(words[0], 0)
                    kind, size = parse_kind(words[2]) if len(words) > 2 else encoded_kind(number)
                    if number in seen:
                        raise ValueError(f"the same number as {seen[number]}")
                    seen[number] = words[1]
                    requests.append((number, words[1], kind, size, header))
            except (ValueError, IndexError) as e:
                raise SystemExit(f"{path}:{n}: {e}")
    return requests, refused


def main():
    spec, source = sys.argv[1:3]
    requests, refused = read_spec(spec)
    with open(source, "w", encoding="utf-8") as f:
        f.write('/* Generated from spec/ioctls.tbl. */\n#include "user/ioctls.h"\n\nconst IoctlDesc ioctl_table[] = {\n')
        for number, name, kind, size, _ in sorted(requests):
            f.write(f'    {{ {number:#x}, {size}, IOA_{kind}, "{name}" }},\n')
        f.write(f"}};\nconst size_t ioctl_count = {len(requests)};\n\nconst IoctlRefusal ioctl_refusals[] = {{\n")
        for kind, name in refused:
            f.write(f'    {{ {kind:#x}, "{name}" }},\n')
        f.write(f"}};\nconst size_t ioctl_nrefusals = {len(refused)};\n")


if __name__ == "__main__":
    main()
