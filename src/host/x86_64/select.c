/* The forward pass: every needed instruction in order, each by its rule. Conditions, selections, branches. */
#include "host/x86_64/emit.h"
#include "host/x86_64/graph.h"
#include "host/x86_64/isel.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"
#include "ir/simplify.h"

/* --- conditions in flags ---------------------------------------------------------------------------------------------- */

static bool cond_poll(Sel *s, const IrInsn *i, SelCond *out)
{
    if (s->plan->cfg.count_polls)
        x64_alu_mi(s->a, ALU_SUB, W32, sel_cpu(s, offsetof(HostCpu, polls_left)), 1);
    else
        x64_alu_mi(s->a, ALU_CMP, W32, sel_cpu(s, offsetof(HostCpu, exit_request)), 0);
    *out = (SelCond){.cc = s->plan->cfg.count_polls ? CC_E : CC_NE};
    return true;
}

static SelCondRule *cond_rule(const IrInsn *i)
{
    if (i->op == IR_POLL)
        return cond_poll;
    return plan_is_x((IrType)i->lane) || i->op == IR_VANY ? sel_fp_conds[i->op] : sel_int_conds[i->op];
}

/* Operations on floats are left to ir_eval in regions whose FP environment is not the host's. */
static bool is_soft(const Sel *s, const IrInsn *i)
{
    return s->r->fp.soft && (ir_ops[i->op].flags & IRF_FP);
}

/*
 * The condition of a BRIF or SELECT in flags. What the caller needs from the allocator must have been asked for. Returns
 * true; *out says how to test.
 */
bool sel_cond(Sel *s, const IrInsn *user, IrRef cond, SelCond *out)
{
    IrRef root = ra_root(s, cond), ref = (IrRef)(user - s->r->insn);

    if (ra_val(s, ref)->flags & VAL_COND) {
        const IrInsn *i = &s->r->insn[root];
        if (!is_soft(s, i) && cond_rule(i)(s, i, out))
            return true;
        if (ra_val(s, root)->reg == REG_NONE && !ra_val(s, root)->spill)
            sel_dispatch(s, i); /* its operands are this instruction's */
    }
    isel_sign_flags(s, cond, W8);
    *out = (SelCond){.cc = CC_NE};
    return true;
}

/* Jump when the condition is `sense`. */
void sel_jump_if(Sel *s, SelCond c, bool sense, uint32_t label)
{
    const uint8_t *from = s->a->p;
    if (c.inv != sense) {
        x64_jcc(s->a, c.cc, label);
        if (c.two)
            x64_jcc(s->a, c.cc2, label);
    } else if (c.two) {
        uint32_t skip = x64_jcc_short(s->a, c.cc);
        x64_jcc(s->a, c.cc2 ^ 1, label);
        asm_short_here(s->a, skip);
    } else {
        x64_jcc(s->a, c.cc ^ 1, label);
    }
    asm_flags_kept(s->a, from); /* jumps keep them */
}

/* A boolean operation as a value. */
static void cond_to_reg(Sel *s, SelCond c, Gpr d, Gpr t)
{
    x64_setcc(s->a, c.inv ? c.cc ^ 1 : c.cc, d);
    if (c.two) {
        x64_setcc(s->a, c.inv ? c.cc2 ^ 1 : c.cc2, t);
        x64_alu_rr(s->a, c.inv ? ALU_AND : ALU_OR, W32, d, t);
    }
}

static bool cond_value(Sel *s, const IrInsn *i)
{
    SelCond c;
    if (!live_has_cond(i) || !cond_rule(i)(s, i, &c))
        return false;
    Gpr t = c.two ? sel_tmp_r(s) : RAX;
    cond_to_reg(s, c, sel_def_r_last(s, i), t);
    return true;
}

static Gpr choice_to_reg(Sel *s, const IrInsn *i, uint64_t keep);

/* A boolean, lazy or not, in a register that may be written, added to those in *keep; no others stay locked. */
static Gpr bool_to_reg(Sel *s, IrRef root, uint64_t *keep)
{
    SelCond c;
    Gpr d, from;

    if (ra_val(s, root)->flags & VAL_LAZY && s->r->insn[root].op == IR_SELECT) {
        d = choice_to_reg(s, &s->r->insn[root], *keep);
    } else if (ra_val(s, root)->flags & VAL_LAZY) {
        bool done = cond_rule(&s->r->insn[root])(s, &s->r->insn[root], &c);
        CHECK(done);
        d = sel_tmp_r(s);
        cond_to_reg(s, c, d, c.two ? sel_tmp_r(s) : RAX);
    } else {
        from = sel_use_r(s, root);
        d = sel_tmp_r(s);
        x64_mov_rr(s->a, W32, d, from);
    }
    *keep |= REG_BIT(d.n);
    s->ra->locked = *keep;
    return d;
}

