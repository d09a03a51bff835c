// Faults of calls: frees of what is no block, second frees, requests that cannot be.

#include "security.h"

#include <alloca.h>

static void heap_runs_code(void)
{
    unsigned char *p = (unsigned char *)block();
    // `ret`, on x86-64.
    p[0] = 0xc3;
    ((void (*)(void))opaque(p))();
    shown();
}

static void more_than_there_is(void)
{
    if (opaque(malloc(-unknown(size))) != NULL)
        shown();
}

static void free_code(void)
{
    free(opaque((void *)(uintptr_t)free_code));
    shown();
}

static void free_alloca(void)
{
    free(opaque(alloca(unknown(size & 0xffff) + 64)));
    shown();
}

static void free_stack(void)
{
    char local[4096];
    free(opaque(local + 64));
    shown();
}

static void free_far(void)
{
    free(opaque(block() + GIB));
    shown();
}

static void free_close(void)
{
    free(opaque(block() + 4096));
    shown();
}

static void free_unaligned(void)
{
    free(opaque(block() + 1));
    shown();
}

static void free_middle(void)
{
    // In the smallest block, there is no middle at a multiple of 16.
    char *p = block();
    free(opaque(p + (size <= 16 ? 8 : size / 2)));
    shown();
}

static void twice(void)
{
    char *p = block();
    free(p);
    free(opaque(p));
    shown();
}

static void twice_delayed(void)
{
    char *p = block();
    free(p);
    for (int i = 0; i < 10000; i++) {
        char *q = block();
        *q = 1;
        char *r = block();
        free(q);
        free(r);
    }
    free(opaque(p));
    shown();
}

static void twice_interleaved(void)
{
    char *p = block(), *q = block();
    free(p);
    free(q);
    free(opaque(p));
    shown();
}

// Up to so many more blocks are looked at for one that is recycled. They stay.
static int tries(void) { return size > 64 * KIB ? 100 : 1000; }

static void twice_after_reuse(void)
{
    char *p = block(), *q = NULL;
    free(p);
    for (int i = 0; i < tries() && q != opaque(p); i++)
        q = block();
    if (q != opaque(p))
        return;
    free(q);
    free(opaque(p));
    shown();
}

static void twice_with_one_between(void)
{
    char *p = block();
    free(p);
    char *q = block();
    *q = 1;
    free(opaque(p));
    shown();
}

static void reused_at_once(void)
{
    char *p = block();
    free(p);
    if (block() == opaque(p))
        shown();
}

static void reused_for_less(void)
{
    char *p = block();
    free(p);
    if (opaque(malloc(unknown(size - size / 64 - 1))) == opaque(p))
        shown();
}

static void realloc_freed(void)
{
    char *p = block();
    free(p);
    char *q = (char *)opaque(realloc(opaque(p), unknown(2 * size)));
    (void)q;
    shown();
}

KINDS(KIND(heap_runs_code), KIND(more_than_there_is), KIND(free_code), KIND(free_alloca),
      KIND(free_stack), KIND(free_far), KIND(free_close), KIND(free_unaligned), KIND(free_middle),
      KIND(twice), KIND(twice_delayed), KIND(twice_interleaved), KIND(twice_after_reuse),
      KIND(twice_with_one_between), KIND(reused_at_once), KIND(reused_for_less),
      KIND(realloc_freed))
