/*
 * Promotion of hot indirect branches: in front of a branch's lookup stands a stub that compares the target with those that
 * the branch went to lately, and jumps. Stubs are never changed, only replaced: whoever runs the old one is right too.
 *
 * Policy (promote_policy.c), for one branch of the guest. It hears of every so many'th *event*, an event being an execution
 * that the first comparison did not serve (`period` of them, counted down in the vcpu):
 *
 *   learning   A target that is not promoted gets a slot: a free one, or that of the least recently added target but the first.
 *              A promoted one moves up one place. Taking a slot away is a failure, unless the last one was long ago. After
 *              too many failures the branch may have one slot more; at the limit it is judged. When several targets have moved to and
 *              fro for a while it is judged for their order only: all stay promoted.
 *   judged     Without a stub, a sample of `window` targets is taken. Those that are frequent are promoted, in order, and
 *              the branch is settled; when there are none it is megamorphic, which is settled with no slots. Where lookups are dear the sample
 *              also says whether the branch is regular, and may have more targets than are compared in a row.
 *   settled    Events are those that no comparison served, and few are looked at. Three of one target that is not promoted, and it is judged again; many of
 *              any, and it learns again. Where lookups are dear more are looked at, and what was promoted stays so when it is judged again; of a
 *              regular branch what is looked at is promoted while there is room.
 *
 * Tier 2 meets a branch's target by itself when there was only one so far. When others are met there twice within a short time, what
 * it made is dropped, and it is told nothing any more.
 *
 * So order is by heat, a change of phase costs `miss` misses, and a branch that no stub helps ends up without one.
 */
#ifndef ENGINE_PROMOTE_H
#define ENGINE_PROMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROMOTE_SLOTS_MAX 64
#define PROMOTE_ROW 16 /* so many while they are learnt, and unless the branch is regular */
#define PROMOTE_WINDOW_MAX 128

/*
 * How a return is translated. PAIRED: as one of the host's, whose predictor has seen the call. SITE: it has targets as other branches do,
 * in front of that. JUMP: it is no return, and leaves what the predictor knows as it is.
 */
typedef enum PromoteReturn { RETURN_PAIRED, RETURN_SITE, RETURN_JUMP } PromoteReturn;

/* Executions of a return: which went back to the last call and which did not, and of these those that left it to others to do so. */
typedef struct PromoteWatched {
    unsigned paired, loose, left;
} PromoteWatched;

/* What is worth telling the next process of a branch: part of a file of the persistent cache. */
#define PROMOTE_KEPT 4
typedef struct PromoteKept {
    uint64_t pc, target[PROMOTE_KEPT];
    uint8_t n, as;                 /* targets; PromoteReturn */
    bool ret, call, mixed, strayed; /* as in PromoteSite; strays > 0 */
    uint8_t unused[2];
} PromoteKept;

/* --promote */
typedef struct PromoteConfig {
    unsigned slots;  /* most targets of a branch; 0: no promotion */
    unsigned miss;   /* events until the policy hears of one, while learning */
    unsigned window; /* targets that are sampled to judge a branch */
} PromoteConfig;

/* Measured: docs/branches.md */
#define PROMOTE_DEFAULT UINT32_MAX /* of slots and window: the number below, or that for hardened code */
#define PROMOTE_SLOTS 3
#define PROMOTE_SLOTS_HARDENED 64
#define PROMOTE_MISS 32
#define PROMOTE_WINDOW 32
#define PROMOTE_WINDOW_HARDENED 128

typedef enum PromoteState { PROMOTE_LEARNING, PROMOTE_JUDGED, PROMOTE_SETTLED } PromoteState;

/*
 * What a trail (trail.c) does at a branch that went to a target as it was noted. ALONE: goes on there, the branch has no other. ON: goes on
 * there, and others will show. LATER: what is noted another time is likely to be better. END: it ends there.
 */
typedef enum PromoteLead { LEAD_ALONE, LEAD_ON, LEAD_LATER, LEAD_END } PromoteLead;

typedef struct PromoteSlot {
    uint64_t target;
    uint32_t added;   /* when, by PromoteSite.changes */
} PromoteSlot;

