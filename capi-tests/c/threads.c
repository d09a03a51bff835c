// Threads: what a thread does first, how it ends, how many come and go.

#include "case.h"

// What a thread may do first. Each returns whether it went well; `p` is a
// block of another thread's, of `n` bytes, and to be freed here.
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

// The library's own.

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
    {"realloc to nothing", by_realloc_to_nothing},
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

// A short life: blocks of many sizes, the last one handed on.
static void *live(void *argument)
{
    void *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = malloc(1 + i * i * 50);
        CHECK(blocks[i] != NULL, "%zu", i);
        memset(blocks[i], 1, 1 + i * i * 50);
    }
    for (size_t i = 0; i < 19; i++)
        free(blocks[i]);
    free(argument);
    return blocks[19];
}

static void come_and_go(void)
{
    enum { THREADS = 20000, SETTLED = 2000 };
    size_t settled = 0;
    for (int i = 0; i < THREADS; i += 4) {
        pthread_t threads[4];
        for (int j = 0; j < 4; j++)
            threads[j] = start(live, malloc(500));
        for (int j = 0; j < 4; j++)
            free(join(threads[j]));
        if (i == SETTLED)
            settled = resident();
    }
    size_t end = resident();
    CHECK(end < settled + 4 * MIB, "%zu, then %zu resident", settled, end);
}

static int detached;

static void *live_detached(void *argument)
{
    free(live(argument));
    __atomic_add_fetch(&detached, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void detached_threads(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 4000; i++) {
        pthread_t thread;
        int error = pthread_create(&thread, &attributes, live_detached, malloc(100));
        CHECK(error == 0, "%d: %s", i, strerror(error));
        while (__atomic_load_n(&detached, __ATOMIC_ACQUIRE) < i - 8)
            sched_yield();
    }
    while (__atomic_load_n(&detached, __ATOMIC_ACQUIRE) < 4000)
        sched_yield();
}

// Keys whose destructors allocate, free, and set the key again: in all the
// rounds that there are.
enum { KEYS = 8 };
static pthread_key_t keys[KEYS];
static int rounds_seen;

static void again(void *value)
{
    size_t *round = value;
    size_t *next = malloc(100 + *round * 5000);
    CHECK(next != NULL, "%zu", *round);
    *next = *round + 1;
    void *big = calloc(1, 300 * KIB);
    CHECK(big != NULL && is_zero(big, 300 * KIB), "%zu", *round);
    free(big);
    pthread_key_t key = keys[((uintptr_t)round[1])];
    next[1] = round[1];
    free(round);
    __atomic_add_fetch(&rounds_seen, 1, __ATOMIC_RELAXED);
    // The last round's value would be lost; here, not by the allocator.
    if (*next < PTHREAD_DESTRUCTOR_ITERATIONS)
        pthread_setspecific(key, next);
    else
        free(next);
}

static void *set_keys(void *argument)
{
    for (size_t i = 0; i < KEYS; i++) {
        size_t *value = malloc(2 * sizeof(size_t));
        value[0] = 0;
        value[1] = i;
        pthread_setspecific(keys[i], value);
    }
    return argument;
}

static void key_destructors(void)
{
    for (int i = 0; i < KEYS; i++)
        CHECK(pthread_key_create(&keys[i], again) == 0, "%d", i);
    enum { THREADS = 3000 };
    size_t settled = 0;
    for (int i = 0; i < THREADS; i++) {
        join(start(set_keys, NULL));
        if (i == 500)
            settled = resident();
    }
    CHECK(rounds_seen == THREADS * KEYS * PTHREAD_DESTRUCTOR_ITERATIONS, "%d", rounds_seen);
    size_t end = resident();
    CHECK(end < settled + 2 * MIB, "%zu, then %zu resident", settled, end);
}

// Cancellation: threads that allocate, free, and may be cancelled in between.
struct held {
    void *blocks[32];
};

static void free_held(void *argument)
{
    struct held *held = argument;
    for (int i = 0; i < 32; i++)
        free(held->blocks[i]);
    free(held);
}

static void until_cancelled(struct held *held, uint64_t random)
{
    for (;;) {
        size_t i = below(&random, 32);
        pthread_testcancel();
        free(held->blocks[i]);
        held->blocks[i] = malloc(any_size(&random, 16));
        CHECK(held->blocks[i] != NULL, "%zu", i);
        ((char *)held->blocks[i])[0] = 1;
    }
}

static void *cancelled(void *argument)
{
    struct held *held = calloc(1, sizeof(struct held));
    pthread_cleanup_push(free_held, held);
    until_cancelled(held, (uintptr_t)argument + 1);
    pthread_cleanup_pop(1);
    return NULL;
}

static void cancelled_threads(void)
{
    for (int i = 0; i < 300; i++) {
        pthread_t threads[4];
        for (int j = 0; j < 4; j++)
            threads[j] = start(cancelled, (void *)(uintptr_t)(i * 4 + j));
        for (int j = 0; j < 4; j++) {
            pthread_cancel(threads[j]);
            CHECK(join(threads[j]) == PTHREAD_CANCELED, "%d", i);
        }
    }
}

// The allocator is no place to be cancelled in.
static void *asked_to_end(void *argument)
{
    volatile int *passed = argument;
    pthread_cancel(pthread_self());
    size_t sizes[] = {1, 100, 5000, 40 * KIB, 500 * KIB, MIB, 3 * MIB, 20 * MIB};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) {
            char *p = malloc(sizes[i]);
            CHECK(p != NULL, "%zu", sizes[i]);
            p[0] = 1;
            p = realloc(p, sizes[i] * 2);
            CHECK(p != NULL, "%zu", sizes[i]);
            free(p);
            free(calloc(1, sizes[i]));
            free(memalign(4096, sizes[i]));
        }
        malloc_trim(0);
        mallinfo2();
    }
    *passed = 1;
    pthread_testcancel();
    *passed = 2;
    return NULL;
}

