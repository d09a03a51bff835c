// Edge cases of the interface: sizes, alignments, errno afterwards.

#include "case.h"

#include <gnu/libc-version.h>

// The largest sizes that may be requested, and larger ones.
static const size_t impossible[] = {
    (size_t)PTRDIFF_MAX,         (size_t)PTRDIFF_MAX + 1,  (size_t)PTRDIFF_MAX + 4096,
    SIZE_MAX / 2 + 4097,         SIZE_MAX - 2 * MIB,       SIZE_MAX - 65536,
    SIZE_MAX - 8192,             SIZE_MAX - 4096,          SIZE_MAX - 4095,
    SIZE_MAX - 4094,             SIZE_MAX - 64,            SIZE_MAX - 32,
    SIZE_MAX - 16,               SIZE_MAX - 15,            SIZE_MAX - 8,
    SIZE_MAX - 1,                SIZE_MAX,
};
#define IMPOSSIBLE (sizeof impossible / sizeof impossible[0])

// Expects `call` to return null and to set ENOMEM.
#define REFUSED(call, ...)                                                                         \
    do {                                                                                           \
        errno = 4242;                                                                              \
        void *refused = (call);                                                                    \
        int error = errno;                                                                         \
        CHECK(refused == NULL, __VA_ARGS__);                                                       \
        CHECK(error == ENOMEM, __VA_ARGS__);                                                       \
    } while (0)

static void refused_sizes(void)
{
    for (size_t i = 0; i < IMPOSSIBLE; i++) {
        size_t n = unknown(impossible[i]);
        REFUSED(malloc(n), "%zx", n);
        REFUSED(calloc(n, 1), "%zx", n);
        REFUSED(calloc(1, n), "%zx", n);
        REFUSED(realloc(NULL, n), "%zx", n);
        REFUSED(reallocarray(NULL, n, 1), "%zx", n);
        REFUSED(reallocarray(NULL, 1, n), "%zx", n);
        REFUSED(valloc(n), "%zx", n);
        REFUSED(pvalloc(n), "%zx", n);
        for (size_t align = 1; align <= GIB; align *= 2) {
            REFUSED(memalign(align, n), "%zx align %zx", n, align);
            REFUSED(aligned_alloc(align, n), "%zx align %zx", n, align);
            if (align < sizeof(void *))
                continue;
            void *out = (void *)0x5a5a;
            errno = 4242;
            int error = posix_memalign(&out, align, n);
            CHECK(error == ENOMEM && out == (void *)0x5a5a, "%zx align %zx: %d", n, align, error);
            // glibc sets errno too.
            CHECK(!ours || errno == 4242, "%zx align %zx: %d", n, align, errno);
        }
    }
}

static void overflowing_products(void)
{
    size_t factors[][2] = {
        {SIZE_MAX, SIZE_MAX},  {SIZE_MAX, 2},     {2, SIZE_MAX},
        {SIZE_MAX / 2, 3},     {3, SIZE_MAX / 2}, {(size_t)1 << 32, (size_t)1 << 32},
        {(size_t)1 << 63, 2},  {2, (size_t)1 << 63}, {(size_t)1 << 33, ((size_t)1 << 31) + 1},
        {SIZE_MAX / 16 + 1, 16}, {(size_t)1 << 62, 2}, {(size_t)1 << 62, 4},
    };
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        size_t a = unknown(factors[i][0]), b = unknown(factors[i][1]);
        REFUSED(calloc(a, b), "%zx * %zx", a, b);
        REFUSED(reallocarray(NULL, a, b), "%zx * %zx", a, b);
    }
    // With a factor of zero nothing overflows.
    void *none = calloc(0, unknown(SIZE_MAX)), *neither = calloc(unknown(SIZE_MAX), 0);
    CHECK(none != NULL && neither != NULL && none != neither, "%p %p", none, neither);
    free(none);
    free(neither);
}

