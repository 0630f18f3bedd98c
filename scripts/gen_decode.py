#!/usr/bin/env python3
"""Make a decoder for 32-bit instructions from tables of encodings.

    gen_decode.py --prefix a64 --feature-prefix A64_F_ --c OUT.c --h OUT.h FILE.insn...
    gen_decode.py --dump OUT.json FILE.insn...

One line of a table is one encoding; `#` starts a comment:

    [<] NAME[=FN]  FIELD...  [COND...]  [@FEATURE]

FIELD, most significant first, 32 bits in all:
    0 1 x          a string of fixed bits; x: ignored by the architecture
    name:width     an operand field, given to the lifter as args->name
    name=01x       a field with fixed bits, given to the lifter all the same
COND, any number, all must hold or the line does not match:
    name!=01x      the field differs from these bits (x: any)
    !(a=01,b=x1)   not all of these fields have these bits
    $NAME          the conditions of an earlier line `let NAME COND...`
FEATURE            the line exists only for a guest with that feature
FN                 the lifter, when several encodings share one: PREFIX_lift_FN(Lift *, const Args *)
<                  takes precedence over lines with fewer `<` that it overlaps. Lines of equal rank must not overlap.

Examples:
    add_imm=addsub_imm  sf:1 op=0 S=0 100010 sh:1 imm12:12 Rn:5 Rd:5
    hint                1101010100000011 0010 CRm:4 op2:3 11111
    < nop               1101010100000011 0010 0000 000 11111
    crc32b=crc32        0 0011010110 Rm:5 010 C:1 sz:2 Rn:5 Rd:5  sz!=11  @CRC32

The output is PREFIX_decode(), which names the line that a word matches, and PREFIX_decode_lift(), which extracts its
fields and calls its lifter. A table by the first bits (FIRST) names the line of most words, and for the others a group
of lines, for which there is a decision tree over the other fixed bits.
"""
import argparse
import json
import re
import sys

FULL = 0xFFFFFFFF
FIRST = 11          # bits by which the table goes
REST = FULL >> FIRST


class SpecError(Exception):
    pass


class Pattern:
    """One line: fixed bits (mask, value), fields, exclusions, feature, rank."""

    def __init__(self, where):
        self.where = where
        self.name = self.fn = None
        self.mask = self.value = 0
        self.fields = []    # (name, lsb, width)
        self.exclude = []   # cubes (mask, value) that do not match
        self.feature = None
        self.rank = 0


def parse_bits(text, where):
    """A string of 0, 1, x as (mask, value)."""
    if not re.fullmatch(r'[01x]+', text):
        raise SpecError(f'{where}: bad bits "{text}"')
    mask = int(''.join('0' if c == 'x' else '1' for c in text), 2)
    value = int(''.join('1' if c == '1' else '0' for c in text), 2)
    return mask, value


def exclusions(p, text):
    """The cube of `a=01,b=x1`, which must not match."""
    mask = value = 0
    for part in text.split(','):
        m = re.fullmatch(r'([A-Za-z_]\w*)=([01x]+)', part)
        field = m and [f for f in p.fields if f[0] == m.group(1)]
        if not field:
            raise SpecError(f'{p.where}: {p.name}: bad condition on "{part}"')
        _, lsb, width = field[0]
        if len(m.group(2)) != width:
            raise SpecError(f'{p.where}: {p.name}: {m.group(1)} has {width} bits')
        fm, fv = parse_bits(m.group(2), p.where)
        mask |= fm << lsb
        value |= fv << lsb
    return mask, value


def expand(line, lets, where):
    """Tokens of a line, with $NAME replaced."""
    tokens = []
    for t in line.split():
        if t.startswith('$'):
            if t[1:] not in lets:
                raise SpecError(f'{where}: no "let {t[1:]}" before')
            tokens += lets[t[1:]]
        else:
            tokens.append(t)
    return tokens


