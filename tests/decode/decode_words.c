/*
 * Reads 32-bit instruction words from stdin and prints the name of each one's encoding, or "-" when it is undefined:
 * because no line of the tables matches, or because its lifter says so. Every lifted region must pass the verifier.
 */
#include "a64_decode.h"

#include "guest/aarch64/features.h"

#include <stdio.h>
#include <stdlib.h>

static bool defined(Arena *arena, const Guest *g, const A64Features *f, uint32_t insn)
{
    char err[200];
    arena_reset(arena);
    Lift l = {.guest = g, .pc = 0x400000, .next = 0x400004, .cont = 0x400004, .cpu_features = f, .budget = 10};
    IrRegion *r = ir_region_new(arena, &g->slots, g->helpers, g->nhelpers, l.pc);
    ir_builder_init(&l.b, r);
    ir_emit(&l.b, (IrInsn){.op = IR_INSN, .imm = l.pc, .aux = 4});
    if (!a64_decode_lift(&l, f->has, insn))
        return false;
    if (!l.ended)
        ir_exit(&l.b, l.cont, 0);
    if (!ir_verify(r, true, err, sizeof err)) {
        fprintf(stderr, "%08x %s: %s\n", insn, a64_insn_name[a64_decode(f->has, insn)], err);
        ir_print(stderr, r);
        exit(1);
    }
    return true;
}

int main(void)
{
    const Guest *g = guest_by_name("aarch64");
    char err[100];
    const A64Features *f = g->cpu_new("max", err, sizeof err);
    uint32_t insn;
    Arena arena;
    arena_init(&arena);
    while (fread(&insn, sizeof insn, 1, stdin) == 1)
        puts(defined(&arena, g, f, insn) ? a64_insn_name[a64_decode(f->has, insn)] : "-");
    arena_done(&arena);
    free((void *)f);
    return 0;
}
