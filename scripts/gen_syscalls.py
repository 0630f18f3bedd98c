#!/usr/bin/env python3
"""Make C tables of spec/syscalls.tbl (its head describes the format).

usage: gen_syscalls.py SPEC HOST HEADER SOURCE
    HOST    cpu family of the host as meson names it: which column holds the host's numbers
"""
import re
import sys

HOST_COLUMN = {"x86_64": 1, "aarch64": 0, "riscv64": 0}
SCALARS = ["int", "uint", "long", "hex", "oct", "size", "off", "fd", "pid", "uid", "sig", "clock", "dev", "dirfd", "ioctl"]
POINTERS = ["ptr", "path", "lpath", "npath", "apath", "str", "strs", "ioarg"]
SIZED = {"in": "IN", "out": "OUT", "iov": "IOV", "oiov": "OIOV"}
STRUCTS = {"s": "STRUCT_IN", "o": "STRUCT_OUT", "io": "STRUCT_IO"}
HANDLERS = {"pass": "SC_PASS", "block": "SC_BLOCK", "fn": "SC_FN", "enosys": "SC_ENOSYS", "eperm": "SC_EPERM"}


class SpecError(Exception):
    pass


def read_spec(path):
    """Returns (calls, structs, flags, enums); continuation lines are joined."""
    lines = []
    with open(path, encoding="utf-8") as f:
        for n, raw in enumerate(f, 1):
            text = raw.split("#")[0].rstrip() if raw.startswith("#") else raw.rstrip()
            if not text:
                continue
            if text[0] == " " and lines:
                lines[-1] = (lines[-1][0], lines[-1][1] + " " + text.strip())
            else:
                lines.append((n, text))
    calls, structs, sets = [], {}, {"flags": {}, "enum": {}}
    for n, text in lines:
        words = text.split()
        try:
            if words[0] == "struct":
                structs[words[1]] = int(words[2])
            elif words[0] in sets:
                sets[words[0]][words[1]] = [parse_value(w) for w in words[2:]]
            else:
                calls.append(parse_call(words))
        except (SpecError, ValueError, IndexError) as e:
            raise SystemExit(f"{path}:{n}: {e}")
    check_order(path, calls)
    return calls, structs, sets["flags"], sets["enum"]


def parse_value(word):
    """value=NAME or value/mask=NAME; the mask of a plain value is the value itself."""
    value, name = word.split("=")
    value, _, mask = value.partition("/")
    value = number(value)
    return value, number(mask) if mask else value, name


def number(text):
    return int(text, 8 if re.fullmatch(r"0[0-7]+", text) else 0)


def parse_call(words):
    call = {"numbers": [int(w) if w != "-" else -1 for w in words[:2]], "name": words[2], "handler": words[3], "args": [],
            "result": "int"}
    if call["handler"] not in HANDLERS:
        raise SpecError(f"unknown handler {call['handler']}")
    for w in words[4:]:
        if w.startswith("="):
            call["result"] = w[1:]
        else:
            name, kind = w.split(":", 1)
            call["args"].append((name, kind))
    if len(call["args"]) > 6:
        raise SpecError("more than six arguments")
    return call


def check_order(path, calls):
    last = -1
    names = set()
    for c in calls:
        if c["numbers"][0] <= last:
            raise SystemExit(f"{path}: {c['name']}: numbers must ascend")
        if c["name"] in names:
            raise SystemExit(f"{path}: {c['name']}: twice")
        last = c["numbers"][0]
        names.add(c["name"])


def size_rule(spec, names):
    """C initialiser of what [N] says."""
    deref = spec.startswith("*")
    spec = spec.lstrip("*")
    if spec.isdigit():
        return f".size = {spec}"
    if spec not in names:
        raise SpecError(f"no argument {spec}")
    return f".size_arg = {names.index(spec) + 1}" + (", .deref = true" if deref else "")


