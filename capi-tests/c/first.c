// Any function may be the first that a thread calls.

#include "case.h"

// First calls of a thread. Each returns whether it succeeded; `p` is a block of
// `n` bytes that belongs to another thread and has to be freed here.
struct first {
    const char *name;
    bool (*act)(void *p, size_t n);
};

static bool drop(void *fresh, void *p)
{
    bool well = fresh != NULL && malloc_usable_size(fresh) >= 1000;
    if (well)
        memset(fresh, 1, 1000);
    free(fresh);
    free(p);
    return well;
}

static bool by_malloc(void *p, size_t n) { (void)n; return drop(malloc(1000), p); }
static bool by_calloc(void *p, size_t n) { (void)n; return drop(calloc(10, 100), p); }
static bool by_realloc(void *p, size_t n) { (void)n; return drop(realloc(NULL, 1000), p); }
static bool by_array(void *p, size_t n) { (void)n; return drop(reallocarray(NULL, 10, 100), p); }
static bool by_memalign(void *p, size_t n) { (void)n; return drop(memalign(512, 1000), p); }
static bool by_aligned(void *p, size_t n) { (void)n; return drop(aligned_alloc(32, 1000), p); }
static bool by_valloc(void *p, size_t n) { (void)n; return drop(valloc(1000), p); }
static bool by_pvalloc(void *p, size_t n) { (void)n; return drop(pvalloc(1000), p); }
static bool by_huge(void *p, size_t n) { (void)n; return drop(malloc(3 * MIB), p); }
static bool by_medium(void *p, size_t n) { (void)n; return drop(malloc(200 * KIB), p); }

static bool by_posix(void *p, size_t n)
{
    (void)n;
    void *fresh = NULL;
    return posix_memalign(&fresh, 64, 1000) == 0 && drop(fresh, p);
}

static bool by_free(void *p, size_t n)
{
    (void)n;
    free(p);
    return true;
}

static bool by_free_of_null(void *p, size_t n)
{
    (void)n;
    free(NULL);
    return drop(malloc(1000), p);
}

static bool by_usable_size(void *p, size_t n)
{
    bool well = malloc_usable_size(p) >= n && filled(p, n, n);
    free(p);
    return well;
}

static bool by_growth(void *p, size_t n)
{
    void *q = realloc(p, 2 * n + 100);
    bool well = q != NULL && filled(q, n / 8 * 8, n);
    free(q);
    return well;
}

static bool by_shrinking(void *p, size_t n)
{
    void *q = realloc(p, n / 2 + 1);
    bool well = q != NULL && filled(q, n / 16 * 8, n);
    free(q);
    return well;
}

static bool by_realloc_to_nothing(void *p, size_t n)
{
    (void)n;
    return realloc(p, unknown(0)) == NULL;
}

static bool by_trim(void *p, size_t n) { (void)n; malloc_trim(0); return drop(malloc(1000), p); }
static bool by_mallinfo(void *p, size_t n) { (void)n; mallinfo2(); return drop(malloc(1000), p); }

static bool by_mallopt(void *p, size_t n)
{
    (void)n;
    return mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1 && drop(malloc(1000), p);
}

static bool by_refusal(void *p, size_t n)
{
    (void)n;
    bool refused = malloc(unknown(SIZE_MAX)) == NULL && errno == ENOMEM;
    errno = 4242;
    return refused && drop(malloc(1000), p);
}

static bool by_info(void *p, size_t n)
{
    (void)n;
    FILE *out = fopen("/dev/null", "w");
    bool well = out != NULL && malloc_info(0, out) == 0;
    fclose(out);
    errno = 4242;
    return well && drop(malloc(1000), p);
}

// Functions that only the library has.

static bool by_good_size(void *p, size_t n)
{
    size_t (*good_size)(size_t) = function("malloc_good_size");
    return good_size(n) >= n && drop(malloc(1000), p);
}

static bool by_sized_free(void *p, size_t n)
{
    void (*free_sized)(void *, size_t) = function("free_sized");
    free_sized(p, n);
    return true;
}

static bool by_sdallocx(void *p, size_t n)
{
    void (*sdallocx)(void *, size_t, int) = function("sdallocx");
    sdallocx(p, n, 0);
    return true;
}

static bool by_new(void *p, size_t n)
{
    (void)n;
    void *(*new)(size_t) = function("_Znwm");
    void (*delete)(void *) = function("_ZdlPv");
    void *fresh = new (1000);
    delete (p);
    return drop(fresh, NULL);
}

static const struct first firsts[] = {
    {"malloc", by_malloc},
    {"calloc", by_calloc},
    {"realloc", by_realloc},
    {"reallocarray", by_array},
    {"memalign", by_memalign},
    {"aligned_alloc", by_aligned},
    {"valloc", by_valloc},
    {"pvalloc", by_pvalloc},
    {"posix_memalign", by_posix},
    {"malloc, huge", by_huge},
    {"malloc, medium", by_medium},
    {"free", by_free},
    {"free(NULL)", by_free_of_null},
    {"malloc_usable_size", by_usable_size},
    {"realloc, larger", by_growth},
    {"realloc, smaller", by_shrinking},
    {"realloc to 0 bytes", by_realloc_to_nothing},
    {"malloc_trim", by_trim},
    {"mallinfo2", by_mallinfo},
    {"mallopt", by_mallopt},
    {"refused malloc", by_refusal},
    {"malloc_info", by_info},
};

static const struct first own_firsts[] = {
    {"malloc_good_size", by_good_size},
    {"free_sized", by_sized_free},
    {"sdallocx", by_sdallocx},
    {"operator new", by_new},
};

struct task {
    const struct first *first;
    void *p;
    size_t n;
};

static void *do_first(void *argument)
{
    struct task *task = argument;
    errno = 4242;
    bool well = task->first->act(task->p, task->n);
    CHECK(well && errno == 4242, "%s, with a block of %zu bytes: errno %d", task->first->name,
          task->n, errno);
    return NULL;
}

static void each_first(const struct first *list, size_t count)
{
    size_t sizes[] = {1, 16, 1000, 30 * KIB, 100 * KIB, MIB, 3 * MIB};
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < 7; j++) {
            struct task task = {&list[i], malloc(sizes[j]), sizes[j]};
            CHECK(task.p != NULL, "%zu", sizes[j]);
            fill(task.p, sizes[j], sizes[j]);
            join(start(do_first, &task));
        }
    }
}

static void first_calls(void)
{
    each_first(firsts, sizeof firsts / sizeof firsts[0]);
}

static void own_first_calls(void)
{
    each_first(own_firsts, sizeof own_firsts / sizeof own_firsts[0]);
}

MAIN(CASE(first_calls), CASE(own_first_calls))
