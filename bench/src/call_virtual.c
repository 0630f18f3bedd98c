/* Indirect calls: a table of shapes with virtual functions, and a comparison callback. */
#include "bench.h"

typedef struct Shape Shape;
typedef struct Class {
    uint32_t (*area)(const Shape *);
    void (*grow)(Shape *, uint32_t);
} Class;
struct Shape {
    const Class *c;
    uint32_t w, h;
};

static uint32_t area_box(const Shape *s) { return s->w * s->h; }
static uint32_t area_tri(const Shape *s) { return s->w * s->h / 2; }
static uint32_t area_dot(const Shape *s) { return s->w & 1; }
static void grow_box(Shape *s, uint32_t by) { s->w += by, s->h += by; }
static void grow_tri(Shape *s, uint32_t by) { s->w += by / 2, s->h ^= by; }
static const Class box = { area_box, grow_box }, tri = { area_tri, grow_tri }, dot = { area_dot, grow_tri };

static int by_area(const void *a, const void *b)
{
    const Shape *x = a, *y = b;
    uint32_t p = x->c->area(x), q = y->c->area(y);
    return p < q ? -1 : p > q;
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 40);
    static Shape s[4096];
    uint32_t seed = 9, sum = 0;

    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < 4096; i++) {
            uint32_t x = bench_random(&seed);
            s[i] = (Shape){ x % 16 < 12 ? &box : x % 16 < 15 ? &tri : &dot, x >> 4 & 255, x >> 12 & 255 };
        }
        for (int k = 0; k < 20; k++)
            for (int i = 0; i < 4096; i++) {
                s[i].c->grow(&s[i], (uint32_t)k);
                sum += s[i].c->area(&s[i]);
            }
        qsort(s, 4096, sizeof s[0], by_area);
        sum += s[100].w;
    }
    printf("%u\n", sum);
    return 0;
}
