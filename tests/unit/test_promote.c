/* The policy of promotion (engine/promote.h) on streams of targets: a stub is played as the host runs it. */
#include "engine/promote.h"
#include "test.h"

#include <stdarg.h>
#include <string.h>

static void check(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void check(bool good, const char *fmt, ...)
{
    char name[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    TEST(name, good);
}

static PromoteConfig cfg = {.slots = 3, .miss = 32, .window = 32};
static const PromoteConfig hardened = {.slots = 64, .miss = 32, .window = 128};

#define ROOM (4 * PROMOTE_SLOTS_MAX + PROMOTE_WINDOW_MAX) /* in words */

typedef struct Play {
    PromoteSite s;
    uint64_t room[ROOM];
    uint64_t left;              /* events until the policy hears of one */
    uint64_t now;               /* ns; an execution takes two */
    uint64_t first, other, none; /* executions by what served them */
} Play;

static void start(Play *p)
{
    *p = (Play){.left = cfg.miss, .now = 1};
    promote_site_init(&p->s, &cfg, 0x1000, p->room);
}

static void execute(Play *p, uint64_t target)
{
    unsigned k = 0;

    p->now += 2;
    while (k < p->s.n && p->s.slot[k].target != target)
        k++;
    if (p->s.n && k == 0) {
        p->first++;
        return;
    }
    *(k < p->s.n ? &p->other : &p->none) += 1;
    if (p->s.state == PROMOTE_SETTLED && k < p->s.n)
        return;
    if (--p->left == 0) {
        promote_event(&p->s, &cfg, target, p->now);
        p->left = p->s.period;
        p->now += 4000;
    }
}

static uint32_t seed = 1;

static unsigned draw(unsigned n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void test_one(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 1000; i++)
        execute(&p, 7);
    check(p.none == cfg.miss && p.first == 1000 - cfg.miss, "one target is promoted after so many misses: %u", (unsigned)p.none);
    check(p.s.rebuilds == 0 && p.s.n == 1 && !strcmp(promote_state_name(&p.s), "monomorphic"), "and that is all");
}

static void test_order(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 40; i++)
        execute(&p, 1);
    for (unsigned i = 0; i < 100000; i++)
        execute(&p, draw(10) ? 2 : 1);
    check(p.s.n == 2 && p.s.slot[0].target == 2, "the hotter of two comes to the front");
}

static void test_phases(void)
{
    Play p;
    uint64_t worst = 0;
    start(&p);
    for (unsigned phase = 0; phase < 200; phase++) {
        uint64_t before = p.none + p.other;
        for (unsigned i = 0; i < 2000000; i++)
            execute(&p, 100 + phase % 50);
        if (p.none + p.other - before > worst)
            worst = p.none + p.other - before;
    }
    /* 10 ms are five million executions of two nanoseconds */
    check(worst < 500000, "a change of phase costs at most %u executions", (unsigned)worst);
    check(p.first > 9 * (p.none + p.other), "and the first comparison serves the rest");
}

static void test_megamorphic(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 20000000; i++)
        execute(&p, draw(64));
    check(p.s.n == 0 && !strcmp(promote_state_name(&p.s), "megamorphic"), "64 targets at random: megamorphic (%s)", promote_state_name(&p.s));
    check(p.s.changes < 2000, "after few changes: %u", p.s.changes);
    uint32_t before = p.s.changes;
    for (unsigned i = 0; i < 1000000; i++)
        execute(&p, 5);
    check(p.s.n >= 1 && p.s.slot[0].target == 5, "and it finds a way back when one target is left");
    check(p.s.changes - before < 50, "which takes %u changes", p.s.changes - before);
}

static void test_skewed(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 10000000; i++)
        execute(&p, draw(10) ? 3 : 1000 + draw(30));
    check(p.s.n >= 1 && p.s.slot[0].target == 3, "nine in ten to one of many: that one stays in front");
    check(p.first > 8000000, "and serves its share: %u", (unsigned)p.first);
    check(p.s.changes < 5000, "after few changes: %u", p.s.changes);
}

static void test_uniform(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 3000000; i++)
        execute(&p, i % 3);
    check(p.s.n == 3 && p.none < 20000, "three in turn are all promoted: %u not", (unsigned)p.none);
}

static void test_told(void)
{
    Play p;
    uint64_t target = 0;
    start(&p);
    check(!promote_tell(&p.s, &target), "tier 2 is told nothing of what has not run");
    for (unsigned i = 0; i < 1000; i++)
        execute(&p, 3);
    check(promote_tell(&p.s, &target) && target == 3, "of a branch with one target it is told that");
    check(!promote_stray(&p.s, 3, 1000000000), "which is no surprise");
    check(!promote_stray(&p.s, 4, 1000000000), "nor is another, once");
    p.s.stray_ns = 1000000000;
    check(!promote_stray(&p.s, 4, 2000000000) && promote_tell(&p.s, &target) && target == 3, "or long after");
    check(promote_stray(&p.s, 4, 1000000100), "but soon after it is");
    check(!promote_tell(&p.s, &target), "and nothing is told any more");
    start(&p);
    for (unsigned i = 0; i < 10000; i++)
        execute(&p, i % 2);
    check(!promote_tell(&p.s, &target), "a branch with two targets has none to tell of");
}

