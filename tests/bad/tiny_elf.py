"""A minimal AArch64 program, made byte by byte, so that tests can damage it field by field."""
import struct

EHDR = "<16sHHIQQQIHHHHHH"
EHDR_FIELDS = "ident type machine version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx".split()
PHDR = "<IIQQQQQQ"
PHDR_FIELDS = "type flags offset vaddr paddr filesz memsz align".split()
EHDR_SIZE, PHDR_SIZE = struct.calcsize(EHDR), struct.calcsize(PHDR)
BASE = 0x400000
EXIT_STATUS = 7

# mov x0, #7; mov x8, #93; svc #0
CODE = struct.pack("<III", 0xD28000E0, 0xD2800BA8, 0xD4000001)

PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551


def fields_at(spec, names):
    """Offset and size of each field of a header."""
    out, at = {}, 0
    for name, code in zip(names, spec.replace("<", "").replace("16s", "s")):
        size = {"s": 16, "H": 2, "I": 4, "Q": 8}[code]
        out[name] = (at, size)
        at += size
    return out


EHDR_AT, PHDR_AT = fields_at(EHDR, EHDR_FIELDS), fields_at(PHDR, PHDR_FIELDS)


def tiny(machine=183, elf_class=2, data=1, elf_type=2, interp=None, code=CODE):
    """The file's bytes: header, program headers (LOAD of everything, bss, stack, and INTERP if asked), code, a name."""
    name = interp.encode() + b"\0" if interp else b""
    phnum = 3 + bool(interp)
    start = EHDR_SIZE + phnum * PHDR_SIZE
    size = start + len(code) + len(name)
    ident = b"\x7fELF" + bytes([elf_class, data, 1, 0]) + bytes(8)
    out = struct.pack(EHDR, ident, elf_type, machine, 1, BASE + start, EHDR_SIZE, 0, 0, EHDR_SIZE, PHDR_SIZE, phnum, 0, 0, 0)
    out += struct.pack(PHDR, PT_LOAD, 5, 0, BASE, BASE, size, size, 4096)
    out += struct.pack(PHDR, PT_LOAD, 6, 0, BASE + 0x10000, 0, 16, 0x3000, 4096)
    out += struct.pack(PHDR, PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)
    if interp:
        at = start + len(code)
        out += struct.pack(PHDR, PT_INTERP, 4, at, BASE + at, 0, len(name), len(name), 1)
    return out + code + name


def big_endian(elf):
    """The same headers in the other byte order."""
    h = list(struct.unpack_from(EHDR, elf))
    h[0] = h[0][:5] + b"\x02" + h[0][6:]
    return struct.pack(EHDR.replace("<", ">"), *h) + elf[EHDR_SIZE:]


def patch(elf, offset, size, value):
    """The bytes with one little-endian number replaced."""
    return elf[:offset] + (value & ((1 << 8 * size) - 1)).to_bytes(size, "little") + elf[offset + size:]
