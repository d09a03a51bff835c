// Little memory, little address space, few mappings: failures are reported
// cleanly, and freed memory can be allocated again.

#include "exercise.h"

// Blocks in a linked list, so that no other memory is needed to hold them.
struct link {
    struct link *next;
};

// Allocates blocks of `size` until there are `most` bytes or allocation fails.
// Returns the number of bytes. Part of each block is written.
static size_t take(struct link **list, size_t size, size_t most)
{
    size_t taken = 0;
    while (taken < most) {
        errno = 4242;
        struct link *p = malloc(size);
        if (p == NULL) {
            CHECK(errno == ENOMEM, "%zu: errno %d", size, errno);
            return taken;
        }
        // (glibc's may leave errno changed.)
        CHECK(errno == 4242 || !ours, "%zu: errno %d", size, errno);
        p->next = *list;
        ((char *)p)[size - 1] = 1;
        *list = p;
        taken += size;
    }
    return taken;
}

static void drop(struct link **list)
{
    while (*list != NULL) {
        struct link *next = (*list)->next;
        errno = 4242;
        free(*list);
        CHECK(errno == 4242, "errno %d", errno);
        *list = next;
    }
}

// The limit on address space that the program was started with.
static size_t limit(void)
{
    struct rlimit addresses;
    CHECK(getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY,
          "requires a limit on address space (ulimit -v)");
    return addresses.rlim_cur;
}

// `share` percent of the limit can be allocated before allocation fails, and
// afterwards a quarter of the limit again.
static void fill_the_limit(size_t size, size_t share)
{
    size_t all = limit();
    struct link *list = NULL;
    for (int round = 0; round < 3; round++) {
        size_t taken = take(&list, size, all);
        CHECK(taken >= all / 100 * share && taken < all, "%zu of %zu in blocks of %zu", taken, all,
              size);
        // All functions keep failing.
        size_t more = all / 2;
        for (int i = 0; i < 100; i++) {
            errno = 4242;
            CHECK(malloc(more) == NULL && errno == ENOMEM, "%d", errno);
            CHECK(calloc(1, more) == NULL && memalign(4096, more) == NULL, "%d", errno);
            CHECK(realloc(list, more) == NULL && ((char *)list)[size - 1] == 1, "%zu", size);
        }
        drop(&list);
        for (size_t other = 64; other <= all / 16; other *= 16) {
            taken = take(&list, other, all / 4);
            CHECK(taken >= all / 4, "%zu of %zu in blocks of %zu", taken, all, other);
            drop(&list);
        }
    }
}

static void small_blocks(void) { fill_the_limit(112, 80); }
static void smallest_blocks(void) { fill_the_limit(16, ours ? 80 : 40); }
static void medium_blocks(void) { fill_the_limit(28 * KIB, 80); }
static void page_runs(void) { fill_the_limit(120 * KIB, 80); }
static void large_blocks(void) { fill_the_limit(MIB - 8 * KIB, 80); }
static void huge_blocks(void) { fill_the_limit(4 * MIB - 8 * KIB, 80); }

static void mixed_blocks(void)
{
    size_t all = limit(), sizes[] = {100, 2000, 30000, 100000, 700000, 3 * MIB};
    struct link *list = NULL;
    for (int round = 0; round < 5; round++) {
        size_t taken = 0;
        for (int i = 0; i < 6; i++)
            taken += take(&list, sizes[i], all / 8);
        CHECK(taken >= all / 100 * 70, "%zu of %zu", taken, all);
        for (int i = 5; i >= 0; i--)
            taken += take(&list, sizes[i], all);
        CHECK(taken < all, "%zu of %zu", taken, all);
        drop(&list);
    }
}

// With so little address space that little can be allocated at all.
static void hardly_any(void)
{
    size_t all = limit(), sizes[] = {16, 100, 2000, 30000, 100000, 700000, 3 * MIB};
    struct link *list = NULL;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 7; i++) {
            size_t taken = take(&list, sizes[i], all);
            CHECK(taken < all, "%zu of %zu", taken, all);
            CHECK(taken >= all / 4, "%zu of %zu in blocks of %zu", taken, all, sizes[i]);
            drop(&list);
        }
    }
}