/* A jump without a stub: every execution is an event. Returns whether it is found to be worth one. */
static bool play_plain(unsigned targets, unsigned percent)
{
    Play p;
    start(&p);
    p.s.plain = true;
    for (unsigned i = 0; i < 2000000 && !promote_worth(&p.s); i++) {
        p.now += 5;
        if (--p.left == 0) {
            promote_event(&p.s, &cfg, draw(100) < percent ? 0x40 : 0x80 + draw(targets), p.now);
            p.left = p.s.period;
        }
    }
    return promote_worth(&p.s);
}

static void test_worth(void)
{
    check(!play_plain(1, 100), "a stub is not worth while for one target, which a lookup finds as fast");
    check(!play_plain(32, 0), "nor for many");
    check(play_plain(8, 80), "but for one of several that is frequent");
    check(!play_plain(1, 50), "nor for two that are so half of the time");
}

/* An interpreter's loop where lookups are dear: what it executes comes back, and each time it is six targets of eighteen. */
static void test_dear_phases(void)
{
    const PromoteConfig usual = cfg;
    Play p;
    uint64_t none = 0;
    cfg = hardened;
    start(&p);
    for (unsigned phase = 0; phase < 40; phase++) {
        uint64_t before = p.none;
        for (unsigned i = 0; i < 300000; i++)
            execute(&p, 0x10 + 4 * (phase % 4) + draw(6));
        if (phase >= 8)
            none += p.none - before;
    }
    check(none < 32 * 300000 / 20, "phases with several targets each, sixteen slots: %u of a hundred looked up", (unsigned)(none / (32 * 3000)));
    start(&p);
    for (unsigned i = 0; i < 20000000; i++)
        execute(&p, draw(64));
    check(p.none > 19000000 && p.s.changes < 3000, "64 at random are looked up there too, after %u changes", p.s.changes);
    cfg = usual;
}

/* Where lookups are dear a regular branch may have more targets than a row of comparisons is good for, and one at random may not. */
static void test_regular(void)
{
    const PromoteConfig usual = cfg;
    Play p;
    cfg = hardened;
    start(&p);
    for (unsigned i = 0; i < 1000000; i++)
        execute(&p, 0x10 + i % 40);
    check(p.s.n == 40 && p.none < 100000, "a cycle of 40 targets: %u are promoted, %u executions looked up", p.s.n, (unsigned)p.none);
    uint64_t before = p.none;
    for (unsigned i = 0; i < 1000000; i++)
        execute(&p, 0x100 + i % 20);
    check(p.s.n == 60 && p.none - before < 20000, "and 20 more that come later: %u, %u looked up", p.s.n, (unsigned)(p.none - before));
    before = p.s.changes;
    for (unsigned i = 0; i < 1000000; i++)
        execute(&p, i % 2 ? 0x10 + i % 40 : 0x100 + i % 20);
    check(p.s.changes == before, "which stay, so that nothing changes any more");
    start(&p);
    for (unsigned i = 0; i < 10000000; i++)
        execute(&p, i % 80);
    check(p.s.n == 64 && p.none < 10000000 / 4, "of a cycle of 80 as many as are allowed: %u", p.s.n);
    check(p.s.changes < 3000, "after few changes: %u", p.s.changes);
    start(&p);
    for (unsigned i = 0; i < 10000000; i++)
        execute(&p, draw(40));
    check(p.s.n <= PROMOTE_ROW, "of 40 at random no more than a row: %u", p.s.n);
    start(&p);
    for (unsigned i = 0; i < 10000000; i++)
        execute(&p, draw(10) ? 5 : 0x100 + draw(40));
    check(p.s.n <= PROMOTE_ROW, "nor of one that is frequent and 40 at random: %u", p.s.n);
    cfg = usual;
}

/* How many trails are noted until one need not go on in another target. */
static unsigned trails(PromoteSite *s, uint64_t target)
{
    unsigned n = 1;
    while (n < 100 && promote_lead(s, target) == LEAD_LATER)
        n++;
    return n;
}

