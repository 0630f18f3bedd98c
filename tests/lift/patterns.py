#!/usr/bin/env python3
"""List encodings for the lifting tests: patterns.py OUT FILE.insn...; one line each: name, mask, value in hexadecimal."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts'))
sys.dont_write_bytecode = True
import gen_decode

with open(sys.argv[1], 'w') as out:
    for p in gen_decode.parse_files(sys.argv[2:]):
        out.write(f'{p.name} {p.mask:08x} {p.value:08x}\n')
