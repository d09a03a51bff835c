// Behaviour that other allocators test of themselves, and that no other program here has:
// docs/peers-tests.md says which program of theirs each case is about.

#include "case.h"

#include <obstack.h>

#define REFUSED(call, ...)                                                                         \
    do {                                                                                           \
        errno = 4242;                                                                              \
        void *refused = (call);                                                                    \
        int error = errno;                                                                         \
        CHECK(refused == NULL && error == ENOMEM, __VA_ARGS__);                                    \
    } while (0)

// All functions, for one size that cannot be, after a small block of the same thread was freed.
static void each_function_refuses(size_t n)
{
    free(malloc(16));
    REFUSED(malloc(n), "%zx", n);
    void *p = malloc(16);
    CHECK(p != NULL, "%zx", n);
    fill(p, 16, n);
    REFUSED(realloc(p, n), "%zx", n);
    for (size_t parts = 1; parts <= 8 && n % parts == 0; parts *= 2) {
        REFUSED(calloc(parts, n / parts), "%zx / %zu", n, parts);
        REFUSED(calloc(n / parts, parts), "%zx / %zu", n, parts);
        REFUSED(reallocarray(p, parts, n / parts), "%zx / %zu", n, parts);
        REFUSED(reallocarray(p, n / parts, parts), "%zx / %zu", n, parts);
    }
    CHECK(filled(p, 16, n), "%zx", n);
    free(p);
    REFUSED(valloc(n), "%zx", n);
    REFUSED(pvalloc(n), "%zx", n);
    for (size_t align = 1; align != 0; align *= 2) {
        REFUSED(memalign(align, n), "%zx align %zx", n, align);
        REFUSED(aligned_alloc(align, n), "%zx align %zx", n, align);
        void *out = &out;
        if (align >= sizeof(void *))
            CHECK(posix_memalign(&out, align, n) == ENOMEM && out == &out, "%zx align %zx", n,
                  align);
    }
}

static void no_size_wraps_around(void)
{
    // Each offset for a while, as far as headers and pages reach; then some of each magnitude.
    for (size_t i = 0; i <= 4 * MIB; i += i < 600 ? 1 : i / 64) {
        each_function_refuses(SIZE_MAX - i);
        each_function_refuses((size_t)PTRDIFF_MAX + 1 + i);
        each_function_refuses(SIZE_MAX - i * 4096);
    }
    // Of the highest bits, each combination that no machine has addresses for.
    for (size_t top = 1; top < 1 << 14; top += 1 + top / 50) {
        each_function_refuses(top << 50);
        each_function_refuses(top << 50 | (((size_t)1 << 50) - 1));
    }
}

static void each_alignment_and_size(void)
{
    // Four blocks at a time, up to three times the alignment.
    enum { BLOCKS = 4 };
    for (size_t align = 8; align <= 8 * MIB; align *= 2) {
        for (size_t n = 1; n < 3 * align; n += align / 4 - 1) {
            char *blocks[BLOCKS];
            for (int i = 0; i < BLOCKS; i++) {
                blocks[i] = aligned_alloc(align, n);
                CHECK(blocks[i] != NULL, "%zu align %zu", n, align);
                CHECK((uintptr_t)blocks[i] % align == 0, "%zu align %zu", n, align);
                blocks[i][0] = blocks[i][n - 1] = (char)i;
            }
            for (int i = 0; i < BLOCKS; i++) {
                CHECK(blocks[i][0] == i && blocks[i][n - 1] == i, "%zu align %zu", n, align);
                free(blocks[i]);
            }
        }
    }
    // Small blocks, many of each.
    for (size_t n = 1; n <= 2048; n++) {
        for (size_t align = 1; align <= n; align *= 2) {
            char *blocks[10];
            for (int i = 0; i < 10; i++) {
                blocks[i] = aligned_alloc(align, n);
                CHECK((uintptr_t)blocks[i] % align == 0, "%zu align %zu", n, align);
                blocks[i][0] = blocks[i][n - 1] = (char)i;
            }
            for (int i = 0; i < 10; i++) {
                CHECK(blocks[i][0] == i && blocks[i][n - 1] == i, "%zu align %zu", n, align);
                free(blocks[i]);
            }
        }
    }
}

