/* What a program finds when it starts: arguments, environment, auxiliary vector, stack, identity. */
#include "t.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/utsname.h>

extern char **environ;
static int in_bss[5000];
static int in_data = 42;
static _Thread_local int tls = 7;

int main(int argc, char **argv)
{
    struct utsname u;
    OK(argc == 3);
    OK(argc > 2 && !strcmp(argv[1], "one") && !strcmp(argv[2], ""));
    OK(argv[argc] == NULL);
    OK(getenv("T_START") && !strcmp(getenv("T_START"), "va=lue"));
    OK(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    OK(uname(&u) == 0 && !strcmp(u.machine, "aarch64") && !strcmp(u.sysname, "Linux"));
    OK(getauxval(AT_PAGESZ) == 4096 && sysconf(_SC_PAGESIZE) == 4096);
    OK(getauxval(AT_PLATFORM) && !strcmp((char *)getauxval(AT_PLATFORM), "aarch64"));
    OK((getauxval(AT_HWCAP) & 3) == 3); /* FP, ASIMD */
    OK(getauxval(AT_PHDR) != 0 && getauxval(AT_PHENT) == sizeof(ElfW(Phdr)) && getauxval(AT_PHNUM) > 0);
    OK(getauxval(AT_RANDOM) != 0);
    OK(getauxval(AT_EXECFN) && strstr((char *)getauxval(AT_EXECFN), "start"));
    OK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    OK(getauxval(AT_CLKTCK) == 100);
    OK(getauxval(AT_SECURE) == 0);
    OK(getauxval(AT_SYSINFO_EHDR) != 0 && !memcmp((char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, 4));
    OK(in_bss[0] == 0 && in_bss[4999] == 0 && in_data == 42 && tls == 7);
    OK(argv[0] > (char *)&u && environ[0] > argv[0]);
    struct rlimit rl;
    OK(getrlimit(RLIMIT_STACK, &rl) == 0 && rl.rlim_cur > 0);
    volatile char deep[1 << 20]; /* the stack is as large as it says */
    deep[0] = deep[sizeof deep - 1] = 1;
    OK(deep[0] == 1);
    return t_done();
}
