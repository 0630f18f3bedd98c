"""Write a C project of N modules (about 60 lines each), a header and a Makefile into the current directory."""
import sys

n = int(sys.argv[1])
with open("all.h", "w") as f:
    f.write("#ifndef ALL_H\n#define ALL_H\n#include <stdint.h>\n")
    f.write("".join(f"uint32_t mod{i}(uint32_t x);\n" for i in range(n)) + "#endif\n")
for i in range(n):
    with open(f"mod{i}.c", "w") as f:
        f.write('#include "all.h"\n#include <stdlib.h>\n#include <string.h>\n')
        for k in range(8):
            f.write(f"""
static uint32_t part{k}(uint32_t x)
{{
    uint32_t t[16], s = x;
    for (unsigned i = 0; i < 16; i++)
        t[i] = (s = s * {1103515245 + 2 * k}u + {12345 + i}u) >> {k % 5 + 3};
    for (unsigned i = 0; i < 16; i++)
        s ^= t[(i * 7 + {k}) & 15] + (t[i] > s ? {i}u : {k}u);
    return s;
}}
""")
        f.write(f"\nuint32_t mod{i}(uint32_t x)\n{{\n" + "".join(f"    x = part{k}(x);\n" for k in range(8)) + "    return x;\n}\n")
with open("main.c", "w") as f:
    f.write('#include "all.h"\n#include <stdio.h>\nint main(void)\n{\n    uint32_t s = 1;\n')
    f.write("".join(f"    s = mod{i}(s);\n" for i in range(n)))
    f.write(f'    printf("{n} modules, checksum %u\\n", (unsigned)(s % 10000000));\n    return 0;\n}}\n')
with open("Makefile", "w") as f:
    f.write("CFLAGS = -O2 -Wall\nOBJ = main.o " + " ".join(f"mod{i}.o" for i in range(n)))
    f.write("\nprog: $(OBJ)\n\t$(CC) -o $@ $(OBJ)\n$(OBJ): all.h\nclean:\n\trm -f $(OBJ) prog\n")
