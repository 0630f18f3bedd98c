/* Running a case: lifted and interpreted here, or by the oracle. */
#ifndef TESTS_LIFT_ENGINE_H
#define TESTS_LIFT_ENGINE_H

#include "case.h"

#include <stdbool.h>

/* Lift, verify, optimise when asked, interpret; *c becomes the state afterwards. */
void engine_run(Case *c, bool optimise);
/* Whether all of the case's instructions are defined. */
bool engine_defined(const Case *c);
/* Print what differs between two results of one case; returns whether anything does. */
bool case_differs(const Case *expected, const Case *got, bool print);

#endif