def parse_line(tokens, where):
    p = Pattern(where)
    while tokens and set(tokens[0]) == {'<'}:
        p.rank += len(tokens.pop(0))
    if not tokens:
        raise SpecError(f'{where}: no name')
    m = re.fullmatch(r'([A-Za-z_]\w*)(?:=([A-Za-z_]\w*))?', tokens.pop(0))
    if not m:
        raise SpecError(f'{where}: bad name')
    p.name, p.fn = m.group(1), m.group(2) or m.group(1)
    pos, conds = 32, []
    for t in tokens:
        field = re.fullmatch(r'([A-Za-z_]\w*):(\d+)', t)
        fixed = re.fullmatch(r'([A-Za-z_]\w*)=([01x]+)', t)
        cond = re.fullmatch(r'([A-Za-z_]\w*)!=([01x]+)', t)
        joint = re.fullmatch(r'!\((.*)\)', t)
        if t.startswith('@'):
            if p.feature:
                raise SpecError(f'{where}: two features')
            p.feature = t[1:]
        elif cond:
            conds.append('='.join(cond.groups()))
        elif joint:
            conds.append(joint.group(1))
        else:
            bits = fixed.group(2) if fixed else t
            width = int(field.group(2)) if field else len(bits)
            pos -= width
            if pos < 0 or width == 0:
                raise SpecError(f'{where}: {p.name} is wider than 32 bits, or has an empty field')
            if field or fixed:
                name = (field or fixed).group(1)
                if any(f[0] == name for f in p.fields):
                    raise SpecError(f'{where}: {p.name} has two fields {name}')
                p.fields.append((name, pos, width))
            if not field:
                mask, value = parse_bits(bits, where)
                p.mask |= mask << pos
                p.value |= value << pos
    if pos != 0:
        raise SpecError(f'{where}: {p.name} is {32 - pos} bits wide, not 32')
    p.exclude = [exclusions(p, c) for c in conds]
    return p


def parse_files(paths):
    patterns, names = [], {}
    for path in paths:
        lets = {}
        with open(path) as f:
            for number, line in enumerate(f, 1):
                line = line.split('#')[0].strip()
                if not line:
                    continue
                where = f'{path}:{number}'
                tokens = expand(line, lets, where)
                if tokens[0] == 'let':
                    lets[tokens[1]] = tokens[2:]
                    continue
                p = parse_line(tokens, where)
                if p.name in names:
                    raise SpecError(f'{p.where}: {p.name} is already at {names[p.name]}')
                names[p.name] = p.where
                patterns.append(p)
    return patterns


def nonempty(mask, value, exclude):
    """Whether the cube has a word outside all excluded cubes."""
    if not exclude:
        return True
    (em, ev), rest = exclude[0], exclude[1:]
    if (value ^ ev) & mask & em:
        return nonempty(mask, value, rest)
    free = em & ~mask
    while free:
        bit = free & -free
        free ^= bit
        if nonempty(mask | bit, value | (~ev & bit), rest):
            return True
        mask |= bit
        value |= ev & bit
    return False


def overlap(p, q):
    """A word that both match, if any."""
    if (p.value ^ q.value) & p.mask & q.mask:
        return False
    return nonempty(p.mask | q.mask, p.value | q.value, p.exclude + q.exclude)


def check(patterns):
    for i, p in enumerate(patterns):
        if not nonempty(p.mask, p.value, p.exclude):
            raise SpecError(f'{p.where}: {p.name} matches nothing')
        for q in patterns[:i]:
            if p.rank == q.rank and overlap(p, q):
                raise SpecError(f'{p.where}: {p.name} overlaps {q.name} at {q.where}')


def given(p, first):
    """The pattern for words that begin with the bits `first`; None if it matches none of them."""
    if (p.value ^ first) & p.mask & ~REST:
        return None
    q = Pattern(p.where)
    q.__dict__.update(p.__dict__)
    q.mask, q.value = p.mask & REST, p.value & REST
    q.exclude = [(m & REST, v & REST) for m, v in p.exclude if not (v ^ first) & m & ~REST]
    return None if any(m == 0 for m, _ in q.exclude) else q


def first_table(patterns):
    """By a word's first bits: a pattern, if it decides, or a list of patterns."""
    table = []
    for k in range(1 << FIRST):
        cands = [q for q in (given(p, k << 32 - FIRST) for p in patterns) if q]
        decided = len(cands) == 1 and not cands[0].mask and not cands[0].exclude and not cands[0].feature
        table.append(cands[0] if decided else cands)
    return table


