/* Indirect jumps: a byte-code machine whose every operation jumps to the next one through a table. */
#include "bench.h"

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, JNZ, DEC, DROP, STOP };

static uint64_t run(const uint8_t *code, uint64_t n)
{
    static void *const op[] = {&&push, &&add, &&sub, &&mul, &&dup, &&swap, &&jnz, &&dec, &&drop, &&stop};
    uint64_t stack[64], *sp = stack;
    const uint8_t *pc = code;

#define NEXT goto *op[*pc++]
    *sp++ = 1;
    *sp++ = n;
    NEXT;
push: *sp++ = *pc++; NEXT;
add: sp--; sp[-1] += sp[0]; NEXT;
sub: sp--; sp[-1] -= sp[0]; NEXT;
mul: sp--; sp[-1] *= sp[0]; NEXT;
dup: sp[0] = sp[-1]; sp++; NEXT;
swap: { uint64_t t = sp[-1]; sp[-1] = sp[-2]; sp[-2] = t; } NEXT;
jnz: if (sp[-1]) pc = code + *pc; else pc++; NEXT;
dec: sp[-1]--; NEXT;
drop: sp--; NEXT;
stop: return sp[-1];
}

int main(int argc, char **argv)
{
    static const uint8_t code[] = {SWAP, PUSH, 3, MUL, PUSH, 7, ADD, DUP, PUSH, 5, SUB, DROP, SWAP, DEC, JNZ, 0, DROP, STOP};
    long n = bench_scale(argc, argv, 10000000);
    printf("%llu\n", (unsigned long long)run(code, (uint64_t)n));
    return 0;
}
