// The effects of STRATA_CONF.

#include "exercise.h"

#include <dirent.h>
#include <sys/auxv.h>

static int threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL, "%d", errno);
    int count = -2;
    while (readdir(tasks) != NULL)
        count++;
    closedir(tasks);
    return count;
}

// The process works as usual.
static void goes_on(void)
{
    exercise();
    for (int i = 0; i < 4; i++)
        join(start(exercise_in_thread, NULL));
}

// Whether writing the byte after the block faults.
static bool faults(char *p, size_t at)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        *(volatile char *)(p + at) = 1;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
    CHECK(WIFEXITED(status) || WTERMSIG(status) == SIGSEGV, "%x", status);
    return WIFSIGNALED(status);
}

static void guarded(void)
{
    enum { COUNT = 12 };
    size_t sizes[] = {MIB + 1, MIB + 4096, 2 * MIB - 4096, 2 * MIB, 4 * MIB, 10 * MIB + 100};
    char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(sizes[i / 2]);
        CHECK(blocks[i] != NULL, "%zu", sizes[i / 2]);
    }
    for (int i = 0; i < COUNT; i++) {
        size_t usable = malloc_usable_size(blocks[i]);
        CHECK(!faults(blocks[i], usable - 1), "%zu", usable);
        CHECK(faults(blocks[i], usable) && faults(blocks[i], usable + 4095), "%zu", usable);
        blocks[i] = realloc(blocks[i], sizes[i / 2] + 2 * MIB);
        usable = malloc_usable_size(blocks[i]);
        CHECK(blocks[i] != NULL && !faults(blocks[i], usable - 1), "%zu", usable);
        CHECK(faults(blocks[i], usable), "%zu", usable);
        blocks[i] = realloc(blocks[i], MIB + 5000);
        usable = malloc_usable_size(blocks[i]);
        CHECK(blocks[i] != NULL && faults(blocks[i], usable), "%zu", usable);
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    goes_on();
}

// No byte behind an aligned block is read when its contents move.
static void guarded_and_aligned(void)
{
    size_t from[] = {MIB + 1, 2 * MIB - 4096, 3 * MIB + 5};
    size_t to[] = {100, 5000, 30 * KIB, 100 * KIB, MIB, 2 * MIB, 5 * MIB + 7};
    for (size_t align = 64; align <= 4 * MIB; align *= 16) {
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 7; j++) {
                char *p = memalign(align, from[i]);
                CHECK(p != NULL && (uintptr_t)p % align == 0, "%zu align %zu", from[i], align);
                size_t usable = malloc_usable_size(p);
                CHECK(j > 0 || faults(p, usable), "%zu align %zu", from[i], align);
                fill(p, usable, from[i]);
                p = realloc(p, to[j]);
                size_t kept = usable < to[j] ? usable : to[j];
                CHECK(filled(p, kept / 8 * 8, from[i]), "%zu align %zu to %zu", from[i], align,
                      to[j]);
                free(p);
            }
        }
    }
}

// Writes and frees blocks, and waits until most of them are no longer resident.
// The number of threads must not exceed `most`; returns the largest number
// seen.
static int wait_for_purge(int most)
{
    enum { COUNT = 1500 };
    static char *blocks[COUNT];
    size_t before = resident();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(100 * KIB);
        memset(blocks[i], 1, 100 * KIB);
    }
    CHECK(resident() > before + 140 * MIB, "%zu", resident());
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    int seen = 0;
    for (int i = 0; i < 200; i++) {
        int now = threads();
        seen = now > seen ? now : seen;
        CHECK(now <= most, "%d threads", now);
        if (resident() < before + 38 * MIB && i >= 20)
            return seen;
        usleep(50000);
        // Without the helper, the caller has to purge.
        free(malloc(100 * KIB));
    }
    CHECK(false, "%zu resident, then %zu", before, resident());
    return seen;
}

static pthread_barrier_t barrier;

static void *wait_for_end(void *unused)
{
    free(malloc(100));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

static void purge_with_two_threads(int tasks)
{
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t other = start(wait_for_end, NULL);
    pthread_barrier_wait(&barrier);
    CHECK(wait_for_purge(tasks) == tasks, "not %d tasks", tasks);
    pthread_barrier_wait(&barrier);
    join(other);
}

static void by_the_helper(void)
{
    purge_with_two_threads(3);
}

static void without_helper(void)
{
    purge_with_two_threads(2);
}

// The process is setuid to another user.
static void more_rights(void)
{
    CHECK(getauxval(AT_SECURE) == 1, "not setuid");
    goes_on();
}

// Allocates blocks of a size until that fails; each links to the previous one.
// Returns the last, and the number of blocks.
static void **take_all(size_t size, size_t *count)
{
    void **last = NULL;
    *count = 0;
    for (;;) {
        errno = 0;
        void **block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "%zu: errno %d", size, errno);
            return last;
        }
        *block = last;
        last = block;
        ++*count;
    }
}

// A limit of 64 MiB on committed memory.
static void refused(void)
{
    static const size_t sizes[] = {16, 700, 5000, 40000, 300000, 3 * MIB};
    const size_t most = 64 * MIB;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t count;
            void **last = take_all(sizes[i], &count);
            size_t got = count * sizes[i];
            CHECK(got > most / 4 * 3 && got <= most, "%zu of %zu", got, sizes[i]);
            void *block = NULL;
            CHECK(posix_memalign(&block, 4096, 8 * MIB) == ENOMEM, "%zu", sizes[i]);
            errno = 0;
            CHECK(calloc(8, MIB) == NULL && errno == ENOMEM, "%d", errno);
            // A block that cannot grow is unchanged.
            void *before = *last;
            errno = 0;
            CHECK(realloc(last, 8 * MIB) == NULL && errno == ENOMEM, "%d", errno);
            CHECK(*last == before, "%p, not %p", *last, before);
            errno = 7;
            while (last != NULL) {
                before = *last;
                free(last);
                last = before;
            }
            CHECK(errno == 7, "%d", errno);
            block = malloc(most / 4 * 3);
            CHECK(block != NULL, "after blocks of %zu", sizes[i]);
            free(block);
        }
    }
    goes_on();
}

// Exits with live blocks.
static void explained(void)
{
    for (int i = 0; i < 8000; i++) {
        char *p = malloc(1000);
        CHECK(p != NULL, "%d", i);
        memset(p, 1, 1000);
    }
    for (int i = 0; i < 40; i++) {
        char *p = malloc(100000);
        CHECK(p != NULL, "%d", i);
        memset(p, 1, 100000);
    }
}

static void ends_at_once(void)
{
    goes_on();
    if (write(1, "ok\n", 3) == 3)
        _exit(0);
}

MAIN(CASE(goes_on), CASE(explained), CASE(guarded), CASE(guarded_and_aligned), CASE(by_the_helper), CASE(without_helper),
     CASE(more_rights), CASE(refused), CASE(ends_at_once))
