/* Indirect branches of every kind to every kind of landing pad in guarded memory: prints which ones are let through. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

enum { BLR, BR_X16, BR_X9, RET_X9, KINDS };
enum { PROT_GUARDED = 0x10, GUARDED_BR = 64 };

static const uint32_t pad[] = {
    0xd503201f /* nop */, 0xd503241f /* bti */, 0xd503245f /* bti c */, 0xd503249f /* bti j */, 0xd50324df /* bti jc */,
    0xd503233f /* paciasp */, 0xd503237f /* pacibsp */,
};
enum { PADS = sizeof pad / sizeof *pad, AUTIASP = 0xd50323bf, AUTIBSP = 0xd50323ff, RET = 0xd65f03c0, BR_9 = 0xd61f0120 };

static sigjmp_buf refused;
static uint32_t *code;

static void on_sigill(int sig, siginfo_t *info, void *uc)
{
    siglongjmp(refused, info->si_code);
}

static void go(int kind, void *target)
{
    switch (kind) {
    case BLR:
        __asm__ volatile("blr %0" ::"r"(target) : "x30", "memory");
        break;
    case BR_X16:
        __asm__ volatile("adr x30, 1f\n mov x16, %0\n br x16\n1:" ::"r"(target) : "x30", "x16", "memory");
        break;
    case BR_X9:
        __asm__ volatile("adr x30, 1f\n mov x9, %0\n br x9\n1:" ::"r"(target) : "x30", "x9", "memory");
        break;
    case RET_X9:
        __asm__ volatile("adr x30, 1f\n mov x9, %0\n ret x9\n1:" ::"r"(target) : "x30", "x9", "memory");
        break;
    default: /* from guarded memory */
        __asm__ volatile("mov x9, %0\n blr %1" ::"r"(target), "r"(code + GUARDED_BR) : "x30", "x9", "memory");
        break;
    }
}

/* '+' when the branch is let through, else the si_code of the signal. */
static void row(const char *name)
{
    printf("%s", name);
    for (volatile int i = 0; i < PADS; i++) {
        printf(" ");
        for (volatile int kind = 0; kind <= KINDS; kind++) {
            int si_code = sigsetjmp(refused, 1);
            if (si_code == 0)
                go(kind, code + 4 * i);
            printf("%c", si_code ? '0' + si_code : '+');
        }
    }
    printf("\n");
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &sa, NULL);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PADS; i++) {
        code[4 * i] = pad[i];
        code[4 * i + 1] = pad[i] == pad[5] ? AUTIASP : pad[i] == pad[6] ? AUTIBSP : pad[0];
        code[4 * i + 2] = RET;
    }
    code[GUARDED_BR] = pad[2];
    code[GUARDED_BR + 1] = BR_9;
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    row("plain");
    mprotect(code, 4096, PROT_READ | PROT_EXEC | PROT_GUARDED);
    row("guarded");
    return 0;
}
