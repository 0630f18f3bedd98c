/*
 * Our own bugs: CHECK is on in every build, says where, and aborts. It is never used for what a guest or the host
 * may do wrong (see base/status.h for the host's failures; the guest's are values).
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdint.h>

/* Print the failed condition, the translation in progress if there is one, the last log lines; abort. */
_Noreturn void check_failed(const char *file, int line, const char *cond);

typedef struct CheckContext {
    const char *stage;
    uint64_t pc;
} CheckContext;

extern _Thread_local CheckContext check_context_now;

/*
 * What this thread is doing, for the message of a failed CHECK.
 *   stage  static string, such as "lift" or "emit"
 *   pc     guest address concerned
 */
static inline void check_context(const char *stage, uint64_t pc)
{
    check_context_now = (CheckContext){stage, pc};
}

#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
#define UNREACHABLE() check_failed(__FILE__, __LINE__, "unreachable")

#endif
