/* GCC's nested functions are called through code that it writes on the stack, and asks for by PT_GNU_STACK. */
#include "t.h"

static int (*volatile slot)(int);

static int apply(int (*fn)(int), int x)
{
    slot = fn;
    return slot(x);
}

static int sum(int depth, int from)
{
    int add(int x)
    {
        return x + from + depth;
    }
    return depth == 0 ? apply(add, 1) : apply(add, 1) + sum(depth - 1, from + 1);
}

static void test_nested(void)
{
    int want = 0;
    for (int d = 50; d >= 0; d--)
        want += 1 + (7 + 50 - d) + d;
    OK(sum(50, 7) == want);
    int sums = 0;
    for (int i = 0; i < 1000; i++) { /* the same place on the stack, other code each time */
        int add(int x)
        {
            return x + i;
        }
        sums += apply(add, 1);
    }
    OK(sums == 1000 + 999 * 1000 / 2);
}

static void test_maps(void)
{
    char line[256], mode[5] = "";
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, "[stack]"))
            sscanf(line, "%*s %4s", mode);
    OK(strcmp(mode, "rwxp") == 0);
    if (f)
        fclose(f);
}

int main(void)
{
    test_nested();
    test_maps();
    return t_done();
}
