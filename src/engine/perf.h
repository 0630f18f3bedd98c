/* What Linux's perf needs to show translated code under the names of the guest's functions: --perf. */
#ifndef ENGINE_PERF_H
#define ENGINE_PERF_H

typedef enum PerfKind {
    PERF_NONE,
    PERF_MAP,     /* /tmp/perf-PID.map, which `perf report` reads by itself: a line for each translation */
    PERF_JITDUMP, /* jit-PID.dump in the current directory, for `perf inject --jit`: their code as well */
} PerfKind;

#endif
