#!/usr/bin/env python3
"""As patterns.py, for data processing on general registers: the lines of base.insn that neither branch, depend on the pc nor
need keys. Registers are kept to x0 to x15 (and xzr where 31 means that) by fixing the top bit of their fields.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts'))
sys.dont_write_bytecode = True
import gen_decode

SKIP = {'adr', 'adrp', 'pac', 'b', 'bl', 'cbz', 'tbz', 'b_cond', 'br', 'blr', 'ret', 'bra', 'blra', 'reta', 'pacga'}
STACK = {'addsub_imm', 'addsub_ext', 'logical_imm'}  # where register 31 may be the stack pointer

with open(sys.argv[1], 'w') as out:
    for p in gen_decode.parse_files(sys.argv[2:]):
        if p.fn in SKIP:
            continue
        mask = p.mask
        for name, lsb, width in p.fields:
            if name in ('Rm', 'Ra') or (name in ('Rn', 'Rd') and p.fn in STACK):
                mask |= 1 << (lsb + 4)
        out.write(f'{p.name} {mask:08x} {p.value:08x}\n')