/* `a ? b : 0` of booleans: both. */
static bool is_both(const Sel *s, const IrInsn *i)
{
    uint64_t k;

    return i->type == IR_I8 && sel_const(s, i->c, &k) && k == 0 && ir_value_bits(s->r, i->a) == 1 && ir_value_bits(s->r, i->b) == 1;
}

/* A lazy choice, the same way; what is in `keep` stays. */
static Gpr choice_to_reg(Sel *s, const IrInsn *i, uint64_t keep)
{
    bool both = is_both(s, i);
    Gpr no = {0};

    if (!both) /* first, as it may be a choice: so few registers are held meanwhile */
        no = bool_to_reg(s, ra_root(s, i->c), &keep);
    Gpr k = bool_to_reg(s, ra_root(s, i->a), &keep);
    Gpr yes = bool_to_reg(s, ra_root(s, i->b), &keep);
    if (both) {
        x64_alu_rr(s->a, ALU_AND, W32, yes, k);
        return yes;
    }
    x64_test_rr(s->a, W8, k, k);
    x64_cmov(s->a, CC_NE, W32, no, rm_r(yes));
    return no;
}

void sel_lazy_cond(Sel *s, IrRef root, SelCond *c)
{
    if (!(ra_val(s, root)->flags & VAL_LAZY)) {
        isel_sign_flags(s, root, W8);
        *c = (SelCond){.cc = CC_NE};
        return;
    }
    bool done = cond_rule(&s->r->insn[root])(s, &s->r->insn[root], c);
    CHECK(done);
}

void sel_cond_store(Sel *s, IrRef root, Mem m)
{
    const IrInsn *i = &s->r->insn[root];
    SelCond c;
    if (i->op == IR_SELECT) {
        x64_mov_mr(s->a, W8, m, choice_to_reg(s, i, 0));
        return;
    }
    bool done = cond_rule(i)(s, i, &c);
    CHECK(done);
    if (c.two) {
        Gpr d = sel_tmp_r(s), t = sel_tmp_r(s);
        cond_to_reg(s, c, d, t);
        x64_mov_mr(s->a, W8, m, d);
        return;
    }
    x64_setcc_m(s->a, c.inv ? c.cc ^ 1 : c.cc, m);
}

/* Whether value `v` is an operand of the condition that is evaluated with instruction `i`. */
static bool feeds_cond(const Sel *s, const IrInsn *i, IrRef v)
{
    const IrInsn *c = &s->r->insn[ra_root(s, i->a)];
    IrRef root = ra_root(s, v);
    if (ra_root(s, i->a) == root)
        return true;
    if (!(ra_val(s, (IrRef)(i - s->r->insn))->flags & VAL_COND))
        return false;
    if (ra_val(s, ra_root(s, i->a))->flags & VAL_LAZY) {
        IrRef op[LAZY_OPS];
        for (unsigned n = live_lazy_operands(s, ra_root(s, i->a), op); n--;)
            if (op[n] == root)
                return true;
    }
    return ra_root(s, c->a) == root || ra_root(s, c->b) == root || ra_root(s, c->c) == root;
}

static bool select_both(Sel *s, const IrInsn *i)
{
    IrRef ref = (IrRef)(i - s->r->insn);
    Gpr d, a;

    if (!(ra_val(s, ref)->flags & VAL_COND)) {
        a = sel_use_r(s, i->a);
        d = sel_def_r_from(s, i, i->b);
    } else if (!feeds_cond(s, i, i->b)) {
        SelCond c;
        a = sel_tmp_r(s);
        d = sel_def_r_from(s, i, i->b);
        sel_cond(s, i, i->a, &c);
        cond_to_reg(s, c, a, c.two ? sel_tmp_r(s) : RAX);
    } else {
        return false;
    }
    x64_alu_rr(s->a, ALU_AND, W8, d, a);
    flags_set(s, FL_RES, ref, 0, W8);
    return true;
}

