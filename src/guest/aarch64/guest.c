/*
 * The AArch64 guest: the table that the rest of Dragoman knows it by.
 */
#include "guest/aarch64/guest.h"

#include "base/capstone.h"
#include "base/check.h"
#include "guest/aarch64/branch_table.h"
#include "guest/aarch64/lift.h"
#include "guest/aarch64/qemu_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const IrSlot slots[A64_NSLOTS] = {
#define A64_SLOT(slot_name, slot_type, field) \
    {.name = slot_name, .type = slot_type, .offset = offsetof(A64State, field)},
#define A64_FLAG(slot_name, field) {.name = slot_name, .type = IR_I8, .offset = offsetof(A64State, field), .boolean = true},
#include "guest/aarch64/slots.def"
#undef A64_FLAG
#undef A64_SLOT
};

static const IrHelper helpers[A64_NHELPERS] = {
#define A64_HELPER(help_name, function, result, ...)                                                                       \
    [A64_HELP_##help_name] = {.name = #function, .fn = function, .ret = result, .arg = {__VA_ARGS__},                      \
                              .nargs = sizeof((uint8_t[]){0, ##__VA_ARGS__}) - 1},
#include "guest/aarch64/helpers.def"
#undef A64_HELPER
};

#define X(n) (A64_X0 + (n))
#define V(n) (A64_V0 + (n))

/*
 * Arguments and results come first, then what compilers choose next; the flags last: they rarely outlive a region. The frame pointer in
 * x4's place made recursion 8 % faster, and an interpreter, whose stack pointer x4 was, half as fast.
 */
static const uint16_t pin_int[] = {
    X(0), X(1), X(2), X(19), X(20), X(3), A64_SP, X(4), X(30), X(21), X(22), X(29), X(8), X(5), X(6), X(23), X(7), X(24),
    X(9), X(10), X(16), X(17), X(25), X(26), X(11), X(12), X(27), X(28), X(13), X(14), X(15), X(18), 0xffff,
};

static const uint16_t pin_vec[] = {
    V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), V(16), V(17), V(18), V(19), V(20), V(21), V(22), V(23), V(8), V(9),
    V(10), V(11), V(12), V(13), V(14), V(15), V(24), V(25), V(26), V(27), V(28), V(29), V(30), V(31), 0xffff,
};

static const uint16_t flag_slot[FLAG_COUNT] = {
    [FLAG_SIGN] = A64_N, [FLAG_ZERO] = A64_Z, [FLAG_CARRY] = A64_C, [FLAG_OVERFLOW] = A64_V,
};

static void *cpu_new(const char *list, char *err, size_t errlen)
{
    A64Features *f = malloc(sizeof *f);
    if (!f) {
        snprintf(err, errlen, "out of memory");
        return NULL;
    }
    if (!a64_features_parse(f, list, err, errlen)) {
        free(f);
        return NULL;
    }
    return f;
}

static void reset(IrCpu *cpu, const void *features)
{
    A64State *s = a64_state(cpu);
    s->excl_addr = A64_NO_EXCL;
    s->features = features;
    cpu->mode = 0;
    cpu->fp = (FpEnv){.nan_rule = FP_NAN_ARM};
}

static IrFpMode fp_mode(uint32_t mode)
{
    return (IrFpMode){.nan_rule = FP_NAN_ARM, .soft = mode & A64_MODE_SOFTFP, .exact = mode & A64_MODE_FPSR};
}

static uint32_t fetch(const uint8_t *code)
{
    return code[0] | code[1] << 8 | code[2] << 16 | (uint32_t)code[3] << 24;
}

/* Loads, stores and data cache operations: what may fault on an address. */
static bool accesses_memory(uint32_t insn)
{
    return (insn & 0x0a000000) == 0x08000000 || ((insn & 0xfffff000) == 0xd50b7000 && (insn >> 8 & 15) != 5);
}

/* The first instruction after an indirect branch checks PSTATE.BTYPE and clears it: after its access, if it makes one,
 * so that a fault shows the value with which the instruction was reached. */
static bool lift_first(Lift *l, uint32_t insn)
{
    bool late = accesses_memory(insn);

    a64_landing(l, insn);
    if (!late)
        ir_put(&l->b, A64_BTYPE, a64_c8(l, 0));
    if (!a64_decode_lift(l, a64_features(l)->has, insn))
        return false;
    if (late && !l->ended)
        ir_put(&l->b, A64_BTYPE, a64_c8(l, 0));
    return true;
}

static unsigned lift(Lift *l, const uint8_t *code, size_t avail)
{
    if (avail < 4)
        return 0;
    uint32_t insn = fetch(code);
    l->next = l->cont = l->pc + 4;
    ir_mark(&l->b, l->pc, 4);
    bool first = l->mode & A64_MODE_BTI && l->pc == l->b.r->pc;
    if (!(first ? lift_first(l, insn) : a64_decode_lift(l, a64_features(l)->has, insn)))
        lift_stop(l, IR_STOP_ILLEGAL);
    return 4;
}

static unsigned disas(uint64_t pc, const uint8_t *code, size_t avail, char *buf, size_t buflen)
{
    Capstone lib;
    csh cs;
    cs_insn *insn;
    if (avail < 4) {
        snprintf(buf, buflen, "(truncated)");
        return 4;
    }
    if (!capstone_get(&lib) || lib.open(CS_ARCH_ARM64, CS_MODE_ARM, &cs) != CS_ERR_OK) {
        snprintf(buf, buflen, ".inst 0x%08x", fetch(code));
        return 4;
    }
    if (lib.disasm(cs, code, 4, pc, 1, &insn) == 1) {
        snprintf(buf, buflen, "%s%s%s", insn->mnemonic, *insn->op_str ? " " : "", insn->op_str);
        lib.free(insn, 1);
    } else { /* newer than the disassembler: our own name for the encoding */
        int id = a64_decode(UINT64_MAX, fetch(code));
        snprintf(buf, buflen, ".inst 0x%08x%s%s", fetch(code), id < 0 ? "" : " // ", id < 0 ? "" : a64_insn_name[id]);
    }
    lib.close(&cs);
    return 4;
}

enum { FLAGS = 1 << A64_N | 1 << A64_Z | 1 << A64_C | 1 << A64_V };

/* What an instruction does with the flags, for dead_slots and read_flags. */
typedef enum FlagUse { FLAGS_UNKNOWN, FLAGS_UNTOUCHED, FLAGS_SET, FLAGS_READ } FlagUse;

/* Only common instructions are known; none of those may fault, or the flags would be seen by the handler. */
#define U(insn) [A64_INSN_##insn] = FLAGS_UNTOUCHED
#define S(insn) [A64_INSN_##insn] = FLAGS_SET
#define R(insn) [A64_INSN_##insn] = FLAGS_READ
static const uint8_t flag_uses[A64_NINSNS] = {
    U(add_imm), U(sub_imm), U(add_shift), U(sub_shift), U(add_ext), U(sub_ext), U(and_imm), U(orr_imm), U(eor_imm),
    U(and_shift), U(bic_shift), U(orr_shift), U(orn_shift), U(eor_shift), U(eon_shift), U(movn), U(movz), U(movk),
    U(sbfm), U(bfm), U(ubfm), U(extr), U(adr), U(adrp), U(madd), U(msub), U(lslv), U(lsrv), U(asrv), U(nop),
    U(fmov_reg), U(fmov_imm_s), U(fmov_w_s), U(fmov_x_d), U(fabs_s), U(fneg_s), U(fsqrt_s), U(fadd_s), U(fsub_s),
    U(fmul_s), U(fdiv_s), U(fnmul_s), U(fmadd_s), U(fcvt_s), U(fcvt_d_s), U(scvtf_int_s), U(fcvt_int_s),
    S(adds_imm), S(subs_imm), S(adds_shift), S(subs_shift), S(adds_ext), S(subs_ext), S(ands_imm), S(ands_shift),
    S(bics_shift), S(fcmp_s), S(fcmp_zero_s),
    R(b_cond), R(csel), R(csinc), R(csinv), R(csneg), R(ccmp_imm), R(ccmp_reg), R(ccmn_imm), R(ccmn_reg), R(adc),
    R(adcs), R(sbc), R(sbcs), R(fcsel_s), R(fccmp_s),
};
#undef U
#undef S
#undef R

static FlagUse flag_use(uint32_t insn)
{
    int id = a64_decode(UINT64_MAX, insn);

    return id < 0 ? FLAGS_UNKNOWN : flag_uses[id];
}

static uint64_t dead_slots(const uint8_t *code, size_t avail)
{
    for (unsigned i = 0; i < 6 && avail >= 4 * (i + 1); i++) {
        FlagUse use = flag_use(fetch(code + 4 * i));
        if (use != FLAGS_UNTOUCHED)
            return use == FLAGS_SET ? FLAGS : 0;
    }
    return 0;
}

/* A guess: what is not known is passed over. */
static uint64_t read_flags(const uint8_t *code, size_t avail)
{
    for (unsigned i = 0; i < 16 && avail >= 4 * (i + 1); i++) {
        FlagUse use = flag_use(fetch(code + 4 * i));
        if (use == FLAGS_SET || use == FLAGS_READ)
            return use == FLAGS_READ ? FLAGS : 0;
    }
    return 0;
}

/* Exclusive loads: see lift_fuse.c. */
static bool joins(const uint8_t *code, size_t avail)
{
    int id = avail < 4 ? -1 : a64_decode(UINT64_MAX, fetch(code));

    return id == A64_INSN_ldxr || id == A64_INSN_ldxp;
}

static void dump(FILE *f, const IrCpu *cpu)
{
    const A64State *s = (const A64State *)cpu->state;
    fprintf(f, "pc  %016" PRIx64 "  nzcv %d%d%d%d  fpcr %08" PRIx64 "\n", cpu->pc, s->n, s->z, s->c, s->v, s->fpcr);
    for (unsigned i = 0; i < 32; i++)
        fprintf(f, "%s%-2u %016" PRIx64 "%s", i == 31 ? "sp" : "x", i, i == 31 ? s->sp : s->x[i], i % 4 == 3 ? "\n" : "  ");
    for (unsigned i = 0; i < 32; i++)
        fprintf(f, "v%-2u %016" PRIx64 "%016" PRIx64 "%s", i, s->q[i].u64[1], s->q[i].u64[0], i % 2 ? "\n" : "  ");
}

/* Procedure Call Standard for the Arm 64-bit Architecture, "The Base Procedure Call Standard" */
static const GuestCall call = {
    .sp = A64_SP, .link = A64_X30, .result = A64_X0, .nargs = 8,
    .args = {A64_X0, A64_X0 + 1, A64_X0 + 2, A64_X0 + 3, A64_X0 + 4, A64_X0 + 5, A64_X0 + 6, A64_X0 + 7},
};

const Guest guest_aarch64 = {
    .name = "aarch64",
    .deb_arch = "arm64",
    .elf_machine = 183,
    .min_insn = 4,
    .pc_shift = 2,
    .pc_tag_bits = 8, /* TBI0 without TBI1, as Linux has it: AArch64.BranchAddr */
    .slots = {.slot = slots, .count = A64_NSLOTS, .state_size = sizeof(A64State)},
    .pin_int = pin_int,
    .pin_vec = pin_vec,
    .helpers = helpers,
    .nhelpers = A64_NHELPERS,
    .flag_slot = flag_slot,
    .call = &call,
    .flags = FLAGS,
    .mode_versions = A64_MODE_VERSIONS,
    .mode_strict = A64_MODE_STRICT,
    .careful = LIFT_CAREFUL_TAG | LIFT_CAREFUL_ALONE,
    .cpu_new = cpu_new,
    .reset = reset,
    .fp_mode = fp_mode,
    .lift = lift,
    .disas = disas,
    .dead_slots = dead_slots,
    .read_flags = read_flags, .branch_targets = a64_branch_targets, .qemu_view = a64_qemu_view,
    .joins = joins,
    .dump = dump,
};
