// The reported statistics are correct.

#include "case.h"

static struct mallinfo2 now(void)
{
    return mallinfo2();
}

// Live bytes.
static size_t live(void)
{
    struct mallinfo2 info = now();
    return info.uordblks + info.hblkhd;
}

static void *held[1 << 21];

// Whether `grown` is `bytes`, or a little more because of rounding.
static bool about(size_t grown, size_t bytes)
{
    return grown >= bytes && grown <= bytes + bytes * 15 / 100;
}

static void hold_and_release(size_t size, bool huge)
{
    size_t bytes = 100 * MIB, count = bytes / size;
    struct mallinfo2 before = now();
    for (size_t i = 0; i < count; i++) {
        held[i] = malloc(size);
        CHECK(held[i] != NULL, "%zu", size);
    }
    struct mallinfo2 full = now();
    size_t small = full.uordblks - before.uordblks, large = full.hblkhd - before.hblkhd;
    if (huge) {
        CHECK(about(large, count * size), "%zu: %zu", size, large);
        CHECK(full.hblks - before.hblks == count, "%zu: %zu", size, full.hblks - before.hblks);
        CHECK(small < MIB, "%zu: %zu", size, small);
    } else {
        CHECK(about(small, count * size), "%zu: %zu", size, small);
        CHECK(large == 0 && full.hblks == before.hblks, "%zu: %zu", size, large);
    }
    CHECK(full.arena >= full.uordblks && full.arena - full.uordblks == full.fordblks,
          "%zu: %zu, %zu, %zu", size, full.arena, full.uordblks, full.fordblks);
    // Every second block is freed, then the rest.
    for (size_t i = 0; i < count; i += 2)
        free(held[i]);
    struct mallinfo2 half = now();
    size_t left = half.uordblks + half.hblkhd - before.uordblks - before.hblkhd;
    CHECK(about(left, count / 2 * size), "%zu: %zu", size, left);
    for (size_t i = 1; i < count; i += 2)
        free(held[i]);
    struct mallinfo2 after = now();
    CHECK(after.uordblks <= before.uordblks + 64 * KIB, "%zu: %zu, then %zu", size,
          before.uordblks, after.uordblks);
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd, "%zu: %zu, then %zu", size,
          before.hblkhd, after.hblkhd);
}

static void live_bytes(void)
{
    hold_and_release(64, false);
    hold_and_release(100, false);
    hold_and_release(1000, false);
    hold_and_release(20000, false);
    hold_and_release(40000, false);
    hold_and_release(300000, false);
    hold_and_release(2 * MIB, true);
    hold_and_release(20 * MIB, true);
}

static void *hold_here(void *argument)
{
    size_t *size = argument;
    for (size_t i = 0; i < 10 * MIB / *size; i++)
        held[i] = malloc(*size);
    return NULL;
}

static void blocks_of_other_threads(void)
{
    size_t sizes[] = {80, 5000, 200000, 2 * MIB};
    for (int i = 0; i < 4; i++) {
        size_t before = live(), count = 10 * MIB / sizes[i];
        join(start(hold_here, &sizes[i]));
        size_t grown = live() - before;
        CHECK(about(grown, count * sizes[i]) || grown < count * sizes[i] + 64 * KIB, "%zu: %zu",
              sizes[i], grown);
        CHECK(grown >= count * sizes[i], "%zu: %zu", sizes[i], grown);
        for (size_t j = 0; j < count; j++)
            free(held[j]);
        CHECK(live() <= before + 64 * KIB, "%zu: %zu, then %zu", sizes[i], before, live());
    }
}

static void *allocate_for_a_while(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    void *blocks[100] = {0};
    for (int i = 0; i < 200000; i++) {
        size_t at = below(&random, 100);
        free(blocks[at]);
        blocks[at] = malloc(any_size(&random, below(&random, 100) == 0 ? 21 : 12));
    }
    for (int i = 0; i < 100; i++)
        free(blocks[i]);
    return NULL;
}

static bool stop;

