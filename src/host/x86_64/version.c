/*
 * Versions of granules (ir.h): reading one, locking, and unlocking behind the operation that was done under the lock. The address
 * of the entry that is locked is kept in the HostCpu, where a fault finds it.
 */
#include "host/x86_64/emit.h"

/* e = the address of a's entry */
static void entry(Sel *s, Gpr e, Gpr a)
{
    x64_mov_rr(s->a, W64, e, a);
    x64_shift_i(s->a, SH_SHR, W64, e, HOST_VERSION_GRANULE - 3);
    x64_alu_ri(s->a, ALU_AND, W32, e, ((1 << HOST_VERSION_BITS) - 1) << 3);
    x64_alu_rm(s->a, ALU_ADD, W64, e, rm_m(sel_cpu(s, offsetof(HostCpu, versions))));
}

void sel_version(Sel *s, const IrInsn *i)
{
    Gpr a = sel_use_r(s, i->a), d = sel_def_r(s, i);

    entry(s, d, a);
    x64_mov_rm(s->a, W64, d, mem_b(d, 0));
}

void sel_vlock(Sel *s, const IrInsn *i)
{
    if (i->aux & IR_LOCK_ANY)
        sel_take_r(s, RAX);
    else
        sel_use_r_in(s, i->b, RAX);
    Gpr a = sel_use_r(s, i->a), e = sel_tmp_r(s), t = sel_tmp_r(s), d = sel_def_r(s, i);
    uint32_t retry = sel_label(s), failed = sel_label(s), done = sel_label(s);

    entry(s, e, a);
    x64_mov_ri(s->a, d, 1);
    if (i->aux & IR_LOCK_ANY)
        x64_mov_rm(s->a, W64, RAX, mem_b(e, 0));
    sel_bind(s, retry);
    if (i->aux & IR_LOCK_WATCHED) {
        x64_test_ri(s->a, W32, RAX, HOST_VERSION_WATCHED);
        x64_jcc(s->a, CC_E, done);
    }
    x64_test_ri(s->a, W32, RAX, HOST_VERSION_LOCKED);
    x64_jcc(s->a, CC_NE, failed);
    x64_lea(s->a, W64, t, mem_b(RAX, HOST_VERSION_LOCKED));
    x64_cmpxchg(s->a, W64, mem_b(e, 0), t);
    x64_jcc(s->a, CC_NE, i->aux & IR_LOCK_ANY ? retry : failed);
    x64_mov_mr(s->a, W64, sel_cpu(s, offsetof(HostCpu, version_held)), e);
    sel_bind(s, done);
    sel_cold_begin(s);
    sel_bind(s, failed);
    x64_mov_ri(s->a, d, 0);
    x64_jmp(s->a, done);
    sel_cold_end(s);
}

void sel_unlock(Sel *s, const IrInsn *i, Gpr t)
{
    Mem held = sel_cpu(s, offsetof(HostCpu, version_held));
    uint32_t skip = sel_label(s);

    x64_mov_rm(s->a, W64, t, held);
    if (i->op == IR_CAS) { /* the flags say whether it wrote */
        x64_jcc(s->a, CC_NE, skip);
        x64_alu_mi(s->a, ALU_ADD, W64, mem_b(t, 0), HOST_VERSION_STEP);
        sel_bind(s, skip);
        x64_alu_mi(s->a, ALU_SUB, W64, mem_b(t, 0), HOST_VERSION_LOCKED);
        x64_mov_mi(s->a, W64, held, 0);
        return;
    }
    x64_test_rr(s->a, W64, t, t); /* a plain store to what nobody watches has no lock */
    x64_jcc(s->a, CC_E, skip);
    x64_alu_mi(s->a, ALU_ADD, W64, mem_b(t, 0), HOST_VERSION_STEP - HOST_VERSION_LOCKED);
    x64_mov_mi(s->a, W64, held, 0);
    sel_bind(s, skip);
}
