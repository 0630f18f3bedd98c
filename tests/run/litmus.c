/*
 * Litmus programs with the architecture's orders and barriers: threads run many instances side by side, and no outcome that the
 * Arm model forbids may come up. (That all that must be there is there, tests/mm shows.)
 *
 *   litmus RUNS      of each program; prints "0 forbidden"; the outcomes that are allowed, and came up, go to stderr
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2000, TOGETHER = 8, MAX_THREADS = 4, LINE = 8 };

/* The locations and registers of one instance; x and y on lines of their own. */
typedef struct Instance {
    uint64_t x[LINE], y[LINE], r[4];
} __attribute__((aligned(64))) Instance;

static Instance at[BATCH];

#define ST(p, v) asm volatile("str %1, [%0]" :: "r"(p), "r"((uint64_t)(v)) : "memory")
#define STL(p, v) asm volatile("stlr %1, [%0]" :: "r"(p), "r"((uint64_t)(v)) : "memory")
#define LOAD(op, p) ({ uint64_t v_; asm volatile(".arch armv8.3-a\n " op " %0, [%1]" : "=r"(v_) : "r"(p) : "memory"); v_; })
#define LD(p) LOAD("ldr", p)
#define LDA(p) LOAD("ldar", p)
#define LDAPR(p) LOAD("ldapr", p)
#define DMB(kind) asm volatile("dmb " kind ::: "memory")
#define SWPAL(p, v) asm volatile(".arch armv8.1-a\n swpal %1, x9, [%0]" :: "r"(p), "r"((uint64_t)(v)) : "x9", "memory")
#define LLSC(p, v)                                                                                                                 \
    asm volatile("1: ldaxr x9, [%0]\n stlxr w10, %1, [%0]\n cbnz w10, 1b\n dmb ish" :: "r"(p), "r"((uint64_t)(v)) : "x9", "x10", "memory")

typedef void Thread(Instance *i);
#define THREAD(name, body) static void name(Instance *i) { body; }

/* store buffering */
THREAD(sb_dmb0, ST(i->x, 1); DMB("ish"); i->r[0] = LD(i->y))
THREAD(sb_dmb1, ST(i->y, 1); DMB("sy"); i->r[1] = LD(i->x))
THREAD(sb_rel0, STL(i->x, 1); i->r[0] = LDA(i->y))
THREAD(sb_rel1, STL(i->y, 1); i->r[1] = LDA(i->x))
THREAD(sb_swp0, SWPAL(i->x, 1); i->r[0] = LD(i->y))
THREAD(sb_swp1, SWPAL(i->y, 1); i->r[1] = LD(i->x))
THREAD(sb_llsc0, LLSC(i->x, 1); i->r[0] = LD(i->y))
THREAD(sb_llsc1, LLSC(i->y, 1); i->r[1] = LD(i->x))
THREAD(sb0, ST(i->x, 1); i->r[0] = LD(i->y))
THREAD(sb1, ST(i->y, 1); i->r[1] = LD(i->x))
/* message passing */
THREAD(mp_rel, ST(i->x, 1); STL(i->y, 1))
THREAD(mp_acq, i->r[0] = LDA(i->y); i->r[1] = LD(i->x))
THREAD(mp_acqpc, i->r[0] = LDAPR(i->y); i->r[1] = LD(i->x))
THREAD(mp_st, ST(i->x, 1); DMB("ishst"); ST(i->y, 1))
THREAD(mp_ld, i->r[0] = LD(i->y); DMB("ishld"); i->r[1] = LD(i->x))
THREAD(mp_swp, ST(i->x, 1); SWPAL(i->y, 1))
/* load buffering */
THREAD(lb_acq0, i->r[0] = LDA(i->x); ST(i->y, 1))
THREAD(lb_acq1, i->r[1] = LDA(i->y); ST(i->x, 1))
THREAD(lb_dmb1, i->r[1] = LD(i->y); DMB("ishld"); ST(i->x, 1))
/* independent reads of independent writes */
THREAD(iriw0, ST(i->x, 1))
THREAD(iriw1, ST(i->y, 1))
THREAD(iriw2, i->r[0] = LDA(i->x); i->r[1] = LD(i->y))
THREAD(iriw3, i->r[2] = LDA(i->y); i->r[3] = LD(i->x))
/* coherence */
THREAD(corr0, ST(i->x, 1))
THREAD(corr1, i->r[0] = LD(i->x); i->r[1] = LD(i->x))
THREAD(coww0, ST(i->x, 1); ST(i->x, 2))
THREAD(coww1, i->r[0] = LD(i->x); i->r[1] = LD(i->x))
/* two writes each */
THREAD(w22_0, ST(i->x, 1); STL(i->y, 2))
THREAD(w22_1, ST(i->y, 1); STL(i->x, 2))
THREAD(w22_dmb0, ST(i->x, 1); DMB("ishst"); ST(i->y, 2))
THREAD(w22_dmb1, ST(i->y, 1); DMB("ishst"); ST(i->x, 2))