static void *watch(void *argument)
{
    FILE *out = argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct mallinfo2 info = now();
        // No counter has underflowed.
        CHECK(info.uordblks < 4 * GIB && info.hblkhd < 4 * GIB && info.arena < 4 * GIB,
              "%zu, %zu, %zu", info.uordblks, info.hblkhd, info.arena);
        CHECK(malloc_info(0, out) == 0, "%d", errno);
        malloc_trim(0);
    }
    return NULL;
}

static void while_others_allocate(void)
{
    FILE *out = fopen("/dev/null", "w");
    size_t before = live();
    pthread_t watcher = start(watch, out), threads[4];
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 4; i++)
            threads[i] = start(allocate_for_a_while, (void *)i);
        for (int i = 0; i < 4; i++)
            join(threads[i]);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join(watcher);
    fclose(out);
    // And none has drifted.
    CHECK(live() <= before + 64 * KIB, "%zu, then %zu", before, live());
}

static void old_numbers_are_clamped(void)
{
    // Values of type int, for numbers that exceed it.
    void *p = malloc(5 * GIB);
    CHECK(p != NULL, "5 GiB");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo info = mallinfo();
    CHECK(info.hblkhd == INT_MAX && info.hblks >= 1, "%d, %d", info.hblkhd, info.hblks);
    free(p);
    info = mallinfo();
#pragma GCC diagnostic pop
    struct mallinfo2 wide = now();
    CHECK((size_t)info.uordblks == wide.uordblks, "%d, %zu", info.uordblks, wide.uordblks);
    CHECK((size_t)info.hblkhd == wide.hblkhd, "%d, %zu", info.hblkhd, wide.hblkhd);
    CHECK((size_t)info.hblks == wide.hblks, "%d, %zu", info.hblks, wide.hblks);
    CHECK((size_t)info.arena == wide.arena, "%d, %zu", info.arena, wide.arena);
}

// The length of a name, up to a character that is not allowed in one.
static size_t name_length(const char *at)
{
    return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:.");
}

// Whether this is one well-formed XML element: names, attributes with quoted
// values, all elements closed.
static bool well_formed(const char *text)
{
    const char *open[64];
    int depth = 0, roots = 0;
    const char *at = text;
    while (*at != 0) {
        if (*at != '<') {
            if (depth == 0 && strchr(" \n\t", *at) == NULL)
                return false;
            if (*at == '>' || *at == '&')
                return false;
            at++;
            continue;
        }
        at++;
        bool closing = *at == '/';
        at += closing;
        size_t length = name_length(at);
        if (length == 0)
            return false;
        const char *name = at;
        at += length;
        if (closing) {
            if (depth == 0 || name_length(open[depth - 1]) != length ||
                memcmp(open[depth - 1], name, length) != 0 || *at != '>')
                return false;
            depth--;
            at++;
            continue;
        }
        for (;;) {
            size_t spaces = strspn(at, " \n\t");
            at += spaces;
            if (*at == '>' || *at == '/')
                break;
            size_t attribute = name_length(at);
            at += attribute;
            if (spaces == 0 || attribute == 0 || at[0] != '=' || at[1] != '"')
                return false;
            at += 2;
            at += strcspn(at, "\"<&");
            if (*at != '"')
                return false;
            at++;
        }
        roots += depth == 0;
        if (*at == '/') {
            at++;
        } else {
            if (depth == 64)
                return false;
            open[depth++] = name;
        }
        if (*at != '>')
            return false;
        at++;
    }
    return depth == 0 && roots == 1;
}

// The number in the last element that begins with `element`.
static size_t last_number(const char *text, const char *element, const char *attribute)
{
    const char *found = NULL, *at = text;
    while ((at = strstr(at, element)) != NULL)
        found = at++;
    CHECK(found != NULL, "%s in %s", element, text);
    const char *value = strstr(found, attribute);
    CHECK(value != NULL && value < strchr(found, '>'), "%s in %s", attribute, found);
    return strtoul(value + strlen(attribute), NULL, 10);
}

