/*
 * The smallest test harness: TAP on stdout, one line a check group. Use:
 *     int main(void) { TEST_BEGIN(); TEST("adds", add(1, 2) == 3); return TEST_END(); }
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdio.h>

static int test_count, test_failures;

#define TEST_BEGIN() (test_count = test_failures = 0)
#define TEST(name, cond) test_report((name), (cond) ? 1 : 0, __FILE__, __LINE__)
#define TEST_END() (printf("1..%d\n", test_count), test_failures != 0)

static inline int test_report(const char *name, int ok, const char *file, int line)
{
    test_count++;
    test_failures += !ok;
    printf("%sok %d - %s\n", ok ? "" : "not ", test_count, name);
    if (!ok)
        printf("# at %s:%d\n", file, line);
    fflush(stdout);
    return ok;
}

#endif