static int both_zero(const Instance *i) { return !i->r[0] && !i->r[1]; }
static int stale(const Instance *i) { return i->r[0] && !i->r[1]; }
static int both_one(const Instance *i) { return i->r[0] && i->r[1]; }
static int split(const Instance *i) { return i->r[0] && !i->r[1] && i->r[2] && !i->r[3]; }
static int backwards(const Instance *i) { return i->r[0] > i->r[1] || i->x[0] == 1; }
static int crossed(const Instance *i) { return i->x[0] == 1 && i->y[0] == 1; }

static const struct Test {
    const char *name;
    Thread *thread[MAX_THREADS];
    int (*outcome)(const Instance *);
    int allowed;
} tests[] = {
    {"SB", {sb0, sb1}, both_zero, 1},
    {"SB+dmbs", {sb_dmb0, sb_dmb1}, both_zero, 0},
    {"SB+stlr+ldar", {sb_rel0, sb_rel1}, both_zero, 0},
    {"SB+swpal", {sb_swp0, sb_swp1}, both_zero, 0},
    {"SB+ldaxr+stlxr+dmb", {sb_llsc0, sb_llsc1}, both_zero, 0},
    {"SB+dmb+stlr", {sb_dmb0, sb_rel1}, both_zero, 0},
    {"MP+stlr+ldar", {mp_rel, mp_acq}, stale, 0},
    {"MP+stlr+ldapr", {mp_rel, mp_acqpc}, stale, 0},
    {"MP+dmb.st+dmb.ld", {mp_st, mp_ld}, stale, 0},
    {"MP+swpal+ldar", {mp_swp, mp_acq}, stale, 0},
    {"LB+ldars", {lb_acq0, lb_acq1}, both_one, 0},
    {"LB+ldar+dmb.ld", {lb_acq0, lb_dmb1}, both_one, 0},
    {"IRIW+ldars", {iriw0, iriw1, iriw2, iriw3}, split, 0},
    {"CoRR", {corr0, corr1}, stale, 0},
    {"CoWW", {coww0, coww1}, backwards, 0},
    {"2+2W+stlrs", {w22_0, w22_1}, crossed, 0},
    {"2+2W+dmb.sts", {w22_dmb0, w22_dmb1}, crossed, 0},
};

static const struct Test *volatile test;
static unsigned nthreads;
static pthread_barrier_t begin, end;
static unsigned go;

/* Wait for the other threads, as far as they have processors. */
static void meet(unsigned n)
{
    __atomic_fetch_add(&go, 1, __ATOMIC_SEQ_CST);
    for (unsigned spin = 0; spin < 300 && __atomic_load_n(&go, __ATOMIC_RELAXED) < n; spin++)
        ;
}

static void *worker(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    for (;;) {
        pthread_barrier_wait(&begin);
        if (!test)
            return NULL;
        Thread *t = test->thread[id];
        for (unsigned k = 0; t && k < BATCH; k += TOGETHER) {
            meet((k / TOGETHER + 1) * nthreads);
            for (unsigned i = 0; i < TOGETHER; i++)
                t(&at[k + i]);
        }
        pthread_barrier_wait(&end);
    }
}

static void batch(unsigned long *seen)
{
    for (unsigned k = 0; k < BATCH; k++)
        at[k].x[0] = at[k].y[0] = at[k].r[0] = at[k].r[1] = at[k].r[2] = at[k].r[3] = 0;
    go = 0;
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    for (unsigned k = 0; k < BATCH; k++)
        *seen += (unsigned long)test->outcome(&at[k]);
}

int main(int argc, char **argv)
{
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000, forbidden = 0;
    for (nthreads = 2; nthreads <= MAX_THREADS; nthreads += 2) {
        pthread_t t[MAX_THREADS];
        pthread_barrier_init(&begin, NULL, nthreads + 1);
        pthread_barrier_init(&end, NULL, nthreads + 1);
        test = &tests[0];
        for (unsigned i = 0; i < nthreads; i++)
            pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)i);
        for (unsigned k = 0; k < sizeof tests / sizeof tests[0]; k++) {
            unsigned long seen = 0;
            if ((nthreads == 2) != !tests[k].thread[2])
                continue;
            test = &tests[k];
            for (unsigned long done = 0; done < runs; done += BATCH)
                batch(&seen);
            fprintf(stderr, "%s: %lu%s\n", test->name, seen, test->allowed ? " (allowed)" : "");
            if (seen && !test->allowed) {
                printf("%s: %lu times\n", test->name, seen);
                forbidden++;
            }
        }
        test = NULL;
        pthread_barrier_wait(&begin);
        for (unsigned i = 0; i < nthreads; i++)
            pthread_join(t[i], NULL);
    }
    printf("%lu forbidden\n", forbidden);
    return forbidden != 0;
}