static void select_int(Sel *s, const IrInsn *i)
{
    Width w = i->type == IR_I64 ? W64 : W32;
    SelCond c;

    if (is_both(s, i) && select_both(s, i))
        return;
    Gpr yes = sel_use_r(s, i->b), d, no;
    bool same = ra_root(s, i->b) == ra_root(s, i->c);

    if (same || feeds_cond(s, i, i->c)) {
        no = sel_use_r(s, i->c);
        d = sel_def_r(s, i);
    } else {
        no = d = sel_def_r_from(s, i, i->c);
    }
    sel_cond(s, i, i->a, &c);
    if (d.n != no.n || (c.inv && c.two)) /* in the last case below nothing may clear the upper half of an i32 */
        x64_mov_rr(s->a, w, d, no);
    if (!c.inv) {
        x64_cmov(s->a, c.cc, w, d, rm_r(yes));
        if (c.two)
            x64_cmov(s->a, c.cc2, w, d, rm_r(yes));
    } else if (!c.two) {
        x64_cmov(s->a, c.cc ^ 1, w, d, rm_r(yes));
    } else {
        uint32_t skip = x64_jcc_short(s->a, c.cc);
        x64_cmov(s->a, c.cc2 ^ 1, w, d, rm_r(yes));
        asm_short_here(s->a, skip);
    }
}

static void select_x(Sel *s, const IrInsn *i)
{
    SelCond c;
    Xmm yes = sel_use_x(s, i->b), no = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    uint32_t done = sel_label(s);

    sel_cond(s, i, i->a, &c);
    x64_rm(s->a, VMOVAPS, d, no);
    sel_jump_if(s, c, false, done);
    x64_rm(s->a, VMOVAPS, d, yes);
    sel_bind(s, done);
}

/* A value, or one more, by what is likely the carry (live.c). */
static void select_increment(Sel *s, const IrInsn *i, bool yes)
{
    Width w = i->type == IR_I64 ? W64 : W32;
    IrRef v = yes ? i->c : i->b;
    Gpr d, from;
    SelCond c;

    if (feeds_cond(s, i, v)) {
        from = sel_use_r(s, v);
        d = sel_def_r(s, i);
    } else {
        from = d = sel_def_r_from(s, i, v);
    }
    sel_cond(s, i, i->a, &c);
    CHECK(!c.two);
    Cc more = yes != c.inv ? c.cc : c.cc ^ 1;
    if (d.n != from.n)
        x64_mov_rr(s->a, w, d, from);
    if (more == CC_B) {
        x64_alu_ri(s->a, ALU_ADC, w, d, 0);
    } else if (more == CC_AE) {
        x64_alu_ri(s->a, ALU_SBB, w, d, -1);
    } else {
        Gpr t = sel_tmp_r(s);
        x64_lea(s->a, w, t, mem_b(d, 1));
        x64_cmov(s->a, more, w, d, rm_r(t));
    }
}

void sel_select(Sel *s, const IrInsn *i)
{
    IrRef cond = ra_root(s, i->a);
    unsigned am = ra_val(s, (IrRef)(i - s->r->insn))->am;

    if (am == VAL_AM_INC_YES || am == VAL_AM_INC_NO) {
        select_increment(s, i, am == VAL_AM_INC_YES);
        return;
    }
    if ((ra_val(s, (IrRef)(i - s->r->insn))->flags & VAL_COND) && fp_select(s, i, &s->r->insn[cond]))
        return;
    if (plan_is_x((IrType)i->type))
        select_x(s, i);
    else
        select_int(s, i);
}

/* --- rules by class --------------------------------------------------------------------------------------------------- */

static SelRule *rule_of(const IrInsn *i)
{
    SelRule *rule;
    if (i->type == IR_V128 || i->lanes)
        rule = sel_vec_rules[i->op];
    else if (plan_is_x((IrType)i->type) || plan_is_x((IrType)i->lane))
        rule = sel_fp_rules[i->op];
    else
        rule = sel_int_rules[i->op];
    return rule ? rule : sel_vec_rules[i->op] && i->op >= IR_VDUP ? sel_vec_rules[i->op] : NULL;
}

static void sel_pure(Sel *s, const IrInsn *i)
{
    SelCond c;
    if (ra_val(s, (IrRef)(i - s->r->insn))->flags & VAL_LAZY) { /* an FP comparison: only its flags are wanted here */
        bool done = cond_rule(i)(s, i, &c);
        CHECK(done);
        return;
    }
    if (!is_soft(s, i)) {
        SelRule *rule = rule_of(i);
        if (rule ? rule(s, i) : cond_value(s, i))
            return;
    }
    sel_eval(s, i);
}

static void sel_prefetch(Sel *s, const IrInsn *i)
{
    x64_prefetch(s->a, mem_b(sel_use_r(s, i->a), 0), i->aux != 0);
}

