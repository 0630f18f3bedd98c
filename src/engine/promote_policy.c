/* Which targets of an indirect branch are promoted: see promote.h. Knows no code and no threads. */
#include "engine/promote.h"

#include <string.h>

/*
 * Failures this far apart cost less than a thousandth of the time between them, of some ten microseconds each with what
 * processors forget of code that is new. A server has several such branches: with one millisecond nginx lost a tenth.
 */
#define FORGIVEN_NS 20000000
/* Failures that a branch may have, and so many more for each slot that it may use (a stub takes some microseconds). */
#define FAILURES 4
#define FAILURES_A_SLOT 2
/*
 * Where lookups are dear a sample is of executions that follow each other, and shows whether the branch is regular: whether the two targets before
 * tell the next. Processors guess comparisons then, however many; at random each wrong guess costs as much as a lookup
 * (64 targets: in a cycle 0.35 of the time, at random 1.3). Of those not to the most frequent target one in so many must be so.
 */
#define REGULAR 3
/* Of a regular branch, events between two targets that get a slot without more ado. */
#define PERIOD_REGULAR 509u
/* Events between two looks are doubled up to this, or while they bring nothing. A millisecond's worth at the most. */
#define PERIOD_MAX (1u << 17)
#define PERIOD_SETTLED 32749u /* a prime: it falls in with no cycle of targets */
/* The same where lookups are dear and some targets frequent: others may be by now. A look takes as long as some twenty lookups, a fiftieth of these. */
#define PERIOD_SETTLED_DEAR 1021u
#define LOOKS_DEAR (PERIOD_SETTLED / PERIOD_SETTLED_DEAR)
/* Several targets that take the first place from each other until events are this far apart are put in order once and for all. */
#define PERIOD_ORDER (1u << 10)
/*
 * While it is judged an execution of some is sampled, now of more and now of less: always the fifth would see three of a cycle of fifteen
 * targets, which are then promoted for nothing (2.4 times the time of the loop).
 */
#define PERIOD_JUDGED(n) (4 + (n) * 5 % 7)
/*
 * Without a stub one must be seen to pay. What the first target would have served counts one, what it would not takes away three: it
 * comes so far when the target has more than three quarters of all. (By chance two targets that have half each are seen four times
 * in a row, as was asked before; their stubs cost interpreters' loops a hundredth.)
 */
#define SURE 12
#define UNSURE 3
/* A target that is not promoted, so many times in a row, is a change of behaviour. */
#define OTHERS 3
/* Two looks this far apart, of about a microsecond each, cost less than a hundredth of the time between them. */
#define STRAY_NS 100000
/* Times that what tier 2 was told may turn out wrong. With 4 an interpreter's loop was a fifth slower than with none told. */
#define STRAYS 1
/* Graphs made anew because a switch goes where it had not gone before; that takes less than a millisecond. */
#define WIDENED 4
#define WIDEN_NS 1000000
/* Trails that are noted again, each a fifth of a millisecond's work, because they did not go to the first target. */
#define PASSES 3
/* A return that was seen so often not to go back to the last call, and at least so often for each PAIRS times that it did, is no use
 * to the predictor: a wrong guess and a lookup are some ten times as dear as a comparison. */
#define LOOSE 3
#define LOOSE_PAIRS 4
/* Times that a return is made something else than paired. */
#define TURNS 4
/* Looks of a settled branch until it learns again: doubled each time that it ends up where it was. */
#define PATIENCE 8
#define PATIENCE_MAX 256

/* The most targets that are promoted in a row. */
static unsigned row(const PromoteConfig *cfg)
{
    return cfg->slots < PROMOTE_ROW ? cfg->slots : PROMOTE_ROW;
}

static unsigned first_limit(const PromoteConfig *cfg)
{
    return cfg->slots < 2 ? cfg->slots : cfg->slots < 4 ? 2 : row(cfg) / 2;
}

size_t promote_site_room(const PromoteConfig *cfg)
{
    return cfg->slots * (sizeof(PromoteSlot) + 2 * sizeof(uint64_t)) + cfg->window * sizeof(uint64_t);
}

