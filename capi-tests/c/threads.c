// Threads: exit, large numbers of them, interruptions.

#include "case.h"
#include <sys/syscall.h>

// A short-lived thread: blocks of many sizes, the last one is returned.
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

// Many threads at a time; each waits until the gate opens.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *live_long(void *argument)
{
    free(live(argument));
    void *kept = malloc(2000);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return kept;
}

static void many_at_a_time(void)
{
    enum { THREADS = 1500 };
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * KIB);
    for (int round = 0; round < 3; round++) {
        size_t before = resident();
        pthread_mutex_lock(&gate);
        for (int i = 0; i < THREADS; i++) {
            int error = pthread_create(&threads[i], &attributes, live_long, malloc(100));
            CHECK(error == 0, "%d: %s", i, strerror(error));
        }
        size_t full = resident();
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < THREADS; i++)
            free(join(threads[i]));
        CHECK(full < before + THREADS * 128 * KIB, "%zu, then %zu resident", before, full);
    }
}

// The process exits while its threads allocate.
static void *without_end(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    for (void *p = NULL;; free(p)) {
        p = malloc(any_size(&random, 18));
        CHECK(p != NULL, "%p", argument);
        p = realloc(p, any_size(&random, 22));
        CHECK(p != NULL, "%p", argument);
    }
    return NULL;
}

static void *come_and_go_on(void *argument)
{
    for (;;)
        free(join(start(live, malloc(10))));
    return argument;
}

static void exit_amid_threads(void)
{
    for (int i = 0; i < 150; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "%d", errno);
        if (pid == 0) {
            alarm(30);
            for (uintptr_t j = 0; j < 3; j++)
                start(without_end, (void *)j);
            start(come_and_go_on, NULL);
            usleep((useconds_t)(i * 40));
            exit(0);
        }
        wait_for(pid, "child");
    }
}

// Keys whose destructors allocate, free, and set the key again, in all rounds
// of destructors.
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
    // The last round's value would be leaked, by the test and not by the
    // allocator.
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

// Threads whose first call of all comes in a late round of their destructors, and threads
// that end by a raw exit: no hook runs when they end.
static pthread_key_t late_key;
static volatile size_t late_calls;

static void call_late(void *value)
{
    // The value says how many rounds to wait.
    if (value != (void *)1) {
        pthread_setspecific(late_key, (char *)value - 1);
        return;
    }
    for (size_t size = 8; size < 3000; size *= 2)
        free(malloc(size));
    __atomic_add_fetch(&late_calls, 1, __ATOMIC_RELAXED);
}

static void *wait_for_round(void *argument)
{
    pthread_setspecific(late_key, argument);
    return NULL;
}

static void *leave_raw(void *argument)
{
    free(malloc(100));
    syscall(SYS_exit, 0);
    return argument;
}

// Threads that end with their hook take free records, which the others then lose.
static void lose_records(size_t threads)
{
    for (size_t i = 0; i < threads; i += 4) {
        pthread_t some[4];
        for (size_t j = 0; j < 4; j++)
            some[j] = start(wait_for_round, (void *)(i / 4 % PTHREAD_DESTRUCTOR_ITERATIONS + 1));
        for (size_t j = 0; j < 4; j++)
            join(some[j]);
        if (i % 16 == 0) {
            join(start(leave_raw, NULL));
            free(join(start(live, malloc(10))));
        }
    }
}

static void lost_hooks(void)
{
    CHECK(pthread_key_create(&late_key, call_late) == 0, "no key");
    free(malloc(1));
    lose_records(400);
    malloc_trim(0);
    size_t settled = resident(), in_use = mallinfo2().uordblks;
    lose_records(4000);
    CHECK(late_calls == 4400, "%zu", late_calls);
    malloc_trim(0);
    size_t end = resident(), used = mallinfo2().uordblks;
    CHECK(end < settled + 256 * KIB, "%zu, then %zu resident", settled, end);
    CHECK(used == in_use, "%zu, then %zu in use", in_use, used);
}

// The same in the child of a fork, whose stacks had other threads before.
static void lost_hooks_after_a_fork(void)
{
    lost_hooks();
    pid_t pid = fork();
    CHECK(pid >= 0, "%d", errno);
    if (pid == 0) {
        late_calls = 0;
        lost_hooks();
        exit(0);
    }
    wait_for(pid, "child");
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

// No function of the allocator is a cancellation point.
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

// Signals: they interrupt; the handler does not allocate.
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

// Blocks passed from thread to thread, allocated and grown by every function;
// the contents are unchanged.
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

// The main thread exits first; the last thread ends the process, and its exit
// handlers allocate.
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

MAIN(CASE(come_and_go), CASE(detached_threads), CASE(many_at_a_time), CASE(exit_amid_threads),
     CASE(key_destructors), CASE(cancelled_threads), CASE(never_cancelled_inside),
     CASE(interrupted_threads), CASE(blocks_that_travel), CASE(main_ends_first),
     CASE(handlers_at_exit), CASE(lost_hooks), CASE(lost_hooks_after_a_fork))
