/* Every row of insn_vec.def with all registers and several memory operands, against an independent disassembler. */
#include "base/arena.h"
#include "host/x86_64/asm_vec.h"
#include "test.h"

#include <Zydis/Zydis.h>
#include <ctype.h>
#include <string.h>

static uint8_t code[ASM_ROOM];
static Arena arena;
static ZydisDecoder decoder;
static ZydisFormatter formatter;
static int reports;

/* What is expected of one emitted instruction: up to four operands, each -1 absent, 0..31 xmm, 64.. gpr, 128 memory. */
typedef struct Want {
    int op[4];
    int imm; /* -1: none */
    unsigned mem_bytes;
    int64_t disp;
    int base, index;
    bool vsib; /* the index is an xmm */
    bool zmm;  /* so are the vectors */
} Want;

enum { GPR = 64, MEM = 128 };

static bool reg_is(ZydisRegister r, int want, bool zmm)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(r);
    int id = ZydisRegisterGetId(r);
    if (want >= GPR)
        return (c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64) && id == want - GPR;
    return c == (zmm ? ZYDIS_REGCLASS_ZMM : ZYDIS_REGCLASS_XMM) && id == want;
}

static bool operand_ok(const ZydisDecodedOperand *o, int want, const Want *w)
{
    if (want < MEM)
        return o->type == ZYDIS_OPERAND_TYPE_REGISTER && reg_is(o->reg.value, want, w->zmm);
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size == w->mem_bytes * 8 && o->mem.disp.value == w->disp
        && reg_is(o->mem.base, GPR + w->base, false)
        && (w->index < 0 ? o->mem.index == ZYDIS_REGISTER_NONE : reg_is(o->mem.index, w->vsib ? w->index : GPR + w->index, false));
}

static bool mnemonic_ok(X64Vec op, ZydisMnemonic m, bool high)
{
    const char *name = x64_vec[op].name, *got = ZydisMnemonicGetString(m);
    /* an immediate predicate is part of no name here */
    for (; *got && *name && *name != '_'; name++, got++)
        if (tolower((unsigned char)*name) != *got)
            return false;
    got += high && *got == 'd' && !got[1]; /* VPAND is VPANDD */
    return !*got && (!*name || *name == '_');
}

static bool check(X64Vec op, const Asm *a, const Want *w)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    size_t len = (size_t)(a->p - a->start);
    bool ok = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, len, &insn, o)) && insn.length == len;
    ok = ok && mnemonic_ok(op, insn.mnemonic, x64_vec[op].enc == X64_VEX && insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX);
    unsigned at = 0;
    for (unsigned k = 0; ok && k < 4; k++) {
        if (w->op[k] < 0)
            continue;
        while (at < insn.operand_count_visible && o[at].type == ZYDIS_OPERAND_TYPE_REGISTER
               && ZydisRegisterGetClass(o[at].reg.value) == ZYDIS_REGCLASS_MASK)
            at++;
        ok = at < insn.operand_count_visible && operand_ok(&o[at], w->op[k], w);
        at++;
    }
    if (ok && w->imm >= 0)
        ok = at < insn.operand_count_visible && o[at].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
            && (uint8_t)o[at].imm.value.u == w->imm;
    if (!ok && reports++ < 20) {
        char text[128] = "";
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, len, &insn, o)))
            ZydisFormatterFormatInstruction(&formatter, &insn, o, insn.operand_count_visible, text, sizeof text, 0, NULL);
        printf("# %s: got \"%s\" for operands %d %d %d %d:", x64_vec[op].name, text, w->op[0], w->op[1], w->op[2], w->op[3]);
        for (size_t i = 0; i < len; i++)
            printf(" %02x", code[i]);
        printf("\n");
    }
    return ok;
}

static void begin(Asm *a)
{
    *a = (Asm){.start = code, .p = code, .end = code + sizeof code, .arena = &arena};
}