static void never_cancelled_inside(void)
{
    for (int i = 0; i < 60; i++) {
        int passed = 0;
        CHECK(join(start(asked_to_end, &passed)) == PTHREAD_CANCELED, "%d: %d", i, passed);
        CHECK(passed == 1, "%d: %d", i, passed);
    }
}

// Signals: they interrupt, and do nothing of ours.
static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = interrupted + 1;
}

static void *work(void *argument)
{
    uint64_t random = (uintptr_t)argument * 77 + 1;
    char *blocks[200] = {0};
    size_t sizes[200] = {0};
    for (int i = 0; i < 300000; i++) {
        size_t at = below(&random, 200);
        CHECK(filled(blocks[at], sizes[at], at), "%zu bytes", sizes[at]);
        free(blocks[at]);
        sizes[at] = any_size(&random, below(&random, 200) == 0 ? 20 : 9);
        blocks[at] = malloc(sizes[at]);
        CHECK(blocks[at] != NULL, "%zu", sizes[at]);
        fill(blocks[at], sizes[at], at);
    }
    for (int i = 0; i < 200; i++)
        free(blocks[i]);
    return NULL;
}

static void interrupted_threads(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval every = {{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &every, NULL);
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        threads[i] = start(work, (void *)i);
    for (int i = 0; i < 3; i++)
        join(threads[i]);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(interrupted > 10, "%d", (int)interrupted);
}

// Blocks handed from thread to thread, by every way there is to make and grow
// one; each is as it was left.
enum { PLACES = 4096 };
static struct place {
    pthread_mutex_t lock;
    char *p;
    size_t n;
} places[PLACES];

static void *hand_over(void *argument)
{
    uint64_t random = (uintptr_t)argument * 99 + 7;
    for (int i = 0; i < 250000; i++) {
        size_t at = below(&random, PLACES);
        struct place *place = &places[at];
        pthread_mutex_lock(&place->lock);
        CHECK(filled(place->p, place->n, at), "%zu bytes", place->n);
        size_t n = any_size(&random, below(&random, 300) == 0 ? 21 : 10);
        char *p = place->p;
        switch (below(&random, 8)) {
        case 0:
            p = realloc(p, n);
            CHECK(filled(p, (place->n < n ? place->n : n) / 8 * 8, at), "%zu", n);
            break;
        case 1: free(p); p = calloc(1, n); CHECK(is_zero(p, n), "%zu", n); break;
        case 2: free(p); p = memalign((size_t)32 << below(&random, 8), n); break;
        case 3: free(p); p = NULL; n = 0; break;
        default: free(p); p = malloc(n); break;
        }
        CHECK(p != NULL || n == 0, "%zu", n);
        fill(p, n, at);
        place->p = p;
        place->n = n;
        pthread_mutex_unlock(&place->lock);
    }
    return NULL;
}

static void blocks_that_travel(void)
{
    for (int i = 0; i < PLACES; i++)
        pthread_mutex_init(&places[i].lock, NULL);
    for (int round = 0; round < 3; round++) {
        pthread_t threads[6];
        for (uintptr_t i = 0; i < 6; i++)
            threads[i] = start(hand_over, (void *)i);
        for (int i = 0; i < 6; i++)
            join(threads[i]);
    }
    for (size_t i = 0; i < PLACES; i++) {
        CHECK(filled(places[i].p, places[i].n, i), "%zu", i);
        free(places[i].p);
    }
}

// The main thread ends first; the last one ends the process, and its handlers
// allocate.
static void at_the_end(void)
{
    void *p = malloc(5000), *q = calloc(1, 2 * MIB);
    CHECK(p != NULL && q != NULL && is_zero(q, 2 * MIB), "at exit");
    free(p);
    free(q);
}

static void *outlive(void *argument)
{
    usleep(50000);
    free(argument);
    free(live(malloc(10)));
    puts("ok");
    return NULL;
}

static void main_ends_first(void)
{
    atexit(at_the_end);
    for (int i = 0; i < 3; i++)
        free(join(start(live, malloc(10))));
    start(outlive, malloc(100000));
    pthread_exit(NULL);
}

static void handlers_at_exit(void)
{
    for (int i = 0; i < 40; i++)
        atexit(at_the_end);
}

MAIN(CASE(first_calls), CASE(own_first_calls), CASE(come_and_go), CASE(detached_threads),
     CASE(key_destructors), CASE(cancelled_threads), CASE(never_cancelled_inside),
     CASE(interrupted_threads), CASE(blocks_that_travel), CASE(main_ends_first),
     CASE(handlers_at_exit))