void sel_dispatch(Sel *s, const IrInsn *i)
{
    switch (i->op) {
    case IR_SELECT: sel_select(s, i); break;
    case IR_LOAD: sel_load(s, i); break;
    case IR_STORE: sel_store(s, i); break;
    case IR_CAS: sel_cas(s, i); break;
    case IR_RMW: sel_rmw(s, i); break;
    case IR_FENCE: sel_fence(s, i); break;
    case IR_VERSION: sel_version(s, i); break;
    case IR_VLOCK: sel_vlock(s, i); break;
    case IR_PREFETCH: sel_prefetch(s, i); break;
    case IR_CALL: sel_call(s, i); break;
    case IR_OWE: sel_owe(s, i); break;
    case IR_CELL_GET: sel_cell_get(s, i); break;
    case IR_CELL_PUT: sel_cell_put(s, i); break;
    case IR_CELL_ADD: sel_cell_add(s, i); break;
    case IR_ROOM: sel_room(s, i); break;
    case IR_STASH: sel_stash(s, i); break;
    case IR_NOTE: sel_note(s, i); break;
    case IR_TOOL: sel_tool(s, i); break;
    case IR_TELL: sel_tell(s, i); break;
    case IR_EXIT: case IR_EXIT_CALL: case IR_EXIT_IND: case IR_EXIT_HELP: case IR_EXIT_STOP: sel_exit(s, i); break;
    default: sel_pure(s, i); break;
    }
}

#define NO_LABEL UINT32_MAX
#define LOOP_ALIGN 32u

/* --- blocks ----------------------------------------------------------------------------------------------------------- */

/*
 * The jump for a condition that has just been evaluated, then the code of the block that is not fallen through to; the
 * allocator's state is as before after it.
 *   back   where the other way leads, if not on: a label, or NO_LABEL
 */
static void sel_side(Sel *s, const IrInsn *i, SelCond c, uint32_t side, uint32_t back)
{
    SelAlloc *ra = s->ra;
    uint32_t label = sel_label(s);
    Scope *save = ARENA_ARRAY(s->arena, Scope, 1);
    Asm *from = s->a;
    bool sense = side == (uint32_t)i->imm;
    bool inline_side = s->a == &s->cold;

    if (back != NO_LABEL) {
        sel_jump_if(s, c, !sense, back);
        x64_jmp(s->a, label);
    } else {
        sel_jump_if(s, c, inline_side ? !sense : sense, label);
    }
    ra_insn_end(s);

    ra_scope_enter(s, save, ra->bend[side]);
    s->a = &s->cold;
    if (!inline_side)
        sel_bind(s, label);
    ra->pos++;
    uint32_t block = emit_block(s);
    sel_block(s, side);
    s->a = from;
    if (inline_side)
        sel_bind(s, label);
    emit_mark_block(s, block, false);
    ra_scope_leave(s, save);
}

/* The instructions of a block but for a branch, which is returned. */
static const IrInsn *sel_insns(Sel *s, uint32_t block)
{
    SelAlloc *ra = s->ra;

    emit_mark_block(s, block, true);
    if (s->plan->cfg.tool_calls)
        sel_calls_block(s);
    for (;; ra->pos++) {
        IrRef ref = ra->order[ra->pos];
        const IrInsn *i = &s->r->insn[ref];
        if (s->calls.fp_host | s->calls.told)
            sel_calls_before(s, i);
        if (i->op == IR_BR || i->op == IR_BRIF)
            return i;
        if (i->op == IR_INSN)
            emit_mark_insn(s, i->imm);
        if (!(ra->val[ref].flags & VAL_NEEDED))
            continue;
        ra_insn_begin(s, ref);
        sel_dispatch(s, i);
        ra_insn_end(s);
        if (ir_ops[i->op].flags & IRF_END)
            break;
    }
    ra->pos++;
    return NULL;
}

void sel_block(Sel *s, uint32_t block)
{
    const IrInsn *i;
    while ((i = sel_insns(s, block))) {
        block = (uint32_t)i->imm;
        if (i->op == IR_BR) {
            s->ra->pos++;
        } else {
            uint32_t side;
            SelCond c;
            live_targets(s->r, i, &block, &side);
            ra_insn_begin(s, (IrRef)(i - s->r->insn));
            sel_cond(s, i, i->a, &c);
            sel_side(s, i, c, side, NO_LABEL);
        }
    }
}

/* --- graphs ----------------------------------------------------------------------------------------------------------- */

static void jump_to(Sel *s, uint32_t from, uint32_t to)
{
    const Graph *g = s->ra->g;
    if (g->block[from].next != to)
        x64_jmp(s->a, g->block[to].label);
}

/* Whether block `to` is where a loop begins anew from `from`. */
static bool is_back(const Sel *s, uint32_t from, uint32_t to)
{
    return s->ra->g->block[to].first <= s->ra->g->block[from].first;
}