/* One instruction with r in ModRM.reg's place, v in vvvv's, m in r/m's (or memory), as each form orders them. */
static bool try_one(X64Vec op, unsigned r, unsigned v, unsigned m, const Mem *mem)
{
    const X64VecInfo *i = &x64_vec[op];
    Asm as, *a = &as;
    Xmm d = {(uint8_t)r}, x = {(uint8_t)v}, s = {(uint8_t)m};
    Gpr gd = {(uint8_t)r}, gs = {(uint8_t)m};
    RXm xs = mem ? xm_m(*mem) : xm_x(s);
    unsigned imm = (r * 5 + v * 3 + m) & 15;
    int R = (int)r, V = (int)v, M = mem ? MEM : (int)m, GM = mem ? MEM : GPR + (int)m;
    Want w = {.op = {-1, -1, -1, -1}, .imm = -1, .zmm = i->enc == X64_EVEX_Z || i->enc == X64_EVEX_ZK};

    if (mem) {
        w.mem_bytes = 1u << i->mem;
        w.disp = mem->disp;
        w.base = mem->base;
        w.index = mem->index == MEM_NONE ? -1 : mem->index;
    }
#define OPS(...) memcpy(w.op, (int[4]){__VA_ARGS__}, sizeof w.op)
    begin(a);
    switch ((X64VecForm)i->form) {
    case X64_RVM: x64_rvm_xm(a, op, d, x, xs); OPS(R, V, M, -1); break;
    case X64_RM: x64_rm_xm(a, op, d, xs); OPS(R, M, -1, -1); break;
    case X64_MR: mem ? x64_mr_m(a, op, *mem, d) : x64_mr(a, op, s, d); OPS(M, R, -1, -1); break;
    case X64_RVMI: x64_rvmi_xm(a, op, d, x, xs, imm); OPS(R, V, M, -1); w.imm = (int)imm; break;
    case X64_RMI: x64_rmi_xm(a, op, d, xs, imm); OPS(R, M, -1, -1); w.imm = (int)imm; break;
    case X64_MRI: mem ? x64_mri_m(a, op, *mem, d, imm) : x64_mri(a, op, s, d, imm); OPS(M, R, -1, -1); w.imm = (int)imm; break;
    case X64_VMI: mem ? x64_vmi_m(a, op, x, *mem, imm) : x64_vmi(a, op, x, s, imm); OPS(V, M, -1, -1); w.imm = (int)imm; break;
    case X64_RVMS: x64_rvms_xm(a, op, d, x, xs, (Xmm){(uint8_t)imm}); OPS(R, V, M, (int)imm); break;
    case X64_RVM_G: mem ? x64_rvm_gm(a, op, d, x, *mem) : x64_rvm_g(a, op, d, x, gs); OPS(R, V, GM, -1); break;
    case X64_RM_XG: mem ? x64_xg_m(a, op, d, *mem) : x64_xg(a, op, d, gs); OPS(R, GM, -1, -1); break;
    case X64_RM_GX: mem ? x64_gx_m(a, op, gd, *mem) : x64_gx(a, op, gd, s); OPS(GPR + R, M, -1, -1); break;
    case X64_MR_GX: mem ? x64_mr_m(a, op, *mem, d) : x64_gx(a, op, gs, d); OPS(GM, R, -1, -1); break;
    case X64_RVMI_G: mem ? x64_rvmi_gm(a, op, d, x, *mem, imm) : x64_rvmi_g(a, op, d, x, gs, imm); OPS(R, V, GM, -1); w.imm = (int)imm; break;
    case X64_MRI_GX: mem ? x64_mri_m(a, op, *mem, d, imm) : x64_gxi(a, op, gs, d, imm); OPS(GM, R, -1, -1); w.imm = (int)imm; break;
    case X64_KVM: /* k is passed over with the masks */
        if (!mem)
            return true;
        x64_kvm_m(a, op, r & 7, x, *mem);
        OPS(V, MEM, -1, -1);
        break;
    case X64_VSIB:
        if (mem || r == v || r == m || v == m)
            return true;
        x64_gather(a, op, d, (Gpr){(uint8_t)(r ^ 5)}, s, x);
        OPS(R, MEM, V, -1);
        w.mem_bytes = 1u << i->mem;
        w.base = (int)(r ^ 5);
        w.index = (int)m;
        w.vsib = true;
        break;
    }
    return check(op, a, &w);
}

static bool registers(X64Vec op)
{
    bool ok = true, g = x64_vec[op].form >= X64_RVM_G;
    unsigned n = x64_has_high(op) ? 32 : 16;

    for (unsigned r = 0; r < n; r++)
        for (unsigned v = 0; v < n; v++)
            for (unsigned m = 0; m < n; m++) {
                if ((g && (m >= 16 || r >= 16)) || (x64_vec[op].form == X64_VMI && r))
                    continue;
                ok &= try_one(op, r, v, m, NULL);
            }
    return ok;
}

static bool memory(X64Vec op)
{
    static const int32_t disp[] = {0, 1, 16, 64, -16, -128, 127, 128, 256, 2032, -2048, 2048, 0x12345};
    bool ok = true, high = x64_has_high(op) && x64_vec[op].form < X64_RVM_G && x64_vec[op].form != X64_VMI;
    for (unsigned b = 0; b < 16; b++)
        for (unsigned k = 0; k < 16; k++)
            for (size_t d = 0; d < sizeof disp / sizeof *disp; d++) {
                Mem m = k == 4 ? mem_b((Gpr){(uint8_t)b}, disp[d]) : mem_bi((Gpr){(uint8_t)b}, (Gpr){(uint8_t)k}, k & 3, disp[d]);
                ok &= try_one(op, ((b + d) & 15) + (high ? 16 * (k & 1) : 0), k, 0, &m);
            }
    return ok;
}

int main(void)
{
    TEST_BEGIN();
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned op = 0; op < X64_NVEC; op++) {
        bool ok = registers((X64Vec)op);
        if (x64_vec[op].mem != X64_VEC_NOMEM)
            ok &= memory((X64Vec)op);
        TEST(x64_vec[op].name, ok);
    }
    return TEST_END();
}
