#include "user/rseq.h"

#include "base/check.h"
#include "base/restart.h"
#include "base/safe.h"

#include <errno.h>
#include <linux/rseq.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define SECTION_MAX (64u << 10) /* bytes; the kernel sets no limit, but nobody writes longer ones */
#define SECTION_FLAGS 7u        /* those that the kernel has ever known */
#define BUCKETS 256u
#define LOOK_EVERY 16           /* system calls */

/* One page of one section. Never freed, for they are read without a lock: a program has few. */
typedef struct Section {
    EnvSection range;
    uint64_t page, abort, descriptor;
    uint32_t sig;             /* in front of `abort`: it is no section unless somebody has registered with this */
    const struct Section *of; /* the section's first */
    struct Section *next;
} Section;

struct RseqSections {
    pthread_mutex_t lock;               /* of writers */
    _Atomic(Section *) bucket[BUCKETS]; /* by page */
    _Atomic(Restart *) restarts;        /* one for each signature that was registered */
};

/* No thread is left. The routines stay where they are: their pages go with the process. */
void rseq_free(struct RseqSections *s)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (Section *k = atomic_load(&s->bucket[i]), *next; k; k = next) {
            next = k->next;
            free(k);
        }
    for (Restart *r = atomic_load(&s->restarts), *next; r; r = next) {
        next = r->next;
        free(r);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct RseqSections *rseq_new(void)
{
    struct RseqSections *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static _Atomic(Section *) *bucket_of(UserProc *p, uint64_t page)
{
    return &p->rseq->bucket[page % BUCKETS];
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

static bool signature_known(UserProc *p, uint32_t sig)
{
    for (const Restart *r = atomic_load(&p->rseq->restarts); r; r = r->next)
        if (r->sig == sig)
            return true;
    return sig == p->abi->rseq_sig;
}

static bool mapped(UserProc *p, uint64_t va, int prot)
{
    size_t len;
    return mm_stretch(p->mm, va, prot, &len) != NULL;
}

static bool read_at(void *dst, uint64_t va, size_t n)
{
    return safe_copy(dst, (const void *)(uintptr_t)va, n) == 0;
}

/* Whether a section is described at va: what the kernel asks of one, but for its signature. */
static bool read_section(UserProc *p, uint64_t va, struct rseq_cs *cs, uint32_t *sig)
{
    uint64_t misaligned = p->abi->insn_size - 1;
    /* Most constants are no addresses, and a fault takes as long as the translation of ten instructions. */
    if (!mapped(p, va, PROT_READ) || !read_at(cs, va, sizeof *cs) || cs->version || (cs->flags & ~SECTION_FLAGS))
        return false;
    uint64_t start = cs->start_ip, len = cs->post_commit_offset, abort = cs->abort_ip;
    if (len - 1 >= SECTION_MAX || ((start | len | abort) & misaligned) || abort - start < len)
        return false;
    return mapped(p, start, PROT_EXEC) && mapped(p, abort, PROT_EXEC) && read_at(sig, abort - sizeof *sig, sizeof *sig);
}

/* The descriptor still says what it did: its memory may have another use now. */
static bool still_described(const Section *s)
{
    struct rseq_cs cs;
    return read_at(&cs, s->descriptor, sizeof cs) && cs.start_ip == s->range.start && cs.abort_ip == s->abort &&
           cs.post_commit_offset == s->range.end - s->range.start;
}

static const Section *find(UserProc *p, uint64_t pc)
{
    for (const Section *s = atomic_load(bucket_of(p, pc / MM_PAGE)); s; s = s->next)
        if (s->page == pc / MM_PAGE && pc >= s->range.start && pc < s->range.end && signature_known(p, s->sig) &&
            still_described(s))
            return s;
    return NULL;
}

static bool add_locked(UserProc *p, uint64_t va, const struct rseq_cs *cs, uint32_t sig)
{
    uint64_t start = cs->start_ip, end = start + cs->post_commit_offset;
    const Section *first = NULL;
    for (const Section *s = atomic_load(bucket_of(p, start / MM_PAGE)); s; s = s->next)
        if (s->descriptor == va && s->range.start == start && s->range.end == end && s->abort == cs->abort_ip &&
            s->sig == sig)
            return false;
    for (uint64_t page = start / MM_PAGE; page <= (end - 1) / MM_PAGE; page++) {
        Section *s = malloc(sizeof *s);
        CHECK(s != NULL);
        first = first ? first : s;
        *s = (Section){ { start, end }, page, cs->abort_ip, va, sig, first, atomic_load(bucket_of(p, page)) };
        atomic_store(bucket_of(p, page), s);
    }
    return true;
}

EnvNamed rseq_section_named(Vcpu *cpu, uint64_t va, EnvSection *out)
{
    UserProc *p = user_thread(cpu)->p;
    struct rseq_cs cs;
    uint32_t sig;
    if (!read_section(p, va, &cs, &sig))
        return ENV_NAMED_NONE;
    pthread_mutex_lock(&p->rseq->lock);
    bool new = add_locked(p, va, &cs, sig) && signature_known(p, sig);
    pthread_mutex_unlock(&p->rseq->lock);
    *out = (EnvSection){ cs.start_ip, cs.start_ip + cs.post_commit_offset };
    return new ? ENV_NAMED_NEW : ENV_NAMED_KNOWN;
}

bool rseq_section_near(Vcpu *cpu, uint64_t pc)
{
    return atomic_load(bucket_of(user_thread(cpu)->p, pc / MM_PAGE)) != NULL;
}

const EnvSection *rseq_section(Vcpu *cpu, uint64_t pc)
{
    const Section *s = find(user_thread(cpu)->p, pc);
    return s ? &s->of->range : NULL;
}

/* --- a thread's area ---------------------------------------------------------------------------------------------- */

static uint64_t armed_at(const UserThread *t)
{
    return t->rseq.area + offsetof(struct rseq, rseq_cs);
}

void rseq_section_abort(Vcpu *cpu)
{
    const uint64_t none = 0;
    UserThread *t = user_thread(cpu);
    const Section *s = find(t->p, cpu->h.ir.pc);
    if (!s)
        return;
    safe_store8((void *)(uintptr_t)armed_at(t), &none);
    cpu->h.ir.pc = s->abort;
}

void rseq_signal(UserThread *t)
{
    if (t->rseq.area)
        rseq_section_abort(t->cpu);
}

void rseq_look(UserThread *t)
{
    EnvSection s;
    uint64_t va;
    if (!t->rseq.area || ++t->rseq.calls % LOOK_EVERY || !read_at(&va, armed_at(t), sizeof va) || !va)
        return;
    if (va != t->rseq.seen && rseq_section_named(t->cpu, va, &s) == ENV_NAMED_NEW)
        engine_invalidate(t->p->engine, s.start, s.end - s.start);
    t->rseq.seen = va;
}

/* A signature is new: what was translated of the sections that have it is not what it has to be. */
static void wake_sections(UserProc *p, uint32_t sig)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (const Section *s = atomic_load(&p->rseq->bucket[i]); s; s = s->next)
            if (s->sig == sig)
                engine_invalidate(p->engine, s->range.start, s->range.end - s->range.start);
}

/* The routines for a signature; NULL when there is no memory for them. */
static const Restart *restart_for(UserProc *p, uint32_t sig)
{
    Restart *r;
    bool new = !signature_known(p, sig);
    pthread_mutex_lock(&p->rseq->lock);
    for (r = atomic_load(&p->rseq->restarts); r && r->sig != sig; r = r->next)
        ;
    if (!r && (r = restart_new(sig)) != NULL) {
        r->next = atomic_load(&p->rseq->restarts);
        atomic_store(&p->rseq->restarts, r);
    }
    pthread_mutex_unlock(&p->rseq->lock);
    if (new && r)
        wake_sections(p, sig);
    return r;
}

static void follow(UserThread *t)
{
    bool on = t->rseq.area != 0;
    t->cpu->section.word = on ? (uint64_t *)(uintptr_t)armed_at(t) : NULL;
    t->cpu->section.by = on ? t->rseq.by : NULL;
}

/* The kernel judges the arguments. */
int64_t sys_rseq(UserThread *t, SysCall *c)
{
    bool off = c->arg[2] & RSEQ_FLAG_UNREGISTER;
    if (t->p->cfg->engine.check) /* the kernel would change memory between the two engines */
        return -ENOSYS;
    const Restart *by = restart_for(t->p, (uint32_t)c->arg[3]);
    if (!by)
        return -ENOMEM;
    if (!t->rseq.own_released)
        restart_release_own();
    t->rseq.own_released = true;
    int64_t err = host_pass(t, c);
    if (err)
        return err;
    t->rseq.area = off ? 0 : c->arg[0];
    t->rseq.len = (uint32_t)c->arg[1];
    t->rseq.by = by;
    follow(t);
    return 0;
}

void rseq_thread_end(UserThread *t)
{
    if (!t->rseq.area)
        return;
    HOST4(t, SYS_rseq, t->rseq.area, t->rseq.len, RSEQ_FLAG_UNREGISTER, t->rseq.by->sig);
    t->rseq.area = 0;
    follow(t);
}

void rseq_unmap(UserThread *t, uint64_t va, uint64_t len)
{
    if (t->rseq.area >= va && t->rseq.area - va < len)
        rseq_thread_end(t);
}

void rseq_borrow(Vcpu *cpu)
{
    cpu->section.word = NULL;
    cpu->section.by = NULL;
}

void rseq_return(UserThread *t)
{
    follow(t);
}