// Starts threads until that fails. They exit when the gate opens.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *allocate_and_wait(void *argument)
{
    for (size_t n = 1; n <= 4 * MIB; n *= 3) {
        char *p = malloc(n);
        if (p != NULL)
            p[n - 1] = 1;
        free(p);
    }
    void *last = malloc(100);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    free(last);
    return argument;
}

static void threads_until_failure(void)
{
    (void)limit();
    static pthread_t threads[5000];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    for (int round = 0; round < 3; round++) {
        pthread_mutex_lock(&gate);
        size_t stack = round == 0 ? 8 * MIB : round == 1 ? MIB : 128 * KIB;
        CHECK(pthread_attr_setstacksize(&attributes, stack) == 0, "%zu", stack);
        int count = 0;
        while (count < 5000 &&
               pthread_create(&threads[count], &attributes, allocate_and_wait, NULL) == 0)
            count++;
        CHECK(count >= 5 && count < 5000, "%d threads with stacks of %zu", count, stack);
        struct link *list = NULL;
        take(&list, 100, limit());
        drop(&list);
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < count; i++)
            join(threads[i]);
        exercise();
    }
}

// A limit set after memory was allocated.
static void later_limit(void)
{
    exercise();
    char text[64] = {0};
    int fd = open("/proc/self/statm", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0, "%d", errno);
    close(fd);
    size_t now = strtoul(text, NULL, 10) * 4096;
    struct rlimit few = {now + 64 * MIB, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &few) == 0, "%d", errno);
    struct link *list = NULL;
    for (size_t size = 64; size < 16 * MIB; size *= 8) {
        size_t taken = take(&list, size, few.rlim_cur);
        CHECK(taken >= 32 * MIB && taken < few.rlim_cur, "%zu in blocks of %zu", taken, size);
        drop(&list);
    }
    // The limit is lifted: what was possible before is possible again.
    few.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &few) == 0, "%d", errno);
    CHECK(take(&list, 3 * MIB, 32 * MIB) >= 32 * MIB, "after the limit");
    drop(&list);
    CHECK(take(&list, 3000, 32 * MIB) >= 32 * MIB, "after the limit");
    drop(&list);
}