static void sized_frees_of_each_alignment(void)
{
    void (*sdallocx)(void *, size_t, int) = function("sdallocx");
    void (*sized)(void *, size_t, size_t) = function("free_aligned_sized");
    sized(NULL, 0, 0);
    for (int log = 0; log <= 25; log++) {
        size_t align = (size_t)1 << log;
        for (size_t n = 1; n < 3 * align && n < 64 * MIB; n += 1 + align / 7) {
            sdallocx(aligned_alloc(align, n), n, log);
            sized(aligned_alloc(align, n), align, n);
        }
    }
}

// The break cannot grow, because something is mapped behind it.
static void break_is_blocked(void)
{
    char *end = sbrk(0);
    CHECK(end != (char *)-1, "%d", errno);
    char *next = (char *)(((uintptr_t)end + 4095) / 4096 * 4096);
    CHECK(mmap(next, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == next, "%d",
          errno);
    CHECK(sbrk(2 * 4096) == (void *)-1, "the break grew");
    for (size_t n = 16; n <= 64 * MIB; n *= 2) {
        for (int i = 0; i < 256 && n * i <= 20 * MIB; i++) {
            char *p = malloc(n);
            CHECK(p != NULL, "%zu", n);
            p[0] = p[n - 1] = 1;
        }
    }
    CHECK(sbrk(0) == end, "the break moved");
}

// malloc_stats is no cancellation point, and a thread can still be cancelled after it.
static volatile int stages;

static void *prints_statistics(void *argument)
{
    if (argument != NULL)
        pthread_cancel(pthread_self());
    malloc_stats();
    stages = 1;
    while (true)
        sleep(1);
    return NULL;
}

static void statistics_and_cancellation(void)
{
    int old = dup(2), none = open("/dev/null", O_WRONLY);
    CHECK(old >= 0 && dup2(none, 2) == 2, "%d", errno);
    for (int i = 0; i < 200; i++) {
        stages = 0;
        bool at_once = i % 2 == 0;
        pthread_t thread = start(prints_statistics, at_once ? (void *)&stages : NULL);
        while (!at_once && stages == 0)
            sched_yield();
        pthread_cancel(thread);
        bool cancelled = join(thread) == PTHREAD_CANCELED;
        if (!cancelled || stages != 1) {
            dup2(old, 2);
            fail(__LINE__, "cancelled", "%d, %d in round %d", cancelled, stages, i);
        }
    }
    dup2(old, 2);
}

static size_t live(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

// A thread whose cache would be lost leaves at least a block behind.
static void *frees_and_returns_one(void *argument)
{
    free(opaque(malloc(32)));
    (void)argument;
    return malloc(32);
}

static void threads_leave_no_blocks(void)
{
    enum { THREADS = 10000 };
    free(join(start(frees_and_returns_one, NULL)));
    size_t live_before = live(), before = resident();
    for (int i = 0; i < THREADS; i++)
        free(join(start(frees_and_returns_one, NULL)));
    CHECK(live() <= live_before + THREADS, "%zu, then %zu live", live_before, live());
    CHECK(resident() < before + 4 * MIB, "%zu, then %zu resident", before, resident());
}

// Several threads allocate by one function until there is no memory, each at its pace.
enum { TAKERS = 8 };
static pthread_barrier_t all_here, all_taken;
static int taken_by;
static size_t taken_size, taken_align;

static void *take_one(void)
{
    void *p = NULL, *q;
    switch (taken_by) {
    case 0: return malloc(taken_size);
    case 1:
        p = realloc(NULL, 16);
        q = p == NULL ? NULL : realloc(p, taken_size);
        if (q == NULL)
            free(p);
        return q;
    case 2: return valloc(taken_size);
    case 3: return pvalloc(taken_size);
    case 4:
        p = calloc(1, taken_size);
        CHECK(p == NULL || is_zero(p, taken_size), "%zu", taken_size);
        return p;
    case 5: return aligned_alloc(taken_align, taken_size);
    case 6: return memalign(taken_align, taken_size);
    default:
        return posix_memalign(&p, taken_align, taken_size) == 0 ? p : NULL;
    }
}

static void *take_all(void *argument)
{
    (void)argument;
    pthread_barrier_wait(&all_here);
    void *list = NULL, *p;
    while ((p = take_one()) != NULL) {
        CHECK((uintptr_t)p % (taken_by >= 5 ? taken_align : 16) == 0, "%d: %p", taken_by, p);
        memcpy(p, &list, sizeof list);
        list = p;
    }
    pthread_barrier_wait(&all_taken);
    while (list != NULL) {
        memcpy(&p, list, sizeof p);
        free(list);
        list = p;
    }
    return NULL;
}

static void run_out(size_t size, size_t align, int first, int last)
{
    taken_size = size;
    taken_align = align;
    for (taken_by = first; taken_by <= last; taken_by++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "%d", errno);
        if (pid == 0) {
            alarm(60);
            pthread_attr_t small;
            pthread_attr_init(&small);
            pthread_attr_setstacksize(&small, 256 * KIB);
            pthread_t threads[TAKERS];
            for (int i = 0; i < TAKERS; i++) {
                int error = pthread_create(&threads[i], &small, take_all, NULL);
                CHECK(error == 0, "%s", strerror(error));
            }
            take_all(NULL);
            for (int i = 0; i < TAKERS; i++)
                join(threads[i]);
            _exit(0);
        }
        wait_for(pid, "memory that ran out");
    }
}

static void each_function_runs_out(void)
{
    struct rlimit most = {100 * MIB, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &most) == 0, "%d", errno);
    pthread_barrier_init(&all_here, NULL, TAKERS + 1);
    pthread_barrier_init(&all_taken, NULL, TAKERS + 1);
    run_out(144, 0, 0, 4);
    run_out(4096, 0, 0, 4);
    run_out(512, 128, 5, 7);
    run_out(4096, 128, 5, 7);
    run_out(17 * 4096, 128, 5, 7);
}

