/* Memory and calls: binary trees built, walked and freed with malloc. */
#include "bench.h"

typedef struct Node {
    struct Node *l, *r;
} Node;

static Node *make(int depth)
{
    Node *n = malloc(sizeof *n);
    n->l = depth ? make(depth - 1) : NULL;
    n->r = depth ? make(depth - 1) : NULL;
    return n;
}

static int count(const Node *n)
{
    return n ? 1 + count(n->l) + count(n->r) : 0;
}

static void drop(Node *n)
{
    if (!n)
        return;
    drop(n->l);
    drop(n->r);
    free(n);
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 60), sum = 0;
    for (long r = 0; r < rounds; r++) {
        Node *n = make(15);
        sum += count(n);
        drop(n);
    }
    printf("%ld\n", sum);
    return 0;
}
