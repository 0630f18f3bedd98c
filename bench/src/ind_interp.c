/* Indirect branches: the dispatch loop of a small stack machine. */
#include "bench.h"

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, JNZ, LOAD, STORE, HALT };

static uint64_t run(const int *code, uint64_t *var)
{
    static const void *const go[] = { &&push, &&add, &&sub, &&mul, &&dup, &&swap, &&jnz, &&load, &&store, &&halt };
    uint64_t st[64], *sp = st, t;
    const int *pc = code;
#define NEXT goto *go[*pc++]
    NEXT;
push:
    *++sp = (uint64_t)*pc++;
    NEXT;
add:
    sp--, sp[0] += sp[1];
    NEXT;
sub:
    sp--, sp[0] -= sp[1];
    NEXT;
mul:
    sp--, sp[0] *= sp[1];
    NEXT;
dup:
    sp++, sp[0] = sp[-1];
    NEXT;
swap:
    t = sp[0], sp[0] = sp[-1], sp[-1] = t;
    NEXT;
jnz:
    t = *sp--;
    pc = t ? code + *pc : pc + 1;
    NEXT;
load:
    *++sp = var[*pc++];
    NEXT;
store:
    var[*pc++] = *sp--;
    NEXT;
halt:
    return var[1];
}

int main(int argc, char **argv)
{
    uint64_t var[4] = { (uint64_t)bench_scale(argc, argv, 2000000), 1, 0, 0 };
    static const int code[] = { LOAD, 1, DUP,  MUL,  LOAD, 0, ADD, PUSH, 3,   SWAP, SUB,
                                STORE, 1, LOAD, 0,    PUSH, 1, SUB, DUP, STORE, 0,   JNZ, 0, HALT };

    printf("%llu\n", (unsigned long long)run(code, var));
    return 0;
}