static void zero_bytes(void)
{
    // Each block is unique, aligned, and can be freed.
    enum { COUNT = 1000 };
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        void *p = NULL;
        switch (i % 10) {
        case 0: p = malloc(unknown(0)); break;
        case 1: p = calloc(unknown(0), 8); break;
        case 2: p = calloc(8, unknown(0)); break;
        case 3: p = realloc(NULL, unknown(0)); break;
        case 4: p = memalign(64, unknown(0)); break;
        case 5: p = aligned_alloc(32, unknown(0)); break;
        case 6: p = valloc(unknown(0)); break;
        case 7: p = pvalloc(unknown(0)); break;
        case 8: p = reallocarray(NULL, unknown(0), 8); break;
        case 9: CHECK(posix_memalign(&p, 64, unknown(0)) == 0, "posix_memalign"); break;
        }
        CHECK(p != NULL && (uintptr_t)p % 16 == 0, "%d: %p", i, p);
        blocks[i] = p;
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j], "%d %d", i, j);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static void null_is_fine(void)
{
    errno = 4242;
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0, "usable size of null");
    void *p = realloc(NULL, 100);
    CHECK(p != NULL && malloc_usable_size(p) >= 100, "%p", p);
    free(p);
    p = reallocarray(NULL, 10, 10);
    CHECK(p != NULL && malloc_usable_size(p) >= 100, "%p", p);
    free(p);
    CHECK(errno == 4242, "%d", errno);
}

static void realloc_to_nothing(void)
{
    // Frees the block and keeps errno. The freed memory is reused: otherwise
    // resident memory would grow.
    size_t sizes[] = {0, 1, 100, 5000, 40000, 300000, 2 * MIB};
    size_t before = 0;
    for (int round = 0; round < 4000; round++) {
        size_t n = sizes[round % 7];
        void *p = malloc(n);
        CHECK(p != NULL, "%zu", n);
        fill(p, n, n);
        errno = 4242;
        void *q = round % 3 == 0   ? realloc(p, unknown(0))
                  : round % 3 == 1 ? reallocarray(p, unknown(0), 100)
                                   : reallocarray(p, 100, unknown(0));
        CHECK(q == NULL && errno == 4242, "%zu: %p, %d", n, q, errno);
        if (round == 400)
            before = resident();
    }
    size_t after = resident();
    CHECK(after < before + 8 * MIB, "%zu, then %zu resident", before, after);
}

static void failed_realloc(void)
{
    // The block is unchanged.
    size_t sizes[] = {1, 16, 100, 1000, 5000, 32768, 40000, 300000, MIB, MIB + 1, 4 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        char *p = malloc(n);
        CHECK(p != NULL, "%zu", n);
        size_t usable = malloc_usable_size(p);
        fill(p, usable, n);
        for (size_t j = 0; j < IMPOSSIBLE; j++) {
            size_t more = unknown(impossible[j]);
            REFUSED(realloc(p, more), "%zu to %zx", n, more);
            REFUSED(reallocarray(p, more, 1), "%zu to %zx", n, more);
            REFUSED(reallocarray(p, more, 16), "%zu to 16 * %zx", n, more);
        }
        CHECK(malloc_usable_size(p) == usable && filled(p, usable, n), "%zu", n);
        free(p);
    }
}

