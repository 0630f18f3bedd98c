#ifndef GUEST_AARCH64_LIFT_BRANCH_H
#define GUEST_AARCH64_LIFT_BRANCH_H

#include "guest/aarch64/lift.h"

/* A branch to pc, by BL if `call`: when a thunk is there (lift_thunk.c), lift both as the indirect branch that they are. */
bool a64_thunk(Lift *l, uint64_t pc, bool call);

#endif
