// Bugs that other allocators had, where no other program here would have found them:
// docs/others-bugs.md.

#include "case.h"

#include <sched.h>

static size_t live(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

// One thread makes large blocks only, and another frees them: what is freed serves the next
// ones.
static char *_Atomic handed;

static void *frees_what_is_handed(void *count)
{
    for (intptr_t i = 0; i < (intptr_t)count; i++) {
        char *p;
        while ((p = __atomic_exchange_n(&handed, NULL, __ATOMIC_ACQ_REL)) == NULL)
            sched_yield();
        free(p);
    }
    return NULL;
}

static void large_blocks_that_travel(void)
{
    size_t sizes[] = {40 * KIB, 300 * KIB, MIB, 3 * MIB};
    for (int s = 0; s < 4; s++) {
        intptr_t count = ours ? 4000 : 200;
        pthread_t thread = start(frees_what_is_handed, (void *)count);
        size_t before = resident(), peak = 0;
        for (intptr_t i = 0; i < count; i++) {
            char *p = malloc(sizes[s]);
            CHECK(p != NULL, "%zu", sizes[s]);
            for (size_t at = 0; at < sizes[s]; at += 4096)
                p[at] = 1;
            while (__atomic_load_n(&handed, __ATOMIC_ACQUIRE) != NULL)
                sched_yield();
            __atomic_store_n(&handed, p, __ATOMIC_RELEASE);
            if (i % 100 == 0 && resident() > peak)
                peak = resident();
        }
        join(thread);
        CHECK(peak < before + 16 * sizes[s] + 24 * MIB, "%zu: %zu, then %zu resident", sizes[s],
              before, peak);
    }
}

// In the last round of destructors, a thread that has done nothing else frees blocks of another.
enum { LATE = 20 };
static pthread_key_t late_key;

struct late {
    int round;
    char *blocks[LATE];
};

static void free_late(void *value)
{
    struct late *late = value;
    if (++late->round < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(late_key, late);
        return;
    }
    for (int i = 0; i < LATE; i++)
        free(late->blocks[i]);
    free(late);
}

static void *ends_at_once(void *argument)
{
    pthread_setspecific(late_key, argument);
    return NULL;
}

static void late_frees_of_others(void)
{
    enum { THREADS = 3000, SETTLED = 300 };
    CHECK(pthread_key_create(&late_key, free_late) == 0, "%d", errno);
    size_t live_before = 0, before = 0;
    for (int i = 0; i < THREADS; i++) {
        if (i == SETTLED) {
            live_before = live();
            before = resident();
        }
        struct late *late = calloc(1, sizeof *late);
        for (size_t j = 0; j < LATE; j++)
            late->blocks[j] = malloc(16 + j * j * 40);
        join(start(ends_at_once, late));
    }
    CHECK(live() <= live_before + THREADS, "%zu, then %zu live", live_before, live());
    CHECK(resident() < before + 2 * MIB, "%zu, then %zu resident", before, resident());
}

// Each of many threads leaves one block, and all others of its spans are free. The blocks are
// freed at the end, in no order.
static void *leaves_one(void *argument)
{
    (void)argument;
    char *blocks[64];
    for (int i = 0; i < 64; i++) {
        blocks[i] = malloc(1000);
        blocks[i][0] = 1;
    }
    for (int i = 0; i < 64; i++)
        if (i != 30)
            free(blocks[i]);
    return blocks[30];
}

static void blocks_of_ended_threads(void)
{
    enum { THREADS = 10000 };
    static char *left[THREADS];
    free(join(start(leaves_one, NULL)));
    size_t live_before = live(), before = resident();
    for (int i = 0; i < THREADS; i++)
        left[i] = join(start(leaves_one, NULL));
    size_t full = resident();
    // Threads that come later use what earlier ones left free.
    CHECK(full < before + THREADS * 2 * KIB, "%zu, then %zu resident", before, full);
    uint64_t random = 9;
    for (size_t i = THREADS; i > 1; i--) {
        size_t other = below(&random, i);
        char *block = left[i - 1];
        left[i - 1] = left[other];
        left[other] = block;
    }
    for (int i = 0; i < THREADS; i++)
        free(left[i]);
    malloc_trim(0);
    CHECK(live() <= live_before + THREADS, "%zu, then %zu live", live_before, live());
    CHECK(resident() < before + 4 * MIB, "%zu, then %zu resident", before, resident());
}

// Several threads purge at once, while others use what was purged.
static bool stop;

static void *trims(void *argument)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        malloc_trim(0);
    return argument;
}

