/* Memory latency and pointers: a random cycle, a hash table, a binary tree. */
#include "bench.h"

#define N (1 << 16)
typedef struct Node {
    struct Node *l, *r, *next;
    uint32_t key;
} Node;
static Node node[N];
static Node *bucket[4096];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 6);
    uint32_t seed = 3, sum = 0;
    Node *root = NULL;

    for (int i = 0; i < N; i++) {
        Node *n = &node[i], **p = &root;
        n->key = bench_random(&seed);
        n->next = bucket[n->key & 4095];
        bucket[n->key & 4095] = n;
        while (*p)
            p = n->key < (*p)->key ? &(*p)->l : &(*p)->r;
        *p = n;
    }
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < N; i++) {
            uint32_t key = node[bench_random(&seed) & (N - 1)].key;
            Node *n = bucket[key & 4095];
            while (n->key != key)
                n = n->next;
            for (n = root; n->key != key; n = key < n->key ? n->l : n->r)
                sum++;
        }
    }
    printf("%u\n", sum);
    return 0;
}