// A child of _Fork, in a handler or not, needs nothing of the allocator. The parent goes on.
static volatile sig_atomic_t handled, failed;
static volatile int over;
static pthread_t interrupted;

static void fork_raw(int signal)
{
    (void)signal;
    int error = errno, status = -1;
    pid_t pid = _Fork();
    if (pid == 0)
        _exit(0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    failed = failed || pid < 0 || status != 0;
    handled = handled + 1;
    errno = error;
}

static void *send_signals(void *argument)
{
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        pthread_kill(interrupted, SIGUSR1);
        usleep(500);
    }
    return argument;
}

static void raw_forks_in_handlers(void)
{
    enum { BLOCKS = 1009, SIGNALS = 600 };
    static char *blocks[BLOCKS];
    struct sigaction action = {.sa_handler = fork_raw, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    interrupted = pthread_self();
    pthread_t senders[3];
    for (int i = 0; i < 3; i++)
        senders[i] = start(send_signals, NULL);
    uint64_t random = 1;
    for (int i = 0; handled < SIGNALS; i++) {
        size_t at = below(&random, BLOCKS);
        if (i % 500 == 0)
            fork_raw(0);
        free(blocks[at]);
        blocks[at] = malloc(below(&random, 70000));
        CHECK(blocks[at] != NULL && !failed, "%d", i);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        join(senders[i]);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

// Blocks of a thread's first requests come from an arena and go back there. This many later, the
// thread has a magazine.
static void warm_up(size_t align, size_t n)
{
    void *blocks[200];
    for (int i = 0; i < 200; i++)
        blocks[i] = memalign(align, n);
    for (int i = 0; i < 200; i++)
        free(blocks[i]);
}

// A block that was freed serves the next request of its size and alignment.
static void *freed_blocks_serve_again(void *argument)
{
    size_t small[][2] = {{24, 32}, {24, 64}, {128, 128}, {500, 128}};
    for (int i = 0; i < 4; i++) {
        warm_up(small[i][1], small[i][0]);
        void *p = memalign(small[i][1], small[i][0]);
        size_t usable = malloc_usable_size(p);
        free(p);
        void *q = memalign(small[i][1], usable);
        CHECK(p == q, "%zu align %zu: %p, %p", small[i][0], small[i][1], p, q);
        free(q);
    }
    warm_up(64, 256);
    void *mixed[10];
    for (int i = 0; i < 10; i++)
        mixed[i] = i == 4 ? memalign(64, 256) : malloc(256);
    for (int i = 0; i < 10; i++)
        free(mixed[i]);
    void *p = memalign(64, 256);
    int same = 0;
    for (int i = 0; i < 10; i++)
        same += mixed[i] == p;
    CHECK(same == 1, "%p", p);
    free(p);
    size_t large[] = {23450, 23450, 23550, 23550, 23650, 23650, 33650, 33650};
    void *first[8], *second[8], *between[8];
    for (int i = 0; i < 8; i++) {
        first[i] = memalign(64, large[i]);
        between[i] = malloc(512);
    }
    for (int i = 0; i < 8; i++)
        free(first[i]);
    free(malloc(60000));
    same = 0;
    for (int i = 0; i < 8; i++) {
        second[i] = memalign(64, large[i]);
        for (int j = 0; j < 8; j++)
            same += second[i] == first[j];
    }
    CHECK(same > 4, "%d", same);
    for (int i = 0; i < 8; i++) {
        free(second[i]);
        free(between[i]);
    }
    return argument;
}

static void freed_aligned_blocks_serve_again(void)
{
    freed_blocks_serve_again(NULL);
    join(start(freed_blocks_serve_again, NULL));
}

// What a freed block holds may be in live blocks, too: these are not taken for freed ones.
static void contents_are_not_mistaken(void)
{
    size_t sizes[] = {16, 32, 100, 1000, 40000, 127 * KIB};
    for (int i = 0; i < 6; i++) {
        size_t n = sizes[i];
        char *freed = malloc(n), *same = malloc(n), *other = malloc(127 * KIB);
        memset(other, 0xff, 127 * KIB);
        memset(freed, 0x11, n);
        free(freed);
        // Read after its free, on purpose.
        memcpy(same, opaque(freed), n);
        memcpy(other, opaque(freed), n);
        free(same);
        free(other);
    }
}

// Freed twice in a row, where an overflow by one byte changed what lies before the block.
static void twice_after_an_overflow(void)
{
    for (int overflow = 0; overflow <= 1; overflow++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            dup2(open("/dev/null", O_WRONLY), 2);
            char *before = malloc(24), *p = malloc(280);
            free(p);
            if (overflow != 0)
                ((char *)opaque(before))[malloc_usable_size(before)] = 0;
            free(opaque(p));
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%x", status);
    }
}

#define obstack_chunk_alloc malloc
#define obstack_chunk_free free

static void obstacks(void)
{
    for (int align = 2; align <= 64; align *= 2) {
        struct obstack stack;
        obstack_init(&stack);
        obstack_alignment_mask(&stack) = align - 1;
        obstack_finish(&stack);
        char *objects[40];
        for (size_t i = 0; i < 40; i++) {
            objects[i] = obstack_alloc(&stack, 1000);
            CHECK((uintptr_t)objects[i] % (size_t)align == 0, "%d: %p", align, (void *)objects[i]);
            fill(objects[i], 1000, i);
        }
        for (size_t i = 0; i < 40; i++)
            CHECK(filled(objects[i], 1000, i), "%d: %zu", align, i);
        obstack_free(&stack, NULL);
    }
}

// Functions of the C library that allocate for their caller.
static void *caller_frees(void *argument)
{
    static const int lengths[] = {0, 45, 80, 2, 8201, 0, 17};
    int file = memfd_create("lines", 0);
    FILE *lines = fdopen(file, "w+");
    CHECK(lines != NULL, "%d", errno);
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < lengths[i]; j++)
            fputc('a' + (i + j) % 26, lines);
        fputc('\n', lines);
    }
    rewind(lines);
    char *line = NULL;
    size_t room = 0;
    for (int i = 0; i < 7; i++) {
        ssize_t length = getline(&line, &room, lines);
        CHECK(length == lengths[i] + 1 && malloc_usable_size(line) >= room, "%d: %zd", i, length);
        for (int j = 0; j < lengths[i]; j++)
            CHECK(line[j] == 'a' + (i + j) % 26, "%d: %s", i, line);
    }
    CHECK(getline(&line, &room, lines) == -1 && feof(lines), "%s", line);
    free(line);
    fclose(lines);
    char *path = realpath("/proc/../", NULL), *text = NULL, *copy = strndup("copied", 4);
    CHECK(path != NULL && strcmp(path, "/") == 0, "%s", path);
    CHECK(asprintf(&text, "%s%0*d", copy, 5000, 7) == 5004 && text[5003] == '7', "%s", text);
    free(path);
    free(copy);
    free(text);
    text = NULL;
    FILE *memory = open_memstream(&text, &room);
    for (int i = 0; i < 20000; i++)
        fputc('x', memory);
    CHECK(fclose(memory) == 0 && room == 20000 && strlen(text) == 20000, "%zu", room);
    free(text);
    char *where = getcwd(NULL, 0);
    CHECK(where != NULL && where[0] != 0, "%d", errno);
    free(where);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    wait_for(pid, "child");
    return argument;
}

static void the_c_library_allocates_here(void)
{
    void *end = sbrk(0);
    caller_frees(NULL);
    join(start(caller_frees, NULL));
    CHECK(!ours || sbrk(0) == end, "%p, then %p", end, sbrk(0));
}

static void sizes_up_from_nothing(void)
{
    // With a size of zero the block is freed, and the next call makes another.
    char *p = NULL;
    for (int round = 0; round < 64; round++) {
        for (size_t i = 0; i < 1024; i++) {
            size_t n = i * 64;
            char *q = realloc(p, unknown(n));
            CHECK((q == NULL) == (n == 0 && p != NULL), "%zu: %p", n, (void *)q);
            if (q != NULL && n > 64)
                CHECK(q[n - 65] == (char)(i - 1), "%zu", n);
            if (q != NULL && n > 0)
                q[n - 1] = (char)i;
            p = q;
        }
    }
    free(p);
}

static void *nothing_but_aligned(void *argument)
{
    int how = *(int *)argument;
    void *p = NULL;
    if (how == 0)
        p = aligned_alloc(16, unknown(0));
    else if (how == 1)
        p = memalign(4096, unknown(0));
    else
        CHECK(posix_memalign(&p, 32, unknown(0)) == 0, "%d", how);
    CHECK(p != NULL && (uintptr_t)p % 16 == 0, "%d: %p", how, p);
    free(p);
    return NULL;
}

static void first_call_for_nothing(void)
{
    for (int how = 0; how < 3; how++)
        join(start(nothing_but_aligned, &how));
}

MAIN(CASE(no_size_wraps_around), CASE(each_alignment_and_size), CASE(sized_frees_of_each_alignment),
     CASE(break_is_blocked), CASE(statistics_and_cancellation),
     CASE(threads_leave_no_blocks), CASE(each_function_runs_out), CASE(raw_forks_in_handlers),
     CASE(freed_aligned_blocks_serve_again), CASE(contents_are_not_mistaken),
     CASE(twice_after_an_overflow), CASE(obstacks),
     CASE(the_c_library_allocates_here), CASE(sizes_up_from_nothing), CASE(first_call_for_nothing))
