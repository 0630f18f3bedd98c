/* scale_fresh on one thread. */
#define THREADS 1
#include "scale_fresh.c"
