/*
 * Reading guest code for a translation, and lifting one instruction of it. Every page is registered before it is read.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/safe.h"

#include <string.h>

/* Copy what is executable at pc, to the end of its page at most. Copied, because the page may vanish at any time. */
static bool fill(Fetch *f, uint64_t pc)
{
    uint64_t page_end = (pc | ((1u << GUEST_PAGE_BITS) - 1)) + 1;
    size_t avail;

    f->len = 0;
    if (f->t) {
        f->page = page_add(f->cpu->e, f->t, pc);
        if (!f->page)
            return false;
    }
    /* After it is registered: a section that comes to be known later kills the translation. */
    f->sections = section_near(f->cpu, pc);
    const uint8_t *code = f->cpu->e->cfg.env->code(f->cpu, pc, &avail);
    if (!code)
        return false;
    if (f->t)
        persist_reads(f->cpu->e, pc);
    size_t n = avail < page_end - pc ? avail : (size_t)(page_end - pc);
    if (n > FETCH_BYTES)
        n = FETCH_BYTES;
    f->va = pc;
    f->len = n - safe_copy(f->buf, code, n);
    return f->len > 0;
}

static inline const uint8_t *at(Fetch *f, uint64_t pc, size_t *avail)
{
    size_t min = f->cpu->e->cfg.guest->min_insn;

    if (pc < f->va || pc - f->va + min > f->len) {
        if (!fill(f, pc) || f->len < min)
            return NULL;
    }
    *avail = f->len - (size_t)(pc - f->va);
    return f->buf + (pc - f->va);
}

const uint8_t *fetch_at(Fetch *f, uint64_t pc, size_t *avail)
{
    return at(f, pc, avail);
}

const uint8_t *fetch_look(Fetch *f, uint64_t pc, size_t most, size_t *avail)
{
    const uint8_t *code = fetch_at(f, pc, avail);

    if (!code)
        return NULL;
    *avail = *avail < most ? *avail : most;
    if (f->page)
        page_note(f->page, pc, *avail);
    return code;
}

static void log_insn(const Guest *g, uint64_t pc, const uint8_t *code, size_t avail)
{
    char text[128];
    unsigned n = g->disas(pc, code, avail, text, sizeof text);

    if (n == 4)
        log_line("in: 0x%llx: %02x%02x%02x%02x  %s", (unsigned long long)pc, code[3], code[2], code[1], code[0], text);
    else
        log_line("in: 0x%llx: %s", (unsigned long long)pc, text);
}

static const uint8_t *ahead(void *f, uint64_t pc, size_t *avail)
{
    return fetch_look(f, pc, ((Fetch *)f)->cpu->e->cfg.guest->min_insn, avail);
}

static bool peek(void *ctx, uint64_t pc, void *buf, size_t n)
{
    const Fetch *f = ctx;
    size_t avail;

    if (pc >= f->va && pc - f->va + n <= f->len) {
        memcpy(buf, f->buf + (pc - f->va), n);
    } else {
        const uint8_t *code = f->cpu->e->cfg.env->code(f->cpu, pc, &avail);
        if (!code || avail < n || safe_copy(buf, code, n) != 0)
            return false;
    }
    return section_at(f->cpu, pc) == f->section;
}

/* Code in front of a branch where parts of its table are looked for. */
#define TABLE_BACK 4096

static bool read_data(void *cpu, uint64_t va, void *buf, size_t n)
{
    return ((Vcpu *)cpu)->e->cfg.env->read(cpu, va, buf, n);
}

unsigned fetch_targets(Fetch *f, uint64_t end, uint64_t pc, uint64_t *out, unsigned max)
{
    const Engine *e = f->cpu->e;
    uint8_t code[TABLE_BACK];
    uint64_t start = end - sizeof code, page = pc & ~((UINT64_C(1) << GUEST_PAGE_BITS) - 1);

    if (!e->cfg.guest->branch_targets || !e->cfg.env->read)
        return 0;
    if (start > pc || !read_data(f->cpu, start, code, end - start)) {
        start = page;
        if (end - start > sizeof code || !read_data(f->cpu, start, code, end - start))
            return 0;
    }
    return e->cfg.guest->branch_targets(code, end - start, pc, read_data, f->cpu, out, max);
}

/* A region is all in one section or outside of them. */
static bool crosses(Fetch *f, uint64_t pc)
{
    const EnvSection *section = f->sections ? section_at(f->cpu, pc) : NULL;

    if (!f->begun)
        f->section = section;
    f->begun = true;
    return section != f->section;
}

bool fetch_lift(Fetch *f, Lift *l)
{
    const Guest *g = l->guest;
    size_t avail;
    const uint8_t *code = at(f, l->pc, &avail);

    if (!code || crosses(f, l->pc))
        return false;
    if (log_on_pc(LOG_IN, l->pc))
        log_insn(g, l->pc, code, avail);
    check_context("lift", l->pc);
    l->careful = careful_forms(f->cpu->e, l->pc);
    if (f->t)
        f->t->forms |= (uint8_t)l->careful;
    l->guarded = l->mode && f->cpu->e->cfg.env->guarded && f->cpu->e->cfg.env->guarded(f->cpu, l->pc);
    if (f->t)
        f->t->guarded |= l->guarded;
    l->ahead = ahead;
    l->peek = peek;
    l->ahead_ctx = f;
    PageRef *page = f->page; /* lifting may look elsewhere */
    unsigned len = g->lift(l, code, avail);
    if (page)
        page_note(page, l->pc, len);
    return len > 0;
}

bool fetch_lift_at(Fetch *f, Lift *l, uint64_t pc, LiftFlow *flow)
{
    *flow = (LiftFlow){.kind = LIFT_NEXT};
    l->flow = flow;
    l->pc = pc;
    l->ended = false;
    l->budget = 0;
    bool ok = fetch_lift(f, l);
    if (ok && flow->kind == LIFT_IND && flow->hint == IR_HINT_RET)
        flow->hint = promote_return_hint(f->cpu->e, pc);
    return ok;
}

Lift fetch_lift_new(Vcpu *cpu, uint64_t pc)
{
    const Guest *g = cpu->e->cfg.guest;
    Lift l = {.guest = g, .mode = cpu->h.ir.mode, .cpu_features = cpu->e->cfg.features};

    ir_builder_init(&l.b, ir_region_new(&cpu->arena, &cpu->e->slots, g->helpers, g->nhelpers, pc));
    l.b.r->fp = careful_fp_mode(cpu->e, l.mode, pc);
    return l;
}