class Emitter:
    """Writes the decision tree. `known` are the bits that the path to a node has tested."""

    def __init__(self, prefix, feature_prefix):
        self.prefix, self.feature_prefix, self.out = prefix, feature_prefix, []

    def put(self, depth, text):
        self.out.append('    ' * depth + text)

    def id(self, p):
        return f'{self.prefix.upper()}_INSN_{p.name}'

    def first(self, patterns):
        """The table, and what there is to be tested besides."""
        P, groups, entries = self.prefix.upper(), {}, []
        for cands in first_table(patterns):
            if isinstance(cands, Pattern):
                entries.append(self.id(cands))
                continue
            key = tuple((p.name, p.mask, p.value, *p.exclude) for p in cands)
            at, _ = groups.setdefault(key, (len(groups), cands))
            entries.append(f'{P}_NINSNS + {at}')
        self.put(0, f'/* By the first {FIRST} bits: an encoding, or {P}_NINSNS and the number of a group below. */')
        self.put(0, f'static const uint16_t first[1 << {FIRST}] = {{')
        for entry in entries:
            self.put(1, f'{entry},')
        self.put(0, '};\n')
        self.put(0, f'int {self.prefix}_decode(uint64_t has, uint32_t insn)\n{{')
        self.put(1, f'unsigned at = first[insn >> {32 - FIRST}];\n')
        self.put(1, f'if (at < {P}_NINSNS)\n        return (int)at;')
        self.put(1, f'switch (at - {P}_NINSNS) {{')
        for at, cands in groups.values():
            self.put(1, f'case {at}:')
            self.node(2, cands, 0)
        self.put(1, '}\n    return -1;\n}\n')

    def leaf(self, depth, cands, known):
        for p in sorted(cands, key=lambda p: -p.rank):
            tests = []
            rest = p.mask & ~known
            if rest:
                tests.append(f'(insn & 0x{rest:08x}) == 0x{p.value & rest:08x}')
            tests += [f'(insn & 0x{m:08x}) != 0x{v:08x}' for m, v in p.exclude]
            if p.feature:
                tests.append(f'(has >> {self.feature_prefix}{p.feature} & 1)')
            if not tests:
                self.put(depth, f'return {self.id(p)};')
                return
            self.put(depth, f'if ({" && ".join(tests)})')
            self.put(depth + 1, f'return {self.id(p)};')
        self.put(depth, 'return -1;')

    def node(self, depth, cands, known):
        common = FULL
        for p in cands:
            common &= p.mask
        common &= ~known
        undecided = 0
        for p in cands:
            undecided |= p.mask & ~known
        if len(cands) <= 2 or not undecided:
            self.leaf(depth, cands, known)
        elif common:
            self.switch(depth, cands, known, common)
        else:
            self.switch(depth, cands, known, self.best_bit(cands, undecided))

    @staticmethod
    def best_bit(cands, undecided):
        """The bit that splits best: the larger side small, few lines on both sides."""
        best = None
        while undecided:
            bit = undecided & -undecided
            undecided ^= bit
            zero = sum(not (p.mask & bit and p.value & bit) for p in cands)
            one = sum(not (p.mask & bit and not p.value & bit) for p in cands)
            score = max(zero, one) + zero + one
            if best is None or score < best[0]:
                best = (score, bit)
        return best[1]

    def switch(self, depth, cands, known, mask):
        groups = {}
        single = mask & (mask - 1) == 0
        for p in cands:
            values = [p.value & mask] if p.mask & mask == mask else [0, mask]
            assert p.mask & mask == mask or single
            for v in values:
                groups.setdefault(v, []).append(p)
        if len(groups) == 1:
            (value, _), = groups.items()
            self.put(depth, f'if ((insn & 0x{mask:08x}) != 0x{value:08x})')
            self.put(depth + 1, 'return -1;')
            self.node(depth, cands, known | mask)
            return
        self.put(depth, f'switch (insn & 0x{mask:08x}) {{')
        for value in sorted(groups):
            self.put(depth, f'case 0x{value:08x}:')
            self.node(depth + 1, groups[value], known | mask)
        self.put(depth, '}')
        self.put(depth, 'return -1;')


