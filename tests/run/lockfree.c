/*
 * A Treiber stack and a Michael-Scott queue on exclusive loads and stores, without tags or counters: nodes are used again at
 * once, so a store exclusive that succeeds after its location was changed and changed back corrupts them.
 *
 *   lockfree OPERATIONS      prints "0 bad" when no node ever had two owners and none was lost
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 8, NODES = 12 }; /* few nodes: the same come back soon */

typedef struct Node {
    struct Node *next;
    unsigned owned;
    uint64_t value;
} __attribute__((aligned(64))) Node;

static struct {
    Node *top __attribute__((aligned(64)));
    Node *head __attribute__((aligned(64)));
    Node *tail __attribute__((aligned(64)));
} at;

static Node node[2 * NODES + 1];
static unsigned long operations;
static unsigned bad;

static inline Node *ll(Node **p)
{
    Node *v;
    asm volatile("ldaxr %0, [%1]" : "=r"(v) : "r"(p) : "memory");
    return v;
}

/* Whether the store was done. */
static inline int sc(Node **p, Node *v)
{
    unsigned failed;
    asm volatile("stlxr %w0, %1, [%2]" : "=&r"(failed) : "r"(v), "r"(p) : "memory");
    return !failed;
}

static void take(Node *n)
{
    if (__atomic_exchange_n(&n->owned, 1, __ATOMIC_ACQ_REL))
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

static void give(Node *n)
{
    if (!__atomic_exchange_n(&n->owned, 0, __ATOMIC_ACQ_REL))
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

/* --- the stack --- */

static void push(Node *n)
{
    do
        n->next = ll(&at.top);
    while (!sc(&at.top, n));
}

static Node *pop(void)
{
    Node *n;
    do {
        n = ll(&at.top);
        if (!n)
            return NULL;
    } while (!sc(&at.top, *(Node *volatile *)&n->next));
    return n;
}

/* --- the queue --- */

/* Move the tail on from t, unless somebody did. What is t's successor only counts while t is the tail. */
static void advance(Node *t)
{
    if (ll(&at.tail) == t) {
        Node *next = *(Node *volatile *)&t->next;
        if (next)
            sc(&at.tail, next);
    }
}

static void enqueue(Node *n)
{
    n->next = NULL;
    for (;;) {
        Node *t = __atomic_load_n(&at.tail, __ATOMIC_ACQUIRE), *next = ll(&t->next);
        if (__atomic_load_n(&at.tail, __ATOMIC_ACQUIRE) != t)
            continue;
        if (next) {
            advance(t);
        } else if (sc(&t->next, n)) {
            advance(t);
            return;
        }
    }
}

/* The node that was the dummy; its successor is the next one, and held the value. */
static Node *dequeue(uint64_t *value)
{
    for (;;) {
        Node *h = ll(&at.head), *t = __atomic_load_n(&at.tail, __ATOMIC_ACQUIRE);
        Node *next = __atomic_load_n(&h->next, __ATOMIC_ACQUIRE);
        if (h == t) {
            if (!next)
                return NULL;
            advance(t);
            continue;
        }
        *value = next ? *(volatile uint64_t *)&next->value : 0;
        if (sc(&at.head, next))
            return h;
    }
}

/* --- threads --- */

static void *stack_worker(void *arg)
{
    for (unsigned long k = 0; k < operations / THREADS; k += 4) {
        Node *a = pop(), *b = pop();
        if (a)
            take(a);
        if (b)
            take(b);
        if (a) {
            give(a);
            push(a);
        }
        if (b) {
            give(b);
            push(b);
        }
    }
    return NULL;
}

static void *queue_worker(void *sum)
{
    for (unsigned long k = 0; k < operations / THREADS; k += 2) {
        uint64_t v;
        Node *n = dequeue(&v);
        if (!n)
            continue;
        take(n);
        n->value = v;
        give(n);
        enqueue(n);
    }
    return NULL;
}

static void run(void *(*worker)(void *))
{
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, worker, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
    operations = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000;
    unsigned count = 0;
    uint64_t sum = 0, v;

    for (int i = 0; i < NODES; i++)
        push(&node[i]);
    run(stack_worker);
    while (pop())
        count++;
    if (count != NODES) {
        printf("%u nodes on the stack, not %u\n", count, NODES);
        bad++;
    }
    at.head = at.tail = &node[NODES];
    for (unsigned i = 1; i <= NODES; i++) {
        node[NODES + i].value = i;
        enqueue(&node[NODES + i]);
    }
    run(queue_worker);
    for (count = 0; dequeue(&v); count++)
        sum += v;
    if (count != NODES || sum != NODES * (NODES + 1) / 2) {
        printf("%u values in the queue with the sum %llu, not %u and %u\n", count, (unsigned long long)sum, NODES, NODES * (NODES + 1) / 2);
        bad++;
    }
    printf("%u bad\n", bad);
    return bad != 0;
}