static void *uses(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    char *blocks[64] = {0};
    size_t sizes[64] = {0};
    for (int i = 0; i < 12000; i++) {
        size_t at = below(&random, 64);
        CHECK(filled(blocks[at], sizes[at], at), "%zu bytes", sizes[at]);
        free(blocks[at]);
        sizes[at] = any_size(&random, below(&random, 40) == 0 ? 20 : 15);
        bool zero = below(&random, 2) == 0;
        blocks[at] = zero ? calloc(1, sizes[at]) : malloc(sizes[at]);
        CHECK(blocks[at] != NULL && (!zero || is_zero(blocks[at], sizes[at])), "%zu", sizes[at]);
        fill(blocks[at], sizes[at], at);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

static void purges_at_once(void)
{
    pthread_t purging[3], using[3];
    for (int i = 0; i < 3; i++)
        purging[i] = start(trims, NULL);
    for (uintptr_t i = 0; i < 3; i++)
        using[i] = start(uses, (void *)i);
    for (int i = 0; i < 3; i++)
        join(using[i]);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        join(purging[i]);
}

// Forks, while other threads read lines, which allocates under the lock of a stream, and all
// streams are flushed, which takes the lock of their list.
static volatile long forked, read_lines;

static void *forks(void *argument)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(17);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 17, "%d", errno);
        __atomic_add_fetch(&forked, 1, __ATOMIC_RELAXED);
    }
    return argument;
}

static void *reads(void *path)
{
    FILE *lines = fopen(path, "r");
    CHECK(lines != NULL, "%d", errno);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        char *line = NULL;
        size_t room = 0;
        rewind(lines);
        CHECK(getline(&line, &room, lines) == 50001, "%d", errno);
        free(line);
        __atomic_add_fetch(&read_lines, 1, __ATOMIC_RELAXED);
        sched_yield();
    }
    fclose(lines);
    return NULL;
}

static void *flushes(void *argument)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        CHECK(fflush(NULL) == 0 && sched_yield() == 0, "%d", errno);
    return argument;
}

static void forks_amid_streams(void)
{
    char path[64];
    int file = memfd_create("line", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    char *line = malloc(50001);
    memset(line, 'x', 50000);
    line[50000] = '\n';
    CHECK(write(file, line, 50001) == 50001, "%d", errno);
    free(line);
    alarm(60);
    pthread_t threads[9];
    for (int i = 0; i < 9; i++)
        threads[i] = i < 4 ? start(forks, NULL) : i < 8 ? start(reads, path) : start(flushes, NULL);
    while (forked < 1000 || read_lines < 300)
        usleep(1000);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 9; i++)
        join(threads[i]);
}

// Blocks that shrink much give their memory back, to the program or to the system.
static void shrinking_gives_back(void)
{
    enum { COUNT = 500 };
    static char *blocks[COUNT];
    size_t from[] = {4000, 30 * KIB, 200 * KIB, MIB, 3 * MIB};
    for (int s = 0; s < 5; s++) {
        malloc_trim(0);
        size_t before = resident();
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = malloc(from[s]);
            CHECK(blocks[i] != NULL, "%zu", from[s]);
            memset(blocks[i], i, from[s]);
            blocks[i] = realloc(blocks[i], 100);
            CHECK(blocks[i] != NULL && blocks[i][99] == (char)i, "%zu", from[s]);
        }
        malloc_trim(0);
        size_t after = resident();
        // A page of each may stay, where a block does not move.
        CHECK(after < before + COUNT * 8 * KIB + 8 * MIB, "%zu: %zu, then %zu resident", from[s],
              before, after);
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
    }
}

// Sizes and offsets that do not fit in 32 bits. Only a few pages are written.
static void beyond_4_gib(void)
{
    size_t n = 5 * GIB;
    for (int how = 0; how < 3; how++) {
        char *p = how == 0 ? malloc(n) : how == 1 ? calloc(n / 8, 8) : memalign(GIB, n);
        CHECK(p != NULL && malloc_usable_size(p) >= n, "%d: %p", how, (void *)p);
        CHECK(how != 2 || (uintptr_t)p % GIB == 0, "%p", (void *)p);
        CHECK(how != 1 || p[n - 1] == 0, "%d", how);
        p[0] = 1;
        p[4 * GIB] = 2;
        p[n - 1] = 3;
        p = realloc(p, n + GIB);
        CHECK(p != NULL && malloc_usable_size(p) >= n + GIB, "%d: %p", how, (void *)p);
        CHECK(p[0] == 1 && p[4 * GIB] == 2 && p[n - 1] == 3, "%d", how);
        p[n + GIB - 1] = 4;
        p = realloc(p, 4 * GIB + 1);
        CHECK(p != NULL && malloc_usable_size(p) > 4 * GIB, "%d: %p", how, (void *)p);
        CHECK(p[0] == 1 && p[4 * GIB] == 2, "%d", how);
        free(p);
    }
}

MAIN(CASE(large_blocks_that_travel), CASE(late_frees_of_others), CASE(blocks_of_ended_threads),
     CASE(purges_at_once), CASE(forks_amid_streams),
     CASE(shrinking_gives_back), CASE(beyond_4_gib))