static void refused_alignments(void)
{
    size_t wrong[] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 24, 40, 48, 100, 4095, 4097, MIB + 8,
                      SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2, ((size_t)3) << 62};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t sizes[] = {0, 1, 100, 2 * MIB, SIZE_MAX};
        for (int j = 0; j < 5; j++) {
            void *out = (void *)0x5a5a;
            errno = 4242;
            int error = posix_memalign(&out, unknown(wrong[i]), unknown(sizes[j]));
            CHECK(error == EINVAL && out == (void *)0x5a5a, "%zu: %d", wrong[i], error);
            CHECK(errno == 4242, "%zu: errno %d", wrong[i], errno);
        }
    }
    // Larger than any power of two.
    size_t huge[] = {SIZE_MAX / 2 + 2, SIZE_MAX - 4095, SIZE_MAX};
    for (int i = 0; i < 3; i++) {
        errno = 4242;
        CHECK(memalign(unknown(huge[i]), 1) == NULL && errno == EINVAL, "%d: %d", i, errno);
        errno = 4242;
        CHECK(aligned_alloc(unknown(huge[i]), 1) == NULL && errno == EINVAL, "%d: %d", i, errno);
    }
    // Powers of two for which there is no room.
    for (int log = 63; log >= 48; log--) {
        size_t align = unknown((size_t)1 << log);
        REFUSED(memalign(align, 1), "2^%d", log);
        REFUSED(aligned_alloc(align, 1), "2^%d", log);
        void *out = (void *)0x5a5a;
        int error = posix_memalign(&out, align, 1);
        CHECK(error == ENOMEM && out == (void *)0x5a5a, "2^%d: %d", log, error);
    }
    // Powers of two for which there may be room.
    for (int log = 30; log < 48; log++) {
        size_t align = unknown((size_t)1 << log);
        void *p = memalign(align, 1);
        CHECK((uintptr_t)p % align == 0, "2^%d: %p", log, p);
        free(p);
    }
}

static void odd_alignments(void)
{
    // Rounded up to the next power of two.
    size_t odd[] = {0, 1, 3, 5, 7, 9, 15, 17, 24, 33, 48, 63, 65, 100, 1000, 4095, 4097, 100000};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        size_t least = 16;
        while (least < odd[i])
            least *= 2;
        for (size_t n = 1; n < 2 * MIB; n = n * 3 + 1) {
            errno = 4242;
            void *p = memalign(unknown(odd[i]), n);
            CHECK(p != NULL && errno == 4242, "%zu, %zu: %d", odd[i], n, errno);
            CHECK((uintptr_t)p % least == 0, "%zu: %p", odd[i], p);
            CHECK(malloc_usable_size(p) >= n, "%zu", n);
            free(p);
        }
    }
}

// Whether aligned_alloc is to refuse what is no power of two. glibc did not until 2.38.
static bool refuses_odd_alignments(void)
{
    const char *version = gnu_get_libc_version();
    return ours || strverscmp(version, "2.38") >= 0;
}

static void alignments_that_are_none(void)
{
    if (!refuses_odd_alignments())
        return;
    for (size_t power = 1; power != 0; power *= 2) {
        size_t wrong[] = {0, power + power / 2, power - 1, power + 1};
        for (int i = 0; i < 4; i++) {
            if ((wrong[i] & (wrong[i] - 1)) == 0 && wrong[i] != 0)
                continue;
            errno = 4242;
            void *p = aligned_alloc(unknown(wrong[i]), 64);
            CHECK(p == NULL && errno == EINVAL, "%zx: %p, %d", wrong[i], p, errno);
        }
    }
    // The size need not be a multiple.
    void *p = aligned_alloc(64, 1), *q = aligned_alloc(1, 65);
    CHECK(p != NULL && q != NULL, "%p, %p", p, q);
    free(p);
    free(q);
}

static void large_alignments(void)
{
    // Only the ends are written.
    size_t sizes[] = {1, 100, 4096, 40000, 5 * MIB, GIB};
    for (size_t align = 8; align <= GIB; align *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = sizes[i];
            for (int how = 0; how < 3; how++) {
                void *p = NULL;
                errno = 4242;
                if (how == 0)
                    p = memalign(align, n);
                else if (how == 1)
                    p = aligned_alloc(align, n);
                else
                    CHECK(posix_memalign(&p, align, n) == 0, "%zu align %zu", n, align);
                CHECK(p != NULL && errno == 4242, "%zu align %zu: %d", n, align, errno);
                CHECK((uintptr_t)p % align == 0, "%zu align %zu: %p", n, align, p);
                size_t usable = malloc_usable_size(p);
                CHECK(usable >= n, "%zu align %zu: %zu", n, align, usable);
                ((volatile char *)p)[0] = 1;
                ((volatile char *)p)[n - 1] = 1;
                ((volatile char *)p)[usable - 1] = 1;
                errno = 4242;
                free(p);
                CHECK(errno == 4242, "%zu align %zu: %d", n, align, errno);
            }
        }
    }
}