typedef struct PromoteSite {
    uint64_t pc;                    /* of the branch; 0: a free record */
    bool call, ret;
    bool plain;                     /* it has no stub: all of its executions are events */
    PromoteReturn as;               /* of a return, where returns are paired */
    unsigned turns;                 /* times that it was made something else than PAIRED */
    bool restored;                  /* what it is was found out by another process: kept translations may be older than that */
    uint64_t last_use;              /* promote.c: for reuse of records */
    PromoteState state;
    unsigned n, limit;              /* slots in use; that it may have now */
    unsigned nslot;                 /* those that there are: PromoteConfig.slots. This and what else comes in numbers is in the record's room */
    PromoteSlot *slot;
    uint32_t changes;               /* of what is promoted: a stub made before the last one is out of date */
    uint32_t period;                /* events until the next one that is looked at */
    unsigned sure;                  /* how much of the events without a stub the first target would have served */
    bool mixed;                     /* a target came to the front again, past a newer one */
    unsigned failures;
    uint64_t failed_ns;             /* time of the last */
    unsigned nwas;                  /* judged for their order: what was promoted before, and stays so */
    unsigned nsample;
    bool regular;                   /* in the last sample most targets could be told by the two before */
    unsigned patience, looked;      /* settled: events to look at before learning again, and those looked at */
    uint64_t other;                 /* settled: the target of the last one, if not promoted ... */
    unsigned others;                /* and how many in a row had it */
    bool told;                      /* tier 2 was told of `known`: it meets that itself, so later events do not show it */
    bool met;                       /* a graph was made that does */
    unsigned strays;                /* times that what it was told turned out to be wrong */
    bool ended;                     /* a trail ended here, as the branch only went to new targets */
    unsigned passed;                /* trails in a row that went to another target than the first */
    unsigned widened;               /* times that a graph was made anew for more targets of the branch's table */
    uint64_t known;
    uint64_t stray_ns;              /* the last event there that was none of them */
    uint64_t events, rebuilds;      /* for statistics: events so far, stubs made */
    uint64_t none;                  /* --stats=branches: executions that no stub served; counted by the stubs, as are */
    uint64_t *hits;                 /* those of each slot */
    uint64_t *was, *sample;         /* nwas, nsample */
} PromoteSite;

/* Whether tier 2 may be told of the branch's one target: a branch that had no other. */
bool promote_tell(PromoteSite *s, uint64_t *target);
/*
 * What a trail does that went to `target`. It goes on in the first, as what is met within it costs a comparison; in another one when the first is not
 * met in several trails, for then it is not so much hotter; in any where none is frequent. A branch that only goes to new ones is served
 * better by a stub, which follows.
 */
PromoteLead promote_lead(PromoteSite *s, uint64_t target);
/* Whether a trail that ended here would go on by now, as the branch comes back to its targets: true once. */
bool promote_resumes(PromoteSite *s);
/* An event at `target` behind what tier 2 was told; stray_ns says when the last was over. Returns true when that was wrong. */
bool promote_stray(PromoteSite *s, uint64_t target, uint64_t now);
/* An event at a target from the branch's table with which tier 2 does not compare, as it had not run then. True: it should by now. */
bool promote_widen(PromoteSite *s, uint64_t now);
/*
 * Whether a branch that has no stub should have one although its lookup is cheap: processors predict a lookup that
 * always finds the same as well as a comparison; of several targets the first must be known to be frequent.
 */
bool promote_worth(const PromoteSite *s);
/* A record for the branch at pc, in its first state. `room`: promote_site_room(cfg) bytes, aligned as an uint64_t is. */
void promote_site_init(PromoteSite *s, const PromoteConfig *cfg, uint64_t pc, void *room);
size_t promote_site_room(const PromoteConfig *cfg);
/* An event at `target`, the period's last; `now` in nanoseconds. Changes s->changes when another stub is wanted. */
void promote_event(PromoteSite *s, const PromoteConfig *cfg, uint64_t target, uint64_t now);
/* A return was watched. True: it is to be translated otherwise. */
bool promote_watched(PromoteSite *s, const PromoteConfig *cfg, const PromoteWatched *seen);
/* Whether what was seen is worth a record. */
bool promote_is_loose(const PromoteWatched *seen);
/* Whether a return that is a SITE is not helped by it, and PAIRED again from now on. */
bool promote_pairs(PromoteSite *s);
/* What the next process is to know. Returns whether there is something. */
bool promote_keep(const PromoteSite *s, PromoteKept *k);
/* Begin with that. `s` is in its first state. */
void promote_restore(PromoteSite *s, const PromoteKept *k);
const char *promote_state_name(const PromoteSite *s);

#endif
