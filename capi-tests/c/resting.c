// A heap of all kinds of blocks, at rest. For each byte on standard input, the process says its own
// numbers, and allocates nothing for that.
#include "case.h"

static char text[64 << 10];

static void *keeps(void *go)
{
    void *blocks[100];
    for (size_t i = 0; i < 100; i++)
        blocks[i] = malloc(80);
    for (size_t i = 0; i < 100; i++)
        free(blocks[i]);
    // Sleeps until the process ends.
    char byte;
    CHECK(write(((int *)go)[1], "x", 1) == 1, "%d", errno);
    pause();
    return read(((int *)go)[0], &byte, 1) == 1 ? go : NULL;
}

static void resting(void)
{
    static void *blocks[50], *small[3000];
    static int go[2];
    size_t (*numbers)(char *, size_t) =
        (size_t(*)(char *, size_t))(uintptr_t)function("strata_stats_json");
    for (size_t i = 0; i < 50; i++)
        blocks[i] = malloc(20 * KIB);
    for (size_t i = 0; i < 3000; i++)
        small[i] = malloc(56);
    for (size_t i = 0; i < 3000; i += 2)
        free(small[i]);
    void *run = malloc(300 * KIB), *huge = malloc(5 * MIB), *freed = malloc(15 * MIB);
    CHECK(blocks[49] != NULL && run != NULL && huge != NULL && freed != NULL, "no memory");
    memset(huge, 1, 5 * MIB);
    free(freed);
    alarm(120);
    CHECK(pipe(go) == 0, "pipe: %d", errno);
    start(keeps, go);
    char byte;
    CHECK(read(go[0], &byte, 1) == 1, "%d", errno);
    while (read(0, &byte, 1) == 1) {
        size_t len = numbers(text, sizeof text - 1);
        CHECK(len < sizeof text - 1, "%zu", len);
        text[len] = '\n';
        CHECK(write(1, text, len + 1) == (ssize_t)len + 1, "%d", errno);
    }
}

MAIN(CASE(resting))
