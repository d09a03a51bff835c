// Failing system calls (injected by strace): the only visible effect is that
// allocations may fail.

#include "exercise.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

// The first calls of a process are made by the dynamic linker and must not
// fail. This many additional calls ensure that a fixed number can be exempted.
enum { PASSED = 200 };

static void let_pass(void)
{
    char *page = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED, "%d", errno);
    for (int i = 0; i < PASSED; i++) {
        void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p != MAP_FAILED)
            munmap(p, 4096);
        mprotect(page, 4096, i % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE);
        madvise(page + 4096, 4096, MADV_DONTNEED);
        void *moved = mremap(page + 3 * 4096, 4096, 4096, 0);
        (void)moved;
    }
    errno = 0;
}

// Whether calls of this name fail now.
static bool fails(const char *name)
{
    void *p = mmap(NULL, 2 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (strcmp(name, "mmap") == 0)
        return p == MAP_FAILED;
    if (strcmp(name, "madvise") == 0)
        return madvise(p, 4096, MADV_DONTNEED) != 0;
    if (strcmp(name, "mprotect") == 0)
        return mprotect(p, 4096, PROT_NONE) != 0;
    if (strcmp(name, "mremap") == 0)
        return mremap(p, 4096, 2 * 4096, MREMAP_MAYMOVE) == MAP_FAILED;
    return munmap(p, 2 * 4096) != 0;
}

static void all_fail(void)
{
    char names[200];
    snprintf(names, sizeof names, "%s", getenv("FAULTS"));
    for (char *name = strtok(names, ","); name != NULL; name = strtok(NULL, ","))
        CHECK(fails(name), "%s does not fail", name);
}

static const size_t sizes[] = {20,        500,       3000,      20000,   40000,   100000,
                               300000,    900000,    MIB + 100, 2 * MIB, 3 * MIB, 5 * MIB + 5,
                               20 * MIB};
enum { SIZES = sizeof sizes / sizeof sizes[0], HELD = 400 };

// Random calls. Allocations may fail only if `may_fail` is set.
static void random_calls(int rounds, bool may_fail)
{
    static char *blocks[HELD];
    static size_t lengths[HELD];
    uint64_t random = 11;
    int refused = 0;
    for (int round = 0; round < rounds; round++) {
        size_t at = below(&random, HELD);
        size_t n = sizes[below(&random, below(&random, 20) == 0 ? SIZES : 8)];
        size_t seen = lengths[at] < 20000 ? lengths[at] : 20000;
        CHECK(filled(blocks[at], seen, at), "%zu bytes", lengths[at]);
        errno = 4242;
        char *p;
        switch (below(&random, 4)) {
        case 0:
            p = realloc(blocks[at], n);
            if (p == NULL) {
                // Unchanged.
                CHECK(filled(blocks[at], seen, at), "%zu bytes to %zu", lengths[at], n);
                p = blocks[at];
                n = lengths[at];
                CHECK(may_fail && errno == ENOMEM, "%zu: errno %d", n, errno);
                errno = 4242;
                refused++;
                break;
            }
            CHECK(filled(p, (seen < n ? seen : n) / 8 * 8, at), "%zu to %zu", lengths[at], n);
            break;
        default:
            free(blocks[at]);
            CHECK(errno == 4242, "free of %zu: errno %d", lengths[at], errno);
            p = below(&random, 2) == 0 ? malloc(n) : calloc(1, n);
            if (p == NULL) {
                CHECK(may_fail && errno == ENOMEM, "%zu: errno %d", n, errno);
                errno = 4242;
                n = 0;
                refused++;
            }
        }
        CHECK(errno == 4242, "%zu: errno %d", n, errno);
        fill(p, n < 20000 ? n : 20000, at);
        blocks[at] = p;
        lengths[at] = n;
        if (round % 500 == 0) {
            malloc_trim(0);
            CHECK(errno == 4242, "errno %d", errno);
        }
        CHECK(refused < rounds / 2, "%d of %d refused", refused, round);
    }
    for (int i = 0; i < HELD; i++) {
        free(blocks[i]);
        CHECK(errno == 4242, "free: errno %d", errno);
        blocks[i] = NULL;
        lengths[i] = 0;
    }
}

static void zero_after_dirt(void)
{
    static char *blocks[64];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            int count = sizes[i] < 50000 ? 64 : sizes[i] < 4 * MIB ? 6 : 2;
            for (int j = 0; j < count; j++) {
                blocks[j] = malloc(sizes[i]);
                CHECK(blocks[j] != NULL, "%zu", sizes[i]);
                memset(blocks[j], 0xa5, sizes[i]);
            }
            for (int j = 0; j < count; j++) {
                errno = 4242;
                free(blocks[j]);
                CHECK(errno == 4242, "%zu: errno %d", sizes[i], errno);
            }
            if (round == 1)
                malloc_trim(0);
            for (int j = 0; j < count; j++) {
                blocks[j] = calloc(1, sizes[i]);
                CHECK(blocks[j] != NULL && is_zero(blocks[j], sizes[i]), "%zu", sizes[i]);
            }
            for (int j = 0; j < count; j++)
                free(blocks[j]);
        }
    }
}

static void give_back_fails(void)
{
    let_pass();
    all_fail();
    zero_after_dirt();
    random_calls(10000, true);
    zero_after_dirt();
}

// A part of all calls fails, including those that obtain memory.
static void some_fail(void)
{
    let_pass();
    random_calls(20000, true);
}

// System calls that the kernel does not have, or answers without doing anything,
// from the start of the process.

static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    {"madvise", SYS_madvise},
    {"munmap", SYS_munmap},
    {"mremap", SYS_mremap},
    {"mincore", SYS_mincore},
    {"prlimit64", SYS_prlimit64},
    {"prctl", SYS_prctl},
    {"clock_gettime", SYS_clock_gettime},
    {"sched_getaffinity", SYS_sched_getaffinity},
    {"sched_yield", SYS_sched_yield},
    {"getcpu", SYS_getcpu},
};

static void answer(const char *name, int error)
{
    size_t i = 0;
    while (i < sizeof calls / sizeof calls[0] && strcmp(calls[i].name, name) != 0)
        i++;
    CHECK(i < sizeof calls / sizeof calls[0], "%s", name);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ, calls[i].number, 0, 1),
        BPF_STMT(BPF_RET, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "%d", errno);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "%d", errno);
}

// Runs itself once more, with one call answered by an error, or by success.
static void other_kernel(void)
{
    const char *call = getenv("FAULTS");
    if (call != NULL) {
        answer(call, atoi(getenv("ANSWER")));
        unsetenv("FAULTS");
        execl("/proc/self/exe", "faults", "other_kernel", "ours", NULL);
        CHECK(false, "exec: %d", errno);
    }
    pthread_t thread = start(exercise_in_thread, NULL);
    random_calls(2000, true);
    usleep(150000);
    zero_after_dirt();
    join(thread);
}

// Has many mappings and much memory. The test sees which files are opened after
// the mark.
static void many_mappings(void)
{
    enum { COUNT = 5000 };
    static char *blocks[COUNT];
    join(start(exercise_in_thread, NULL));
    access("/mark", F_OK);
    for (int i = 0; i < COUNT; i++) {
        // Such a mapping ends within a chunk.
        blocks[i] = malloc(MIB + 100 * KIB);
        CHECK(blocks[i] != NULL, "%d", i);
        blocks[i][0] = 1;
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

MAIN(CASE(give_back_fails), CASE(some_fail), CASE(other_kernel), CASE(many_mappings))