def emit_c(patterns, args):
    e = Emitter(args.prefix, args.feature_prefix)
    e.put(0, f'/* Made by scripts/gen_decode.py from the tables under spec/; do not edit. */')
    e.put(0, f'#include "{args.prefix}_decode.h"\n')
    e.put(0, f'const char *const {args.prefix}_insn_name[] = {{')
    for p in patterns:
        e.put(1, f'"{p.name}",')
    e.put(0, '};\n')
    e.first(patterns)
    e.put(0, f'bool {args.prefix}_decode_lift(Lift *l, uint64_t has, uint32_t insn)\n{{')
    e.put(1, f'switch ({args.prefix}_decode(has, insn)) {{')
    for p in patterns:
        e.put(1, f'case {e.id(p)}: {{')
        inits = [f'.{n} = insn >> {lsb} & 0x{(1 << w) - 1:x}' for n, lsb, w in p.fields]
        e.put(2, f'const {args.prefix.upper()}Args a = {{ {", ".join([".insn = insn"] + inits)} }};')
        e.put(2, f'return {args.prefix}_lift_{p.fn}(l, &a);')
        e.put(1, '}')
    e.put(1, '}\n    return false;\n}')
    return '\n'.join(e.out) + '\n'


def emit_h(patterns, args):
    P, p = args.prefix.upper(), args.prefix
    width = {}
    for q in patterns:
        for name, _, w in q.fields:
            width[name] = max(w, width.get(name, 0))
    # In as few bytes as will do, for all of it is cleared for each instruction; the widest first, so that there are no gaps.
    types = {name: 8 if w <= 8 else 16 if w <= 16 else 32 for name, w in width.items() if name != 'insn'}
    fields = sorted(types, key=lambda name: (-types[name], name))
    fns = sorted({q.fn for q in patterns})
    out = ['/* Made by scripts/gen_decode.py from the tables under spec/; do not edit. */',
           f'#ifndef {P}_DECODE_H\n#define {P}_DECODE_H\n', '#include "guest/guest.h"', f'#include "{args.include}"\n',
           '/* Every operand field of any encoding; those that the encoding at hand lacks are 0. */',
           f'typedef struct {P}Args {{', '    uint32_t insn; /* the whole word */']
    out += [f'    uint{types[f]}_t {f};' for f in fields]
    out += [f'}} {P}Args;\n', f'typedef enum {P}InsnId {{']
    out += [f'    {P}_INSN_{q.name},' for q in patterns]
    out += [f'    {P}_NINSNS\n}} {P}InsnId;\n', f'extern const char *const {p}_insn_name[{P}_NINSNS];\n',
            f'/* Which encoding `insn` is for a guest with the features `has`; -1: undefined. */',
            f'int {p}_decode(uint64_t has, uint32_t insn);',
            '/* Decode and call the lifter; false: undefined. */',
            f'bool {p}_decode_lift(Lift *l, uint64_t has, uint32_t insn);\n']
    out += [f'bool {p}_lift_{f}(Lift *l, const {P}Args *a);' for f in fns]
    out += ['\n#endif']
    return '\n'.join(out) + '\n'


def dump(patterns):
    return json.dumps([{
        'name': p.name, 'fn': p.fn, 'mask': p.mask, 'value': p.value, 'exclude': p.exclude, 'feature': p.feature,
        'rank': p.rank, 'where': p.where, 'fields': [{'name': n, 'lsb': lsb, 'width': w} for n, lsb, w in p.fields],
    } for p in patterns], indent=1) + '\n'


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--prefix', default='a64')
    ap.add_argument('--feature-prefix', default='A64_F_')
    ap.add_argument('--include', default='guest/aarch64/features.h', help='header that names the features')
    ap.add_argument('--c')
    ap.add_argument('--h')
    ap.add_argument('--dump')
    ap.add_argument('files', nargs='+')
    args = ap.parse_args()
    try:
        patterns = parse_files(args.files)
        check(patterns)
    except SpecError as err:
        print(f'gen_decode: {err}', file=sys.stderr)
        return 1
    if args.c:
        write(args.c, emit_c(patterns, args))
    if args.h:
        write(args.h, emit_h(patterns, args))
    if args.dump:
        write(args.dump, dump(patterns))
    return 0


if __name__ == '__main__':
    sys.exit(main())