void promote_site_init(PromoteSite *s, const PromoteConfig *cfg, uint64_t pc, void *room)
{
    *s = (PromoteSite){.pc = pc, .nslot = cfg->slots, .slot = room};
    s->hits = (uint64_t *)(s->slot + cfg->slots);
    s->was = s->hits + cfg->slots;
    s->sample = s->was + cfg->slots;
    memset(room, 0, (size_t)((char *)s->was - (char *)room)); /* what is behind is not looked at until it is judged */
    s->limit = first_limit(cfg);
    s->period = cfg->miss;
    s->patience = PATIENCE;
}

/* There may be many slots because lookups are dear, as in hardened code. */
static bool dear(const PromoteConfig *cfg)
{
    return cfg->slots > PROMOTE_SLOTS;
}

static bool looks_often(const PromoteSite *s, const PromoteConfig *cfg)
{
    return dear(cfg) && s->n > 0;
}

static int find_slot(const PromoteSite *s, uint64_t target)
{
    for (unsigned k = 0; k < s->n; k++)
        if (s->slot[k].target == target)
            return (int)k;
    return -1;
}

/* There is room for it. */
static void take_slot(PromoteSite *s, uint64_t target)
{
    s->slot[s->n++] = (PromoteSlot){.target = target, .added = ++s->changes};
}

static void learn(PromoteSite *s, const PromoteConfig *cfg)
{
    s->state = PROMOTE_LEARNING;
    s->failures = 0;
    s->period = cfg->miss;
}

static unsigned until_sampled(const PromoteSite *s, const PromoteConfig *cfg)
{
    return dear(cfg) ? 1 : PERIOD_JUDGED(s->nsample);
}

/* `keep`: what is promoted stays so, behind what is frequent in the sample. */
static void judge(PromoteSite *s, const PromoteConfig *cfg, bool keep)
{
    s->nwas = keep ? s->n : 0;
    for (unsigned k = 0; k < s->nwas; k++)
        s->was[k] = s->slot[k].target;
    s->state = PROMOTE_JUDGED;
    s->nsample = 0;
    s->period = until_sampled(s, cfg);
    s->n = 0;
    s->changes++;
}

/* One of the slots has to go. Returns false when there were too many failures, and the branch is judged. */
static bool may_replace(PromoteSite *s, const PromoteConfig *cfg, uint64_t now)
{
    if (now - s->failed_ns >= FORGIVEN_NS)
        s->failures = 0;
    s->failed_ns = now;
    if (++s->failures <= FAILURES + FAILURES_A_SLOT * s->limit)
        return true;
    if (s->limit >= row(cfg)) {
        judge(s, cfg, false);
        return false;
    }
    s->limit++;
    return true;
}

/* The slot of the least recently added target; never the first, which is the hottest, while there are others. */
static unsigned oldest(const PromoteSite *s)
{
    unsigned best = s->n > 1;

    for (unsigned k = best + 1; k < s->n; k++)
        if ((int32_t)(s->slot[k].added - s->slot[best].added) < 0)
            best = k;
    return best;
}

static void add_target(PromoteSite *s, const PromoteConfig *cfg, uint64_t target, uint64_t now)
{
    s->period = cfg->miss;
    if (s->n >= s->limit && !may_replace(s, cfg, now))
        return;
    unsigned at = s->n < s->limit ? s->n++ : oldest(s);
    s->slot[at] = (PromoteSlot){.target = target, .added = ++s->changes};
}

static void move_up(PromoteSite *s, const PromoteConfig *cfg, unsigned k)
{
    PromoteSlot up = s->slot[k];

    s->mixed |= k == 1 && (int32_t)(s->slot[0].added - up.added) > 0;
    s->slot[k] = s->slot[k - 1];
    s->slot[k - 1] = up;
    s->changes++;
    if (s->period < PERIOD_MAX)
        s->period *= 2;
    if (s->period >= PERIOD_ORDER && !s->plain)
        judge(s, cfg, true);
}

static void on_learning(PromoteSite *s, const PromoteConfig *cfg, uint64_t target, uint64_t now)
{
    int k = find_slot(s, target);

    s->sure = k == 0 ? s->sure + (s->sure < SURE) : s->sure < UNSURE ? 0 : s->sure - UNSURE;
    if (k < 0)
        add_target(s, cfg, target, now);
    else if (k > 0)
        move_up(s, cfg, (unsigned)k);
    else if (s->period < PERIOD_SETTLED)
        s->period = 2 * s->period + 1; /* odd, or a cycle of targets would look like one */
}

bool promote_worth(const PromoteSite *s)
{
    return s->n > 0 && (s->state == PROMOTE_SETTLED || (s->n > 1 && s->sure >= SURE));
}