static void info_is_xml(void)
{
    CHECK(!well_formed("<a><b></a></b>") && !well_formed("<a x=1/>") && !well_formed("<a/><b/>") &&
              !well_formed("<a>&</a>") && well_formed("<a x=\"1\"><b/>text</a>\n"),
          "the XML checker");
    for (int i = 0; i < 1000; i++)
        held[i] = malloc((size_t)i * 100);
    held[1000] = malloc(30 * MIB);
    static char text[1 << 20], again[1 << 20];
    FILE *out = fmemopen(text, sizeof text, "w");
    FILE *other = fmemopen(again, sizeof again, "w");
    CHECK(out != NULL && other != NULL, "%d", errno);
    // A stream may allocate on the first write.
    CHECK(malloc_info(0, other) == 0 && fflush(other) == 0, "%d", errno);
    errno = 4242;
    CHECK(malloc_info(0, out) == 0, "%d", errno);
    CHECK(fflush(out) == 0, "%d", errno);
    struct mallinfo2 info = now();
    CHECK(well_formed(text), "%s", text);
    // Elements and attributes are glibc's, in both.
    CHECK(strncmp(text, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", 43) == 0, "%s", text);
    const char *elements[] = {"<total type=\"fast\" count=", "<total type=\"rest\" count=",
                              "<total type=\"mmap\" count=", "<system type=\"current\" size=",
                              "<system type=\"max\" size=", "<aspace type=\"total\" size=",
                              "<aspace type=\"mprotect\" size="};
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        CHECK(strstr(text, elements[i]) != NULL, "%s in %s", elements[i], text);
    if (strstr(text, "<size from") != NULL) {
        size_t to = last_number(text, "<size from", " to=\"");
        size_t total = last_number(text, "<size from", "total=\"");
        size_t blocks = last_number(text, "<size from", "count=\"");
        CHECK(last_number(text, "<size from", "from=\"") <= to && total <= to * blocks, "%s", text);
    }
    size_t mapped = last_number(text, "<system type=\"current\"", "size=\"");
    size_t count = last_number(text, "<total type=\"mmap\"", "count=\"");
    size_t huge = last_number(text, "<total type=\"mmap\"", "size=\"");
    CHECK(mapped == info.arena, "%zu, %zu", mapped, info.arena);
    CHECK(count == info.hblks && huge == info.hblkhd, "%zu, %zu; %zu, %zu", count, info.hblks, huge,
          info.hblkhd);
    CHECK(huge >= 30 * MIB, "%zu", huge);
    fclose(out);
    fclose(other);
    for (int i = 0; i <= 1000; i++)
        free(held[i]);
}

static void info_refuses(void)
{
    // The error is returned; errno is unchanged, and nothing is written.
    char text[100] = {0};
    FILE *out = fmemopen(text, sizeof text, "w");
    int wrong[] = {1, -1, 2, 4096};
    for (int i = 0; i < 4; i++) {
        errno = 4242;
        CHECK(malloc_info(wrong[i], out) == EINVAL && errno == 4242, "%d", wrong[i]);
    }
    fclose(out);
    CHECK(text[0] == 0, "%s", text);
}

// The output of `act` on standard error.
static size_t stderr_of(void (*act)(void), char *text, size_t size)
{
    int old = dup(2), file = memfd_create("stderr", 0);
    CHECK(old >= 0 && file >= 0 && dup2(file, 2) == 2, "%d", errno);
    act();
    dup2(old, 2);
    close(old);
    ssize_t count = pread(file, text, size - 1, 0);
    CHECK(count >= 0, "%d", errno);
    text[count] = 0;
    close(file);
    return (size_t)count;
}

static void statistics(void)
{
    void *p = malloc(12345678), *q = malloc(1000);
    static char text[1 << 16];
    size_t count = stderr_of(malloc_stats, text, sizeof text);
    char number[32];
    snprintf(number, sizeof number, "%zu", live());
    CHECK(count > 0 && strstr(text, number) != NULL, "%s in\n%s", number, text);
    free(p);
    free(q);
}

static void trimming(void)
{
    // 200 MiB in small, medium and huge blocks, all written.
    size_t sizes[] = {500, 3000, 20000, 100000, 500000, 3 * MIB};
    for (int i = 0; i < 6; i++) {
        size_t count = 200 * MIB / sizes[i];
        for (size_t j = 0; j < count; j++) {
            held[j] = malloc(sizes[i]);
            memset(held[j], 1, sizes[i]);
        }
        size_t full = resident();
        for (size_t j = 0; j < count; j++)
            free(held[j]);
        malloc_trim(0);
        size_t end = resident();
        CHECK(end + 180 * MIB < full, "%zu: %zu resident, then %zu", sizes[i], full, end);
    }
}

static void trimming_tells(void)
{
    // 1 if memory was returned to the system; 0 if there was nothing more to
    // return. The amount is below what the allocator retains, so that only
    // malloc_trim returns memory.
    errno = 4242;
    malloc_trim(0);
    for (int round = 0; round < 5; round++) {
        CHECK(malloc_trim(0) == 0, "%d: there was nothing to trim", round);
        for (size_t i = 0; i < 10; i++) {
            held[i] = malloc(300000);
            memset(held[i], 1, 300000);
        }
        size_t full = resident();
        for (size_t i = 0; i < 10; i++)
            free(held[i]);
        CHECK(malloc_trim(0) == 1, "%d", round);
        size_t end = resident();
        CHECK(end + 2 * MIB < full, "%d: %zu resident, then %zu", round, full, end);
    }
    CHECK(errno == 4242, "%d", errno);
}

static void parameters(void)
{
    struct {
        int parameter, value, answer;
    } known[] = {
        {M_MXFAST, 64, 1},         {M_MXFAST, 0, 1},        {M_MXFAST, 100000, 0},
        {M_MXFAST, -1, 0},         {M_TRIM_THRESHOLD, -1, 1}, {M_TRIM_THRESHOLD, 1 << 20, 1},
        {M_TOP_PAD, 1 << 16, 1},   {M_MMAP_THRESHOLD, 1 << 20, 1},
        {M_MMAP_THRESHOLD, 1 << 30, 1}, {M_MMAP_MAX, 0, 1}, {M_MMAP_MAX, 65536, 1},
        {M_CHECK_ACTION, 3, 1},    {M_ARENA_TEST, 2, 1},    {M_ARENA_MAX, 1, 1},
        {M_ARENA_MAX, 4, 1},       {M_PERTURB, 0xa5, 1},    {12345, 1, 1},
        {-100, 1, 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        errno = 4242;
        int answer = mallopt(known[i].parameter, known[i].value);
        CHECK(answer == known[i].answer && errno == 4242, "%d, %d: %d", known[i].parameter,
              known[i].value, answer);
    }
    // The allocator still works.
    for (size_t n = 1; n < 4 * MIB; n *= 3) {
        void *p = malloc(n);
        CHECK(p != NULL, "%zu", n);
        memset(p, 1, n);
        free(p);
    }
}

static void sizes_foretold(void)
{
    size_t (*good_size)(size_t) = function("malloc_good_size");
    size_t (*nallocx)(size_t, int) = function("nallocx");
    for (size_t n = 0; n <= 64 * MIB; n += n < 40000 ? 1 : n / 50) {
        void *p = malloc(n);
        CHECK(p != NULL, "%zu", n);
        size_t usable = malloc_usable_size(p);
        CHECK(good_size(n) == usable && nallocx(n, 0) == usable, "%zu: %zu, %zu, %zu", n, usable,
              good_size(n), nallocx(n, 0));
        // The predicted size of a predicted size is itself.
        CHECK(good_size(usable) == usable, "%zu: %zu, %zu", n, usable, good_size(usable));
        free(p);
    }
    for (int log = 0; log <= 26; log++) {
        for (size_t n = 1; n <= 8 * MIB; n += 1 + n / 3) {
            void *p = memalign((size_t)1 << log, n);
            CHECK(p != NULL, "%zu", n);
            size_t usable = malloc_usable_size(p);
            CHECK(nallocx(n, log) == usable, "%zu align 2^%d: %zu, %zu", n, log, usable,
                  nallocx(n, log));
            free(p);
        }
    }
    size_t impossible[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4095, SIZE_MAX};
    for (int i = 0; i < 3; i++)
        CHECK(nallocx(impossible[i], 0) == 0, "%zx", impossible[i]);
}

MAIN(CASE(live_bytes), CASE(blocks_of_other_threads), CASE(while_others_allocate),
     CASE(old_numbers_are_clamped), CASE(info_is_xml), CASE(info_refuses), CASE(statistics), CASE(trimming),
     CASE(trimming_tells), CASE(parameters), CASE(sizes_foretold))