// Beyond the largest alignment, there is no memory.
static void too_large_alignments(void)
{
    for (size_t align = 2 * GIB; align != 0; align *= 2) {
        errno = 4242;
        CHECK(memalign(align, 100) == NULL && errno == ENOMEM, "%zx: %d", align, errno);
        errno = 4242;
        CHECK(aligned_alloc(align, align) == NULL && errno == ENOMEM, "%zx: %d", align, errno);
        errno = 4242;
        void *p = &p;
        int error = posix_memalign(&p, align, 100);
        CHECK(error == ENOMEM && p == &p && errno == 4242, "%zx: %d, %d", align, error, errno);
    }
    free(opaque(memalign(GIB, 100)));
}

static void whole_pages(void)
{
    for (size_t n = 0; n < 20000; n += 97) {
        char *p = valloc(n), *q = pvalloc(n);
        size_t rounded = (n + 4095) / 4096 * 4096;
        CHECK(p != NULL && (uintptr_t)p % 4096 == 0, "%zu: %p", n, (void *)p);
        CHECK(q != NULL && (uintptr_t)q % 4096 == 0, "%zu: %p", n, (void *)q);
        CHECK(malloc_usable_size(p) >= n && malloc_usable_size(q) >= rounded, "%zu", n);
        memset(q, 1, rounded);
        free(p);
        free(q);
    }
}

// Adjacent blocks of `n` bytes, with all bytes written.
static void neighbours(size_t n, int count, void *(*allocate)(size_t))
{
    static void *blocks[64];
    for (int i = 0; i < count; i++) {
        errno = 4242;
        blocks[i] = allocate(n);
        CHECK(blocks[i] != NULL && errno == 4242, "%zu: errno %d", n, errno);
        CHECK((uintptr_t)blocks[i] % 16 == 0, "%zu: %p", n, blocks[i]);
        size_t usable = malloc_usable_size(blocks[i]);
        CHECK(usable >= n, "%zu: %zu", n, usable);
        fill(blocks[i], usable, n + (size_t)i);
    }
    for (int i = 0; i < count; i++)
        CHECK(filled(blocks[i], malloc_usable_size(blocks[i]), n + (size_t)i), "%zu: %d", n, i);
    // Every second block is freed first; the others are unaffected.
    for (int odd = 1; odd >= 0; odd--) {
        for (int i = odd; i < count; i += 2) {
            CHECK(filled(blocks[i], malloc_usable_size(blocks[i]), n + (size_t)i), "%zu", n);
            errno = 4242;
            free(blocks[i]);
            CHECK(errno == 4242, "%zu: errno %d", n, errno);
        }
    }
}

static void *by_memalign(size_t n)
{
    return memalign(64, n);
}

static void *by_realloc(size_t n)
{
    return realloc(malloc(n / 2 + 1), n);
}

static void *by_calloc(size_t n)
{
    return calloc(n, 1);
}

static void all_bytes_are_usable(void)
{
    void *(*ways[])(size_t) = {malloc, by_memalign, by_realloc, by_calloc, valloc};
    for (size_t n = 0; n <= 1100; n++)
        neighbours(n, 64, ways[n % 4]);
    for (int way = 0; way < 5; way++) {
        for (size_t n = 1024; n <= 64 * KIB; n += n / 16)
            for (size_t more = 0; more <= 1; more++)
                neighbours(n + more, 12, ways[way]);
        for (size_t n = 64 * KIB; n <= 10 * MIB; n += n / 2)
            for (size_t more = 0; more <= 1; more++)
                neighbours(n + more, 3, ways[way]);
    }
    neighbours(40 * MIB, 2, malloc);
}

