// A library with an allocator of its own: libstrata.a is linked into it, and its
// malloc and free are hidden.

#include "case.h"

#define EXPORT __attribute__((visibility("default")))

// Blocks that only the destructors free: the first one to run, the function for
// the exit, and the last one to run.
static void *early, *at_end, *late;

static void exits(void)
{
    CHECK(filled(at_end, 5000, 2), "%p", at_end);
    free(at_end);
}

__attribute__((constructor(101))) static void first(void)
{
    // Before the first allocation.
    CHECK(atexit(exits) == 0, "atexit");
}

__attribute__((constructor)) static void begin(void)
{
    fill(early = malloc(3000), 3000, 1);
    fill(at_end = malloc(5000), 5000, 2);
    fill(late = malloc(3 * MIB), 3 * MIB, 3);
}

__attribute__((destructor)) static void end(void)
{
    CHECK(filled(early, 3000, 1), "%p", early);
    free(early);
}

__attribute__((destructor(101))) static void last(void)
{
    CHECK(filled(late, 3 * MIB, 3), "%p", late);
    free(late);
}

EXPORT void *carrier_make(size_t bytes)
{
    return malloc(bytes);
}

EXPORT void carrier_free(void *block)
{
    free(block);
}

EXPORT size_t carrier_live(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
