/*
 * Thunks: code that a hardening compiler lets all indirect branches through one register go by, so that `blr x1` becomes
 * `bl thunk`. Against speculation past the branch, and against trained predictors:
 *
 *   thunk: mov x16, x1               thunk: mov x17, x30
 *          br  x16                          bl  1f
 *                                    0:     wfe
 *                                           b   0b
 *                                    1:     mov x30, x17
 *                                           ret x1
 *
 * All of a program's branches would be one here, with targets that no stub has room for. They are recognised by what they come to,
 * an indirect branch and some moves, and lifted as that in the place of the branch to the thunk, which has targets of its own.
 */
#include "guest/aarch64/guest.h"
#include "guest/aarch64/lift_branch.h"

enum { THUNK_INSNS = 8, LR = 30 };

/* What a register holds at the thunk's end. */
typedef struct Held {
    bool constant;
    uint64_t value; /* or the number of the register that held it before */
} Held;

typedef struct Thunk {
    Held x[31];
    uint64_t target; /* register that held it before */
    unsigned n;      /* instructions */
} Thunk;

typedef bool ReadWord(Lift *l, uint64_t pc, uint32_t *insn);

static bool peek_word(Lift *l, uint64_t pc, uint32_t *insn)
{
    return l->peek(l->ahead_ctx, pc, insn, sizeof *insn);
}

static bool is_move(uint32_t insn)
{
    return (insn & 0xffe0ffe0) == 0xaa0003e0 && (insn >> 16 & 31) != 31 && (insn & 31) != 31;
}

static uint64_t target_of(uint32_t insn, uint64_t pc)
{
    return pc + (uint64_t)a64_sext(insn & 0x3ffffff, 26) * 4;
}

/* Take one instruction. Returns where it leads; 0 when it is none of a thunk's, or the last, after which th->n is set. */
static uint64_t step(Thunk *th, unsigned n, uint64_t has, uint32_t insn, uint64_t pc)
{
    switch (a64_decode(has, insn)) {
    case A64_INSN_nop: case A64_INSN_bti:
        return pc + 4;
    case A64_INSN_orr_shift:
        if (!is_move(insn))
            return 0;
        th->x[insn & 31] = th->x[insn >> 16 & 31];
        return pc + 4;
    case A64_INSN_bl:
        th->x[LR] = (Held){true, pc + 4};
        return target_of(insn, pc);
    case A64_INSN_b:
        return target_of(insn, pc);
    case A64_INSN_br: case A64_INSN_ret:
        if ((insn >> 5 & 31) == 31 || th->x[insn >> 5 & 31].constant)
            return 0;
        th->target = th->x[insn >> 5 & 31].value;
        th->n = n;
        return 0;
    default:
        return 0;
    }
}

/* Follow what is at pc to an indirect branch. */
/* Whether a thunk may begin with it: a move, a call, an indirect branch, a hint. Most branches lead to something else. */
static bool may_begin(uint32_t insn)
{
    return is_move(insn) || insn >> 26 == 0x25 || insn >> 25 == 0x6b || (insn & 0xfffff01f) == 0xd503201f;
}

static bool follow(Lift *l, ReadWord *read, uint64_t pc, bool call, Thunk *th)
{
    uint32_t insn;

    th->n = 0;
    if (!read(l, pc, &insn) || !may_begin(insn))
        return false;
    for (unsigned i = 0; i < 31; i++)
        th->x[i] = (Held){false, i};
    if (call)
        th->x[LR] = (Held){true, l->next};
    for (unsigned n = 1; n <= THUNK_INSNS && pc && !th->n; n++)
        pc = read(l, pc, &insn) ? step(th, n, a64_features(l)->has, insn, pc) : 0;
    return th->n != 0;
}

bool a64_thunk(Lift *l, uint64_t pc, bool call)
{
    Thunk th;
    IrRef v[31];

    if (!l->peek || (l->careful & LIFT_CAREFUL_ALONE) || l->mode & A64_MODE_BTI || !follow(l, peek_word, pc, call, &th))
        return false;
    bool returns = !call && th.target == LR; /* a jump to a plain return */
    if (returns || (!l->flow && l->budget < th.n) || !follow(l, a64_word_ahead, pc, call, &th))
        return false;
    IrRef target = a64_get_x(l, (unsigned)th.target);
    for (unsigned i = 0; i < 31; i++)
        v[i] = th.x[i].constant ? a64_c64(l, th.x[i].value) : th.x[i].value != i ? a64_get_x(l, (unsigned)th.x[i].value) : 0;
    for (unsigned i = 0; i < 31; i++)
        if (v[i])
            a64_put_x(l, i, v[i]);
    bool calls = th.x[LR].constant && th.x[LR].value == l->next;
    lift_jump_ind(l, target, calls ? IR_HINT_CALL : IR_HINT_JUMP, l->next);
    return true;
}
