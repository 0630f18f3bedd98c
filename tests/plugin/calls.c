/* Calls of every kind, each of which costs so much that who is charged with it shows: `work` executes N instructions a call. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define QUIET __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))
#define TAIL  __attribute__((noinline, noclone, optimize("optimize-sibling-calls")))

static jmp_buf env;
static volatile long sink;

QUIET static void work(long n)
{
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(n) : : "cc");
}

QUIET static void recurse(int n)
{
    work(1000);
    if (n > 1)
        recurse(n - 1);
    sink++;
}

QUIET static void thrower(void)
{
    work(3000);
    longjmp(env, 1);
}

QUIET static void deep(void)
{
    thrower();
    sink++;
}

QUIET static void catcher(void)
{
    if (setjmp(env) == 0)
        deep();
    work(5000);
    sink++;
}

QUIET static void last(void)
{
    work(7000);
    sink++;
}

TAIL static void tail(void)
{
    work(100);
    last(); /* a jump */
}

QUIET static void caller(void)
{
    tail();
    sink++;
}

QUIET static void helper(void)
{
    work(11000);
    sink++;
}

static void handler(int sig)
{
    helper();
}

QUIET static void raiser(void)
{
    raise(SIGUSR1);
    work(13000);
    sink++;
}

QUIET static void direct(void)
{
    work(17000);
    sink++;
}

static void (*volatile pointer)(void) = direct;

QUIET static void indirect(void)
{
    for (int i = 0; i < 3; i++)
        pointer();
}

QUIET static void odd(void)
{
    work(200);
    sink++;
}

QUIET static void even(void)
{
    work(400);
    sink++;
}

TAIL static void hop(int n)
{
    work(50);
    if (n & 1)
        odd(); /* jumps */
    else
        even();
}

static void (*const volatile side[])(void) = {even, odd};

/* The same again, from one site to several places. */
QUIET static void mixed(void)
{
    for (int i = 0; i < 8; i++) {
        hop(i / 2);
        side[i % 4 == 3]();
    }
}

int main(void)
{
    signal(SIGUSR1, handler);
    recurse(10);
    catcher();
    caller();
    raiser();
    indirect();
    mixed();
    printf("%ld\n", sink);
    return 0;
}