def arg_init(call, kind, structs, flags, enums):
    names = [a[0] for a in call["args"]]
    if kind in SCALARS + POINTERS:
        return f"{{ .kind = SCA_{kind.upper()} }}"
    m = re.fullmatch(r"(\w+)\[(\*?\w+)\]", kind)
    if m and m.group(1) in SIZED:
        return f"{{ .kind = SCA_{SIZED[m.group(1)]}, {size_rule(m.group(2), names)} }}"
    m = re.fullmatch(r"(\w+)\.(\w+)", kind)
    if m and m.group(1) in STRUCTS and m.group(2) in structs:
        return f"{{ .kind = SCA_{STRUCTS[m.group(1)]}, .set = SCS_{m.group(2)}, .size = {structs[m.group(2)]} }}"
    if m and m.group(1) == "f" and m.group(2) in flags:
        return f"{{ .kind = SCA_FLAGS, .names = scn_flags_{m.group(2)} }}"
    if m and m.group(1) == "e" and m.group(2) in enums:
        return f"{{ .kind = SCA_ENUM, .names = scn_enum_{m.group(2)} }}"
    raise SpecError(f"{call['name']}: unknown kind {kind}")


def is_pointer(kind):
    head = kind.split(".")[0].split("[")[0]
    return head in POINTERS or head in SIZED or head in STRUCTS


def write_header(path, calls, structs):
    with open(path, "w", encoding="utf-8") as f:
        f.write("/* Generated from spec/syscalls.tbl. */\n#ifndef SYSCALLS_GEN_H\n#define SYSCALLS_GEN_H\n\n")
        f.write("typedef enum SysStruct {\n    SCS_none,\n")
        for s in structs:
            f.write(f"    SCS_{s},\n")
        f.write("    SCS_count\n} SysStruct;\n\n")
        for c in calls:
            if c["handler"] == "fn":
                f.write(f"SysFn sys_{c['name']};\n")
        f.write(f"\n#define SYSCALL_LIMIT {calls[-1]['numbers'][0] + 1}\n\n#endif\n")


def write_source(path, calls, structs, flags, enums, column):
    with open(path, "w", encoding="utf-8") as f:
        f.write('/* Generated from spec/syscalls.tbl. */\n#include "user/syscall.h"\n\n')
        for prefix, sets in (("flags", flags), ("enum", enums)):
            for name, values in sets.items():
                f.write(f"static const SysName scn_{prefix}_{name}[] = {{\n")
                for v, mask, text in values:
                    f.write(f'    {{ {v if v < 0 else hex(v)}, {mask if mask < 0 else hex(mask)}, "{text}" }},\n')
                f.write("    { 0, 0, 0 }\n};\n")
        f.write("\nconst SysDesc syscall_table[SYSCALL_LIMIT] = {\n")
        for c in calls:
            try:
                args = ", ".join(arg_init(c, k, structs, flags, enums) for _, k in c["args"])
            except SpecError as e:
                raise SystemExit(str(e))
            pointers = sum(1 << i for i, (_, k) in enumerate(c["args"]) if is_pointer(k))
            paths = sum(1 << i for i, (_, k) in enumerate(c["args"]) if k in ("path", "lpath", "npath", "apath"))
            opens = sum(1 << i for i, (_, k) in enumerate(c["args"]) if k == "f.open")
            at = [i + 1 for i, (_, k) in enumerate(c["args"]) if k == "f.at"]
            f.write(f'    [{c["numbers"][0]}] = {{ .name = "{c["name"]}", .handler = {HANDLERS[c["handler"]]}, '
                    f'.host = {c["numbers"][column]}, .nargs = {len(c["args"])}, .pointers = {pointers}, .paths = {paths}, '
                    f'.open_flags = {opens}, .at_flags = {at[0] if at else 0}, .hex_result = {str(c["result"] == "hex").lower()}, ')
            if c["handler"] == "fn":
                f.write(f'.fn = sys_{c["name"]}, ')
            if args:
                f.write(f".arg = {{ {args} }} ")
            f.write("},\n")
        f.write("};\n")


def main():
    spec, host, header, source = sys.argv[1:5]
    calls, structs, flags, enums = read_spec(spec)
    write_header(header, calls, structs)
    write_source(source, calls, structs, flags, enums, HOST_COLUMN[host])


if __name__ == "__main__":
    main()