static void test_leads(void)
{
    Play p;
    start(&p);
    for (unsigned i = 0; i < 1000; i++)
        execute(&p, 0x10);
    check(promote_lead(&p.s, 0x10) == LEAD_ALONE, "a trail goes on in the only target");
    start(&p);
    for (unsigned i = 0; i < 100000; i++)
        execute(&p, draw(10) ? 0x10 : 0x20);
    check(promote_lead(&p.s, 0x10) == LEAD_ON, "of two targets in the hotter one");
    check(promote_lead(&p.s, 0x20) == LEAD_LATER && promote_lead(&p.s, 0x10) == LEAD_ON, "and not in the other, when a later trail may do better");
    unsigned n = trails(&p.s, 0x20);
    check(n > 1 && n < 10, "which it does not wait for for ever: %u", n);
    p.s.strays = 1;
    check(promote_lead(&p.s, 0x10) == LEAD_ON, "also when tier 2 was told of one only, as it comes back");
    start(&p);
    for (unsigned i = 0; i < 8000; i++)
        execute(&p, 0x10 + i / 2000);
    p.s.strays = 1;
    check(p.s.slot[0].target == 0x13 && promote_lead(&p.s, 0x13) == LEAD_END, "of a branch that always goes to new ones in none");
    check(!promote_resumes(&p.s), "nor later while it does");
    for (unsigned i = 0; i < 8000; i++)
        execute(&p, 0x12 + i / 2000 % 2);
    check(promote_resumes(&p.s) && promote_lead(&p.s, p.s.slot[0].target) == LEAD_ON, "when it has come back one that ended there is made anew");
    check(!promote_resumes(&p.s), "but once");
    start(&p);
    for (unsigned i = 0; i < 1000000; i++)
        execute(&p, 0x10 + i % 7);
    check(p.s.n == 0 && promote_lead(&p.s, 0x12) == LEAD_END && promote_lead(&p.s, 0x15) == LEAD_END, "where none is frequent in none");
    start(&p);
    for (unsigned i = 0; i < 1000; i++)
        execute(&p, 0x10);
    uint64_t known;
    bool told = promote_tell(&p.s, &known);
    execute(&p, 0x20);
    for (unsigned i = 0; i < 1000; i++)
        execute(&p, 0x10 + 0x10 * (i % 2));
    check(told && promote_lead(&p.s, p.s.slot[0].target) == LEAD_ON, "what was told and came to nothing is forgotten when there are others");
}

static void test_kept(void)
{
    const PromoteWatched loose = {.paired = 2, .loose = 20};
    PromoteKept k;
    PromoteSite s;
    uint64_t room[ROOM];
    Play p;
    start(&p);
    check(!promote_keep(&p.s, &k), "of what has not run nothing is kept");
    for (unsigned i = 0; i < 100000; i++)
        execute(&p, draw(10) ? 0x10 : 0x20);
    check(promote_keep(&p.s, &k) && k.n == 2 && k.target[0] == 0x10 && k.mixed, "the targets are, in order");
    promote_site_init(&s, &cfg, k.pc, room);
    promote_restore(&s, &k);
    check(s.n == 2 && s.slot[1].target == 0x20 && s.changes == 2 && promote_lead(&s, 0x10) == LEAD_ON, "and the next process begins with them");
    promote_site_init(&s, &cfg, 0x1000, room);
    promote_watched(&s, &cfg, &loose);
    check(promote_keep(&s, &k) && k.as == RETURN_SITE, "that a return is no use to the predictor is kept without targets");
    promote_site_init(&s, &cfg, 0x1000, room);
    promote_restore(&s, &k);
    check(s.ret && s.as == RETURN_SITE && promote_watched(&s, &cfg, &loose), "seen again, what was kept of it is made anew, which may be older");
    check(!promote_watched(&s, &cfg, &loose), "but once");
}

static void test_returns(void)
{
    const PromoteWatched paired = {.paired = 40, .loose = 4}, loose = {.paired = 2, .loose = 20}, jump = {.loose = 20, .left = 18};
    PromoteSite s;
    uint64_t room[ROOM];
    promote_site_init(&s, &cfg, 0x1000, room);
    check(!promote_is_loose(&paired) && !promote_watched(&s, &cfg, &paired) && s.as == RETURN_PAIRED, "a return that mostly goes back stays paired");
    check(promote_is_loose(&loose) && promote_watched(&s, &cfg, &loose) && s.as == RETURN_SITE, "one that hardly does gets targets");
    check(promote_watched(&s, &cfg, &jump) && s.as == RETURN_JUMP, "one that leaves that to others is a jump");
    check(promote_watched(&s, &cfg, &paired) && s.as == RETURN_PAIRED, "until it goes back after all");
    promote_watched(&s, &cfg, &loose);
    s.state = PROMOTE_SETTLED;
    s.n = 0;
    check(promote_pairs(&s) && s.as == RETURN_PAIRED, "one without frequent targets is paired again");
    unsigned turns = 0;
    for (unsigned i = 0; i < 100; i++)
        turns += promote_watched(&s, &cfg, i % 2 ? &paired : &jump);
    check(turns < 10 && s.as == RETURN_PAIRED, "in the end one that changes for ever is left paired: %u turns", turns);
}

int main(void)
{
    TEST_BEGIN();
    test_one();
    test_order();
    test_phases();
    test_megamorphic();
    test_skewed();
    test_uniform();
    test_told();
    test_worth();
    test_dear_phases();
    test_regular();
    test_leads();
    test_kept();
    test_returns();
    return TEST_END();
}