/* Of each target in the sample how often it came, where it came first; 0 elsewhere. */
static void count_sample(const PromoteSite *s, uint8_t often[PROMOTE_WINDOW_MAX])
{
    for (unsigned k = 0; k < s->nsample; k++) {
        unsigned first = 0;
        while (s->sample[first] != s->sample[k])
            first++;
        often[k] = 0;
        often[first]++;
    }
}

static unsigned most_frequent(const PromoteSite *s, const uint8_t often[PROMOTE_WINDOW_MAX])
{
    unsigned best = 0;

    for (unsigned k = 1; k < s->nsample; k++)
        if (often[k] > often[best])
            best = k;
    return best;
}

/* Whether what followed the same two targets the last time told the k'th of the sample. */
static bool is_told_by_last(const PromoteSite *s, unsigned k)
{
    for (unsigned i = k - 1; i >= 2; i--)
        if (s->sample[i - 1] == s->sample[k - 1] && s->sample[i - 2] == s->sample[k - 2])
            return s->sample[i] == s->sample[k];
    return false;
}

static bool is_regular(const PromoteSite *s, uint64_t first)
{
    unsigned right = 0, all = 0;

    for (unsigned k = 2; k < s->nsample; k++) {
        if (s->sample[k] == first)
            continue;
        all++;
        right += is_told_by_last(s, k);
    }
    return all > 0 && REGULAR * right >= all;
}

/* The most targets of a branch that is settled. */
static unsigned most_targets(const PromoteSite *s, const PromoteConfig *cfg)
{
    return s->regular ? cfg->slots : row(cfg);
}

/*
 * Worth a comparison: each target that has a fair part of what those in front of it have left: a third, and less where lookups are so
 * dear that there may be many slots. The first must have that of all, or nothing is worth while. Of a regular branch all that came twice.
 */
static void settle(PromoteSite *s, const PromoteConfig *cfg)
{
    uint8_t often[PROMOTE_WINDOW_MAX];
    count_sample(s, often);
    unsigned best = most_frequent(s, often), left = s->nsample;
    s->regular = dear(cfg) && is_regular(s, s->sample[best]);
    unsigned part = s->regular ? s->nsample : dear(cfg) ? row(cfg) : 3, most = most_targets(s, cfg);

    while (s->n < most && often[best] >= 2 && part * often[best] >= left) {
        take_slot(s, s->sample[best]);
        left -= often[best];
        often[best] = 0;
        best = most_frequent(s, often);
    }
    for (unsigned k = 0; k < s->nwas && s->n < (dear(cfg) ? most : s->limit); k++)
        if (find_slot(s, s->was[k]) < 0)
            take_slot(s, s->was[k]);
    s->state = PROMOTE_SETTLED;
    s->period = s->regular ? PERIOD_REGULAR : looks_often(s, cfg) ? PERIOD_SETTLED_DEAR : PERIOD_SETTLED;
    s->looked = s->others = 0;
}

static void on_settled(PromoteSite *s, const PromoteConfig *cfg, uint64_t target)
{
    bool promoted = find_slot(s, target) >= 0;

    if (s->regular && !promoted && s->n < cfg->slots) {
        take_slot(s, target);
        return;
    }
    if (s->regular)
        s->period = PERIOD_SETTLED_DEAR;
    s->others = promoted ? 0 : target == s->other ? s->others + 1 : 1;
    s->other = promoted ? 0 : target;
    if (s->others >= OTHERS) {
        s->patience = PATIENCE;
        judge(s, cfg, dear(cfg)); /* a program's phases have targets each, and come back */
    } else if (++s->looked >= s->patience * (looks_often(s, cfg) ? LOOKS_DEAR : 1)) { /* learning costs the same */
        if (s->patience < PATIENCE_MAX)
            s->patience *= 2;
        s->looked = 0;
        if (s->n == 0 || s->n > row(cfg))
            judge(s, cfg, s->n > 0);
        else
            learn(s, cfg);
    }
}

void promote_event(PromoteSite *s, const PromoteConfig *cfg, uint64_t target, uint64_t now)
{
    s->events += s->period;
    switch (s->state) {
    case PROMOTE_LEARNING:
        on_learning(s, cfg, target, now);
        break;
    case PROMOTE_JUDGED:
        s->sample[s->nsample++] = target;
        s->period = until_sampled(s, cfg);
        if (s->nsample >= cfg->window)
            settle(s, cfg);
        break;
    case PROMOTE_SETTLED:
        on_settled(s, cfg, target);
        break;
    }
}