// A limit on writable memory (RLIMIT_DATA).
static void limited_data(void)
{
    struct rlimit few = {100 * MIB, 100 * MIB};
    CHECK(setrlimit(RLIMIT_DATA, &few) == 0, "%d", errno);
    struct link *list = NULL;
    for (size_t size = 64; size < 16 * MIB; size *= 8) {
        size_t taken = take(&list, size, few.rlim_cur);
        CHECK(taken >= 50 * MIB && taken < few.rlim_cur, "%zu in blocks of %zu", taken, size);
        drop(&list);
    }
    // What is freed is not in the way of the program's own mappings. (Of glibc's it is.)
    for (int round = 0; round < 3 && ours; round++) {
        CHECK(take(&list, 12 * MIB, 72 * MIB) >= 72 * MIB, "round %d", round);
        drop(&list);
        void *own = mmap(NULL, 50 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(own != MAP_FAILED, "round %d: %d", round, errno);
        munmap(own, 50 * MIB);
    }
}

// The process has the maximum number of mappings.
static void mappings_used_up(void)
{
    struct link *small = NULL, *medium = NULL, *huge = NULL;
    take(&small, 500, 20 * MIB);
    take(&medium, 100 * KIB, 40 * MIB);
    take(&huge, 3 * MIB, 60 * MIB);
    size_t size = 70000 * 2 * (size_t)4096;
    char *all = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(all != MAP_FAILED, "%d", errno);
    size_t at = 0;
    while (at < size && mprotect(all + at, 4096, PROT_NONE) == 0)
        at += 2 * 4096;
    CHECK(at < size && errno == ENOMEM, "the limit on mappings is higher than assumed");
    // Existing blocks can be freed and allocated again.
    struct link *again = NULL;
    for (int round = 0; round < 3; round++) {
        drop(&small);
        drop(&medium);
        CHECK(take(&small, 500, 10 * MIB) >= 10 * MIB, "small, %d", round);
        CHECK(take(&medium, 100 * KIB, 10 * MIB) >= 10 * MIB, "medium, %d", round);
        take(&again, 40000, 100 * MIB);
        drop(&again);
        malloc_trim(0);
        errno = 4242;
        free(malloc(20 * MIB));
        CHECK(errno == 4242 || errno == ENOMEM, "%d", errno);
    }
    drop(&huge);
    CHECK(take(&small, 500, 10 * MIB) >= 10 * MIB, "small");
    CHECK(munmap(all, size) == 0, "%d", errno);
    // Everything works as before.
    CHECK(take(&huge, 3 * MIB, 300 * MIB) >= 300 * MIB, "huge");
    CHECK(take(&medium, 100 * KIB, 200 * MIB) >= 200 * MIB, "medium");
    drop(&huge);
    drop(&medium);
    drop(&small);
    exercise();
}

// Takes mappings until `left` more can be made.
static void leave_mappings(size_t left)
{
    size_t size = 70000 * 2 * (size_t)4096, at = 0;
    char *all = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(all != MAP_FAILED, "%d", errno);
    while (at < size && mprotect(all + at, 4096, PROT_READ) == 0)
        at += 2 * 4096;
    CHECK(at < size && errno == ENOMEM, "the limit on mappings is higher than assumed");
    // A page that ends is merged with what is unreadable on both sides.
    for (size_t n = 0; n < left; n += 2) {
        at -= 2 * 4096;
        CHECK(mprotect(all + at, 4096, PROT_NONE) == 0, "%d", errno);
    }
}

// Others hold all mappings but a few. Blocks are allocated and freed in rounds, and some of the
// first round stay: none is refused, and memory does not grow from round to round.
static void serve_with(size_t left)
{
    enum { COUNT = 60000, SIZE = 2000, KEPT = 6000 };
    static char *blocks[COUNT];
    leave_mappings(left);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < COUNT; i++) {
            if (round > 0 && i % KEPT == KEPT / 2)
                continue;
            blocks[i] = malloc(SIZE);
            CHECK(blocks[i] != NULL, "block %d of round %d", i, round);
            memset(blocks[i], round, SIZE);
        }
        for (int i = 0; i < COUNT; i++)
            if (i % KEPT != KEPT / 2)
                free(blocks[i]);
        malloc_trim(0);
        CHECK(resident() < 60 * MIB || !ours, "%zu KiB in round %d", resident() / KIB, round);
    }
}

static void few_mappings_left(void) { serve_with(4); }

// Memory that is locked as it is mapped is there at once: the system does not merge its mappings
// with others unless they are alike from the beginning.
static void few_mappings_left_and_locked(void)
{
    CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "%d: requires CAP_IPC_LOCK", errno);
    serve_with(16);
}

// Memory that the kernel accounts for in a newly started process, in KiB. It is
// printed and compared with that of another process.
static void accounted(void)
{
    static char text[1 << 20];
    int fd = open("/proc/self/smaps", O_RDONLY);
    size_t got = 0;
    ssize_t more;
    while ((more = read(fd, text + got, sizeof text - 1 - got)) > 0)
        got += (size_t)more;
    close(fd);
    size_t total = 0, size = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "Size:", 5) == 0)
            size = strtoul(line + 5, NULL, 10);
        if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " ac") != NULL)
            total += size;
    }
    CHECK(total > 0, "no accounted mapping");
    printf("%zu KiB\n", total);
}

MAIN(CASE(small_blocks), CASE(smallest_blocks), CASE(medium_blocks), CASE(page_runs),
     CASE(large_blocks), CASE(huge_blocks), CASE(mixed_blocks), CASE(hardly_any),
     CASE(threads_until_failure), CASE(later_limit), CASE(limited_data), CASE(mappings_used_up),
        CASE(few_mappings_left), CASE(few_mappings_left_and_locked),
     CASE(accounted))
