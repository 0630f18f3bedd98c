/* Calls of sandboxes and observers that need a look before the host gets them: Landlock, perf_event_open. */
#include "user/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Landlock ---------------------------------------------------------------------------------------------------------- */

#define RULE_PATH_BENEATH 1
#define ACCESS_EXECUTE 1u
#define ACCESS_READ_FILE 4u
#define EXECVE_CHECK 0x10000 /* AT_EXECVE_CHECK, since Linux 6.14 */

/* Let the ruleset's subjects start the file at `path`: what the ruleset does not handle it refuses to be told of. */
static void allow_file(UserThread *t, uint64_t ruleset, const char *path)
{
    struct {
        uint64_t access;
        int32_t fd;
    } __attribute__((packed)) rule = { ACCESS_EXECUTE | ACCESS_READ_FILE, open(path, O_PATH | O_CLOEXEC) };
    if (rule.fd < 0)
        return;
    const uint64_t tries[] = { ACCESS_EXECUTE | ACCESS_READ_FILE, ACCESS_EXECUTE, ACCESS_READ_FILE };
    for (unsigned i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        rule.access = tries[i];
        if (HOST4(t, SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, (uintptr_t)&rule, 0) == 0)
            break;
    }
    close(rule.fd);
}

/* Dragoman and the libraries that it is made of: without them no guest program could be executed. */
static void allow_self(UserThread *t, uint64_t ruleset)
{
    char line[PATH_MAX + 128], last[PATH_MAX] = "";
    FILE *f = fopen("/proc/self/maps", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *name = strchr(line, '/');
        if (!name || !strstr(line, " r-xp "))
            continue;
        line[strcspn(line, "\n")] = 0;
        if (strcmp(name, last) != 0)
            allow_file(t, ruleset, name);
        snprintf(last, sizeof last, "%s", name);
    }
    if (f)
        fclose(f);
}

int64_t sys_landlock_restrict_self(UserThread *t, SysCall *c)
{
    engine_stop_background(t->p->engine); /* it would not be restricted */
    allow_self(t, c->arg[0]);
    int64_t err = host_pass(t, c);
    if (err == 0)
        t->p->landlocked = true;
    return err;
}

int64_t landlock_may_execute(UserThread *t, const char *host_path)
{
    const char *const none[1] = { NULL };
    int64_t err = HOST6(t, SYS_execveat, AT_FDCWD, (uintptr_t)host_path, (uintptr_t)none, (uintptr_t)none, EXECVE_CHECK, 0);
    return err == -EACCES ? err : 0; /* an older kernel cannot say; other reasons are found elsewhere */
}

/* --- perf_event_open --------------------------------------------------------------------------------------------------- */

/* What is counted by the kernel is the guest's; the processor's own counters would count the translator's work. */
int64_t sys_perf_event_open(UserThread *t, SysCall *c)
{
    struct {
        uint32_t type, size;
        uint64_t config, period, sample_type;
    } attr;
    if (!guest_read(t->cpu, &attr, c->arg[0], sizeof attr))
        return -EFAULT;
    if (attr.type == PERF_TYPE_HARDWARE || attr.type == PERF_TYPE_HW_CACHE || attr.type == PERF_TYPE_RAW)
        return -ENOENT; /* as on a machine without a PMU */
    if (attr.sample_type & (PERF_SAMPLE_REGS_USER | PERF_SAMPLE_REGS_INTR | PERF_SAMPLE_STACK_USER))
        return -ENOSYS; /* they would be the host's */
    return host_pass(t, c);
}