static void realloc_keeps_the_usable(void)
{
    // The whole usable size, not only the requested size.
    for (size_t n = 1; n <= 4 * MIB; n += 1 + n / 7) {
        for (size_t m = n / 3 + 1; m <= 3 * n; m += n / 2 + 1) {
            void *p = malloc(n);
            CHECK(p != NULL, "%zu", n);
            size_t usable = malloc_usable_size(p);
            fill(p, usable, n);
            errno = 4242;
            void *q = realloc(p, m);
            CHECK(q != NULL && errno == 4242, "%zu to %zu: %d", n, m, errno);
            // The pattern consists of words.
            size_t kept = usable < m ? usable : m / 8 * 8;
            CHECK(filled(q, kept, n), "%zu (%zu) to %zu", n, usable, m);
            CHECK(malloc_usable_size(q) >= m, "%zu to %zu", n, m);
            free(q);
        }
    }
}

static void calloc_is_zero(void)
{
    // After blocks of that size were written and freed: in every size range,
    // immediately, after a trim, and after another size.
    static char *blocks[256];
    for (size_t n = 1; n <= 48 * MIB; n += n < 200 ? 1 : n / 5) {
        int count = n < 4096 ? 256 : n < MIB ? 16 : 2;
        for (int round = 0; round < 3; round++) {
            size_t dirty = round == 1 ? n + n / 3 : n;
            for (int i = 0; i < count; i++) {
                blocks[i] = malloc(dirty);
                CHECK(blocks[i] != NULL, "%zu", dirty);
                memset(blocks[i], 0xa5, dirty);
            }
            for (int i = 0; i < count; i++)
                free(blocks[i]);
            if (round == 2)
                malloc_trim(0);
            for (int i = 0; i < count; i++) {
                errno = 4242;
                blocks[i] = i % 2 == 0 ? calloc(1, n) : calloc(n, 1);
                CHECK(blocks[i] != NULL && errno == 4242, "%zu: errno %d", n, errno);
                CHECK(is_zero(blocks[i], n), "%zu, round %d", n, round);
                memset(blocks[i], 0x5a, n);
            }
            for (int i = 0; i < count; i++)
                free(blocks[i]);
        }
    }
}

static void errno_is_kept(void)
{
    // errno is unchanged by mapping, unmapping and trimming.
    static void *blocks[2000];
    uint64_t random = 5;
    for (int round = 0; round < 40000; round++) {
        void **at = &blocks[below(&random, 2000)];
        size_t n = any_size(&random, below(&random, 100) == 0 ? 23 : 13);
        errno = 4242;
        switch (below(&random, 8)) {
        case 0: *at = realloc(*at, n); break;
        case 1: free(*at); *at = calloc(1, n); break;
        case 2: free(*at); *at = memalign(128, n); break;
        case 3: free(*at); CHECK(posix_memalign(at, 256, n) == 0, "%zu", n); break;
        case 4: *at = reallocarray(*at, n, 1); break;
        default: free(*at); *at = malloc(n); break;
        }
        CHECK(*at != NULL && errno == 4242, "%zu: errno %d", n, errno);
        memset(*at, 1, n < 4096 ? n : 4096);
        if (round % 4000 == 0) {
            malloc_trim(0);
            malloc_usable_size(*at);
            mallinfo2();
            CHECK(errno == 4242, "errno %d", errno);
        }
    }
    for (int i = 0; i < 2000; i++) {
        errno = 4242;
        free(blocks[i]);
        CHECK(errno == 4242, "errno %d", errno);
    }
}

MAIN(CASE(refused_sizes), CASE(overflowing_products), CASE(zero_bytes), CASE(null_is_fine),
     CASE(realloc_to_nothing), CASE(failed_realloc), CASE(refused_alignments),
     CASE(odd_alignments), CASE(alignments_that_are_none), CASE(large_alignments),
     CASE(too_large_alignments), CASE(whole_pages), CASE(all_bytes_are_usable),
     CASE(realloc_keeps_the_usable), CASE(calloc_is_zero), CASE(errno_is_kept))