/* Which of two main blocks the code goes on to: the one behind, unless the other way is a back-edge that has moves to make. */
static unsigned way_on(Sel *s, uint32_t block, const IrInsn *i)
{
    const Graph *g = s->ra->g;
    uint32_t to[2] = {(uint32_t)i->imm, (uint32_t)(i->imm >> 32)};
    unsigned on = to[0] == g->block[block].next ? 0 : 1;
    if (is_back(s, block, to[!on]) && !is_back(s, block, to[on]) && graph_edge_moves(s, i, !on))
        return !on;
    return on;
}

/* A branch to two main blocks. One way goes on in line, the other by the jump, through a piece of cold code if it needs moves. */
static void graph_fork(Sel *s, uint32_t block, const IrInsn *i)
{
    const Graph *g = s->ra->g;
    uint32_t to[2] = {(uint32_t)i->imm, (uint32_t)(i->imm >> 32)};
    SelCond c;

    sel_cond(s, i, i->a, &c);
    ra_insn_end(s);
    s->ra->pos = g->block[block].last;
    unsigned on = way_on(s, block, i);
    if (graph_edge_moves(s, i, !on)) {
        uint32_t stub = sel_label(s);
        sel_jump_if(s, c, on == 1, stub);
        sel_cold_begin(s);
        sel_bind(s, stub);
        graph_edge(s, i, !on);
        x64_jmp(s->a, g->block[to[!on]].label);
        sel_cold_end(s);
    } else {
        sel_jump_if(s, c, on == 1, g->block[to[!on]].label);
    }
    graph_edge(s, i, on);
    jump_to(s, block, to[on]);
}

/* A branch to a side and a main block. */
static void graph_leave(Sel *s, uint32_t block, const IrInsn *i, uint32_t main, uint32_t side)
{
    const Graph *g = s->ra->g;
    unsigned edge = main != (uint32_t)i->imm;
    uint32_t back = NO_LABEL;
    SelCond c;

    sel_cond(s, i, i->a, &c);
    if (g->block[block].next != main && is_back(s, block, main) && !graph_edge_moves(s, i, edge))
        back = g->block[main].label;
    sel_side(s, i, c, side, back);
    if (back == NO_LABEL) {
        s->ra->pos = g->block[block].last;
        graph_edge(s, i, edge);
        jump_to(s, block, main);
    }
}

static void graph_branch(Sel *s, uint32_t block, const IrInsn *i)
{
    uint32_t main, side;

    ra_insn_begin(s, (IrRef)(i - s->r->insn));
    if (i->op == IR_BR) {
        s->ra->pos = s->ra->g->block[block].last;
        graph_edge(s, i, 0);
        jump_to(s, block, (uint32_t)i->imm);
    } else if (graph_side(s, i, &main, &side)) {
        graph_leave(s, block, i, main, side);
    } else {
        graph_fork(s, block, i);
    }
}

/* The label; a loop's header begins where the processor likes to fetch. */
static void graph_label(Sel *s, uint32_t block)
{
    const Graph *g = s->ra->g;
    uint32_t l = g->cfg->loop[block];
    asm_room(s->a);
    if (l != IR_NO_BLOCK && g->cfg->loops[l].header == block)
        x64_nop(s->a, -asm_here(s->a) & (LOOP_ALIGN - 1));
    /* when only the block before leads here, flags are as that has left them */
    bool through = block && graph_npreds(g, block) == 1 && g->block[g->cfg->pred[g->cfg->pred_first[block]]].next == block;
    const uint8_t *flags_at = through ? s->a->flags_at : NULL;
    sel_bind(s, g->block[block].label);
    s->a->flags_at = flags_at;
}

static void graph_main(Sel *s, uint32_t block)
{
    Graph *g = s->ra->g;
    Scope *save = ARENA_ARRAY(s->arena, Scope, 1);
    unsigned end = s->r->insn[s->r->block[block].last].op;

    graph_label(s, block);
    graph_enter(s, block);
    if (end == IR_BR || end == IR_BRIF) {
        graph_branch(s, block, sel_insns(s, block));
        return;
    }
    ra_scope_enter(s, save, g->block[block].last); /* leaving changes what is in homes, for this way only */
    sel_insns(s, block);
    ra_scope_leave(s, save);
}

void sel_graph(Sel *s)
{
    const Graph *g = s->ra->g;
    graph_start(s);
    for (uint32_t b = 0; b != IR_NO_BLOCK; b = g->block[b].next)
        graph_main(s, b);
}