bool promote_tell(PromoteSite *s, uint64_t *target)
{
    if (s->told && !s->met && s->n != 1)
        s->told = false; /* nothing came of it, and it is not so any more */
    if (!s->told && s->n == 1 && s->strays < STRAYS) {
        s->told = true;
        s->known = s->slot[0].target;
    }
    *target = s->known;
    return s->told;
}

PromoteLead promote_lead(PromoteSite *s, uint64_t target)
{
    uint64_t known;
    bool told = promote_tell(s, &known);
    uint64_t first = told ? known : s->n ? s->slot[0].target : target;

    if (!told && !s->mixed && s->strays && s->state != PROMOTE_SETTLED) {
        s->ended = true;
        return LEAD_END;
    }
    if (target != first && s->passed < PASSES) {
        s->passed++;
        return LEAD_LATER;
    }
    s->passed = 0;
    if (target != first || (!told && s->n == 0))
        return LEAD_END;
    return told ? LEAD_ALONE : LEAD_ON;
}

bool promote_resumes(PromoteSite *s)
{
    bool now = s->ended && s->mixed && s->n > 0;

    s->ended &= !now;
    return now;
}

bool promote_stray(PromoteSite *s, uint64_t target, uint64_t now)
{
    if (target == s->known)
        return false;
    bool soon = now - s->stray_ns < STRAY_NS;
    if (soon) {
        s->strays += s->told;
        s->told = s->met = false;
    }
    return soon;
}

bool promote_widen(PromoteSite *s, uint64_t now)
{
    if (now - s->stray_ns >= WIDEN_NS || s->widened == WIDENED)
        return false;
    s->widened++;
    return true;
}

bool promote_is_loose(const PromoteWatched *seen)
{
    return seen->loose >= LOOSE && LOOSE_PAIRS * seen->loose >= seen->paired;
}

bool promote_watched(PromoteSite *s, const PromoteConfig *cfg, const PromoteWatched *seen)
{
    PromoteReturn as = s->as;

    s->ret = true;
    if (promote_is_loose(seen))
        as = 2 * seen->left > seen->loose ? RETURN_JUMP : RETURN_SITE;
    else if (s->as == RETURN_JUMP && seen->paired >= LOOSE && seen->paired > seen->loose)
        as = RETURN_PAIRED;
    if ((as == s->as && (as == RETURN_PAIRED || !s->restored)) || (as != RETURN_PAIRED && s->turns == TURNS))
        return false;
    s->as = as;
    s->restored = false;
    if (as != RETURN_PAIRED) {
        s->turns++;
        s->limit = first_limit(cfg);
        s->n = 0;
        s->changes++;
        learn(s, cfg);
    }
    return true;
}

bool promote_pairs(PromoteSite *s)
{
    if (s->as != RETURN_SITE || s->state != PROMOTE_SETTLED || s->n > 0)
        return false;
    s->as = RETURN_PAIRED;
    return true;
}

bool promote_keep(const PromoteSite *s, PromoteKept *k)
{
    *k = (PromoteKept){.pc = s->pc, .as = (uint8_t)s->as, .ret = s->ret, .call = s->call, .mixed = s->mixed, .strayed = s->strays > 0};
    for (; k->n < s->n && k->n < PROMOTE_KEPT; k->n++)
        k->target[k->n] = s->slot[k->n].target;
    return k->n > 0 || k->as != RETURN_PAIRED;
}

void promote_restore(PromoteSite *s, const PromoteKept *k)
{
    s->as = (PromoteReturn)k->as;
    s->ret = k->ret;
    s->call = k->call;
    s->mixed = k->mixed;
    s->strays = k->strayed ? STRAYS : 0;
    s->restored = true;
    while (s->n < k->n && s->n < s->limit)
        take_slot(s, k->target[s->n]);
}

const char *promote_state_name(const PromoteSite *s)
{
    if (s->ret && s->as == RETURN_PAIRED)
        return "paired";
    switch (s->state) {
    case PROMOTE_JUDGED:
        return "judged";
    case PROMOTE_SETTLED:
        return s->n ? "settled" : "megamorphic";
    case PROMOTE_LEARNING:
        break;
    }
    return s->n == 1 ? "monomorphic" : "polymorphic";
}
