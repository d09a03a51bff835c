// realloc keeps the contents: from every size to every other, with neighbouring
// blocks.

#include "case.h"

// From 1 byte to 64 MiB: powers of two, adjacent sizes, and sizes between.
static size_t grid(size_t *sizes)
{
    size_t count = 0;
    for (int log = 0; log <= 20; log++) {
        size_t power = (size_t)1 << log;
        sizes[count++] = power;
        sizes[count++] = power + 1;
        sizes[count++] = power + power / 2;
    }
    sizes[count++] = MIB - 1;
    sizes[count++] = 3 * MIB;
    sizes[count++] = 8 * MIB + 1;
    sizes[count++] = 64 * MIB;
    return count;
}

// Marks in a block: all of a small one; of a large one its ends and a few bytes
// of each page, or of every ninth.
static size_t stride(size_t n)
{
    return n <= MIB / 2 ? 4096 : 9 * 4096;
}

static void mark(char *p, size_t n, uint64_t seed)
{
    if (n <= 16 * KIB) {
        fill(p, n, seed);
        return;
    }
    for (size_t at = 0; at + 16 <= n; at += stride(n))
        fill(p + at, 16, seed + at);
    fill(p + n - 16, 16, seed);
}

// Whether the first `kept` bytes of such a block are unchanged.
static bool marked(const char *p, size_t n, size_t kept, uint64_t seed)
{
    if (n <= 16 * KIB)
        return filled(p, kept < n ? kept / 8 * 8 : n, seed);
    for (size_t at = 0; at + 16 <= (kept < n - 16 ? kept : n - 16); at += stride(n))
        if (!filled(p + at, 16, seed + at))
            return false;
    return kept < n || filled(p + n - 16, 16, seed);
}

static void every_size_to_every_other(void)
{
    size_t sizes[100], count = grid(sizes);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            size_t from = sizes[i], to = sizes[j];
            // The largest sizes only with each other and with the small ones.
            if (from + to > 16 * MIB && from > 1024 && to > 1024 && from + to < 64 * MIB)
                continue;
            char *before = malloc(from), *p = malloc(from), *after = malloc(from);
            char *there = malloc(to);
            CHECK(before && p && after && there, "%zu, %zu", from, to);
            mark(before, from, 1);
            mark(p, from, 2);
            mark(after, from, 3);
            mark(there, to, 4);
            errno = 4242;
            char *q = (i + j) % 2 == 0 ? realloc(p, to) : reallocarray(p, to, 1);
            CHECK(q != NULL && errno == 4242, "%zu to %zu: errno %d", from, to, errno);
            CHECK((uintptr_t)q % 16 == 0 && malloc_usable_size(q) >= to, "%zu to %zu", from, to);
            CHECK(marked(q, from, from < to ? from : to, 2), "%zu to %zu", from, to);
            mark(q, to, 5);
            CHECK(marked(before, from, from, 1), "%zu to %zu", from, to);
            CHECK(marked(after, from, from, 3), "%zu to %zu", from, to);
            CHECK(marked(there, to, to, 4), "%zu to %zu", from, to);
            CHECK(marked(q, to, to, 5), "%zu to %zu", from, to);
            free(before);
            free(after);
            free(there);
            free(q);
        }
    }
}

static void step_by_step(void)
{
    // Several blocks that grow and shrink in turn, like buffers.
    static char *blocks[8];
    static size_t sizes[8];
    for (int round = 0; round < 6; round++) {
        for (size_t n = 1; n <= 6 * MIB; n += 1 + n / 3) {
            for (int i = 0; i < 8; i++) {
                size_t to = n + (size_t)i * 24;
                char *q = realloc(blocks[i], to);
                CHECK(q != NULL, "%zu", to);
                CHECK(sizes[i] == 0 || marked(q, sizes[i], sizes[i] < to ? sizes[i] : to,
                                              (uint64_t)i), "%zu to %zu", sizes[i], to);
                mark(q, to, (uint64_t)i);
                blocks[i] = q;
                sizes[i] = to;
            }
        }
    }
    for (int i = 0; i < 8; i++)
        free(blocks[i]);
}

static void aligned_blocks_too(void)
{
    // With more than the usual alignment: the alignment is not kept, but the
    // contents are.
    for (size_t align = 32; align <= 4 * MIB; align *= 2) {
        for (size_t from = 1; from <= 3 * MIB; from = from * 5 + 3) {
            for (size_t to = 1; to <= 3 * MIB; to = to * 7 + 5) {
                char *p = memalign(align, from);
                CHECK(p != NULL && (uintptr_t)p % align == 0, "%zu align %zu", from, align);
                mark(p, from, align);
                char *q = realloc(p, to);
                CHECK(q != NULL, "%zu to %zu", from, to);
                CHECK(marked(q, from, from < to ? from : to, align), "%zu to %zu align %zu", from,
                      to, align);
                mark(q, to, 1);
                free(q);
            }
        }
    }
}

// A block that is resized to the size that it has stays. (So it does with its usable size, but
// for glibc's largest blocks.)
static void same_size_stays(void)
{
    for (size_t n = 1; n <= 64 * MIB; n += n < 3000 ? 1 : n / 3) {
        char *p = malloc(n);
        size_t usable = malloc_usable_size(p);
        for (int i = 0; i < 20; i++) {
            void *q = realloc(p, i % 2 == 0 || !ours ? n : usable);
            CHECK(p == q, "%zu: %p, then %p", n, (void *)p, q);
        }
        free(p);
    }
}

MAIN(CASE(every_size_to_every_other), CASE(step_by_step), CASE(aligned_blocks_too),
     CASE(same_size_stays))
