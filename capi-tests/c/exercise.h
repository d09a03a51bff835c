// A short exercise of the allocator, for unusual places.

#ifndef EXERCISE_H
#define EXERCISE_H

#include "case.h"

// Allocates, grows and frees blocks of every kind.
HELPER void exercise(void)
{
    static const size_t sizes[] = {0, 1, 40, 500, 3000, 20000, 100000, 300000, 2 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    char *blocks[3 * COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = sizes[i];
        blocks[3 * i] = (char *)malloc(n);
        blocks[3 * i + 1] = (char *)calloc(1, n);
        blocks[3 * i + 2] = (char *)memalign(256, n);
        for (size_t j = 3 * i; j < 3 * i + 3; j++) {
            CHECK(blocks[j] != NULL && malloc_usable_size(blocks[j]) >= n, "%zu", n);
            CHECK(j % 3 != 1 || is_zero(blocks[j], n < 50000 ? n : 50000), "%zu", n);
            fill(blocks[j], n < 5000 ? n : 5000, j);
        }
    }
    for (size_t j = 0; j < 3 * COUNT; j++) {
        size_t n = sizes[j / 3];
        CHECK(filled(blocks[j], n < 5000 ? n : 5000, j), "%zu", n);
        if (j % 2 == 0)
            blocks[j] = (char *)realloc(blocks[j], n + n / 4 + 1);
        CHECK(blocks[j] != NULL && filled(blocks[j], (n < 5000 ? n : 5000) / 8 * 8, j), "%zu", n);
        free(blocks[j]);
    }
}

HELPER void *exercise_in_thread(void *argument)
{
    exercise();
    return argument;
}

#endif
