// Forks of a busy process: the children allocate, free, and start threads.

#include "case.h"

#include <spawn.h>

// Allocates, writes, checks, grows and frees one block of each size.
static void every_size(uint64_t seed, size_t most)
{
    static const size_t sizes[] = {1,     16,    24,    48,    64,     100,    200,
                                   300,   500,   700,   1000,  1500,   2000,   3000,
                                   5000,  7000,  10000, 14000, 20000,  30000,  33000,
                                   70000, 200000, 600000, MIB + 1, 3 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    char *blocks[COUNT];
    for (size_t i = 0; i < COUNT && sizes[i] <= most; i++) {
        size_t written = sizes[i] < 40000 ? sizes[i] : 5000;
        blocks[i] = i % 3 == 0 ? calloc(1, sizes[i]) : malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "%zu", sizes[i]);
        CHECK(i % 3 != 0 || is_zero(blocks[i], written), "%zu", sizes[i]);
        fill(blocks[i], written, seed + i);
    }
    for (size_t i = 0; i < COUNT && sizes[i] <= most; i++) {
        size_t written = sizes[i] < 40000 ? sizes[i] : 5000;
        CHECK(filled(blocks[i], written, seed + i), "%zu", sizes[i]);
        if (i % 4 == 0) {
            blocks[i] = realloc(blocks[i], sizes[i] + sizes[i] / 2);
            CHECK(blocks[i] != NULL && filled(blocks[i], written / 8 * 8, seed + i), "%zu",
                  sizes[i]);
        }
        free(blocks[i]);
    }
}

static void *sizes_in_thread(void *argument)
{
    every_size((uintptr_t)argument, 50 * KIB);
    return NULL;
}

// The busy threads.

static bool ending;
static pthread_t busy[16];
static int busy_count;

static bool over(void)
{
    return __atomic_load_n(&ending, __ATOMIC_RELAXED);
}

static void *churn(void *argument)
{
    uint64_t random = (uintptr_t)argument + 3;
    char *blocks[256] = {0};
    while (!over()) {
        for (int i = 0; i < 500; i++) {
            size_t at = below(&random, 256);
            unsigned log = below(&random, 64) == 0 ? 21 : 12;
            free(blocks[at]);
            blocks[at] = malloc(any_size(&random, log));
            CHECK(blocks[at] != NULL, "2^%u", log);
            blocks[at][0] = 1;
        }
        usleep(200);
    }
    for (int i = 0; i < 256; i++)
        free(blocks[i]);
    return NULL;
}

enum { PLACES = 2000 };
static char *places[PLACES];

static void *hand_over(void *argument)
{
    uint64_t random = (uintptr_t)argument + 5;
    while (!over()) {
        for (int i = 0; i < 500; i++) {
            char *fresh = malloc(any_size(&random, below(&random, 64) == 0 ? 18 : 10));
            CHECK(fresh != NULL, "%d", i);
            fresh[0] = 1;
            free(__atomic_exchange_n(&places[below(&random, PLACES)], fresh, __ATOMIC_ACQ_REL));
        }
        usleep(200);
    }
    return NULL;
}

static void *give_birth(void *argument)
{
    while (!over()) {
        join(start(sizes_in_thread, argument));
        usleep(100);
    }
    return NULL;
}

static void *trim(void *argument)
{
    while (!over()) {
        malloc_trim(0);
        usleep(2000);
    }
    return argument;
}

static void get_busy(void)
{
    void *(*bodies[])(void *) = {churn, hand_over, hand_over, give_birth, trim};
    __atomic_store_n(&ending, false, __ATOMIC_RELAXED);
    busy_count = 0;
    for (uintptr_t i = 0; i < 5; i++)
        busy[busy_count++] = start(bodies[i], (void *)i);
}

static void get_quiet(void)
{
    __atomic_store_n(&ending, true, __ATOMIC_RELAXED);
    while (busy_count > 0)
        join(busy[--busy_count]);
}

// What each child does with its parent's blocks.

enum { INHERITED = 24 };
static const size_t inherited_sizes[] = {16, 100, 1000, 5000, 30000, 60000, 300000, 2 * MIB};

struct inherited {
    char *blocks[INHERITED];
};

static void make_inherited(struct inherited *all)
{
    for (size_t i = 0; i < INHERITED; i++) {
        // Some belong to other threads.
        char *other = i % 3 == 0 ? __atomic_exchange_n(&places[i], NULL, __ATOMIC_ACQ_REL) : NULL;
        size_t n = inherited_sizes[i % 8];
        all->blocks[i] = other != NULL ? realloc(other, n) : malloc(n);
        CHECK(all->blocks[i] != NULL, "%zu", n);
        fill(all->blocks[i], 16, i);
    }
}

static void free_inherited(struct inherited *all, bool look)
{
    for (size_t i = 0; i < INHERITED; i++) {
        CHECK(filled(all->blocks[i], 16, i), "%zu", i);
        size_t n = inherited_sizes[i % 8];
        if (look && i % 5 == 0) {
            all->blocks[i] = realloc(all->blocks[i], n * 2);
            CHECK(all->blocks[i] != NULL && filled(all->blocks[i], 16, i), "%zu", n);
        }
        free(all->blocks[i]);
    }
}

static void be_a_child(int number, struct inherited *all)
{
    alarm(60);
    every_size((uint64_t)number, 4 * MIB);
    free_inherited(all, true);
    join(start(sizes_in_thread, all));
    if (number % 8 == 0) {
        malloc_trim(0);
        CHECK(mallinfo2().arena > 0, "%d", number);
    }
    every_size((uint64_t)number + 1, 4 * MIB);
    _exit(0);
}

// Forks `count` children, several at a time.
static void fork_often(int count, int at_a_time)
{
    pid_t children[16];
    for (int i = 0; i < count; i++) {
        if (i >= at_a_time)
            wait_for(children[i % at_a_time], "child");
        struct inherited all;
        make_inherited(&all);
        pid_t pid = fork();
        CHECK(pid >= 0, "%d: %s", i, strerror(errno));
        if (pid == 0)
            be_a_child(i, &all);
        free_inherited(&all, false);
        children[i % at_a_time] = pid;
    }
    for (int i = 0; i < at_a_time; i++)
        wait_for(children[i], "child");
}

static void ten_thousand(void)
{
    get_busy();
    fork_often(ours ? 10000 : 500, 4);
    get_quiet();
}

static void *fork_here(void *argument)
{
    fork_often(200, 2);
    return argument;
}

static void several_fork_at_once(void)
{
    get_busy();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = start(fork_here, NULL);
    for (int i = 0; i < 3; i++)
        join(threads[i]);
    get_quiet();
}

// Nested forks; each process has its own busy threads.
static void generation(int level)
{
    alarm(60);
    get_busy();
    if (level < 4) {
        struct inherited all;
        make_inherited(&all);
        pid_t pid = fork();
        CHECK(pid >= 0, "%d: %s", level, strerror(errno));
        if (pid == 0) {
            every_size((uint64_t)level, 4 * MIB);
            free_inherited(&all, true);
            generation(level + 1);
            _exit(0);
        }
        free_inherited(&all, false);
        wait_for(pid, "grandchild");
    }
    get_quiet();
    every_size((uint64_t)level, 4 * MIB);
}

static void generations(void)
{
    for (int i = 0; i < 40; i++)
        generation(0);
}

// Handlers that allocate: before the fork, and after it in both processes.
static __thread char *from_before;

static void before_fork(void)
{
    free(malloc(70000));
    from_before = malloc(500);
    CHECK(from_before != NULL, "before the fork");
    every_size(1, 4 * MIB);
}

static void after_fork(void)
{
    free(from_before);
    every_size(2, 4 * MIB);
}

static void handlers_allocate(void)
{
    CHECK(pthread_atfork(before_fork, after_fork, after_fork) == 0, "%d", errno);
    get_busy();
    fork_often(300, 4);
    get_quiet();
}

// Forks from a signal handler, which interrupts the only thread anywhere. (The
// handler calls only async-signal-safe functions.)
static volatile sig_atomic_t forks, last_fork, children_go_on, child;

static void signal_soon(void)
{
    struct itimerval soon = {{0, 0}, {0, 20 + forks * 37 % 300}};
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void fork_in_handler(int signal)
{
    (void)signal;
    int error = errno;
    pid_t pid = fork();
    if (pid == 0) {
        if (!children_go_on)
            _exit(0);
        child = 1;
        return;
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail(__LINE__, "child of the handler", "pid %d, status %x", pid, status);
    forks = forks + 1;
    if (forks < last_fork)
        signal_soon();
    errno = error;
}

static void interrupted(int count)
{
    static char *blocks[300];
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    last_fork = count;
    signal_soon();
    uint64_t random = 1;
    int left = 2000;
    while (forks < last_fork) {
        size_t at = below(&random, 300);
        free(blocks[at]);
        blocks[at] = malloc(any_size(&random, below(&random, 100) == 0 ? 21 : 11));
        CHECK(blocks[at] != NULL, "%zu", at);
        blocks[at][0] = 1;
        if (below(&random, 3000) == 0)
            malloc_trim(0);
        // The child continues for a while from where the parent was.
        if (child && left-- == 0) {
            every_size(7, 4 * MIB);
            join(start(sizes_in_thread, NULL));
            _exit(0);
        }
    }
    for (int i = 0; i < 300; i++)
        free(blocks[i]);
}

static void in_a_handler(void)
{
    interrupted(3000);
}

static void on_from_a_handler(void)
{
    children_go_on = 1;
    interrupted(1500);
}

// Other programs are started while threads allocate.

static char *const arguments[] = {"true", NULL};

static __attribute__((noinline)) pid_t vforked(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execv("/bin/true", arguments);
        _exit(127);
    }
    return pid;
}

static void *by_vfork(void *count)
{
    for (intptr_t i = 0; i < (intptr_t)count; i++) {
        pid_t pid = vforked();
        CHECK(pid > 0, "%s", strerror(errno));
        wait_for(pid, "after vfork");
        free(malloc(1000));
    }
    return NULL;
}

extern char **environ;

static void *by_spawn(void *count)
{
    for (intptr_t i = 0; i < (intptr_t)count; i++) {
        pid_t pid;
        int error = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ);
        CHECK(error == 0, "%s", strerror(error));
        wait_for(pid, "after posix_spawn");
        free(malloc(1000));
    }
    return NULL;
}

static void start_programs(void *(*how)(void *))
{
    get_busy();
    intptr_t count = ours ? 500 : 50;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = start(how, (void *)count);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    get_quiet();
}

static void vfork_and_exec(void)
{
    start_programs(by_vfork);
}

static void spawned(void)
{
    start_programs(by_spawn);
}

MAIN(CASE(ten_thousand), CASE(several_fork_at_once), CASE(generations), CASE(handlers_allocate),
     CASE(in_a_handler), CASE(on_from_a_handler), CASE(vfork_and_exec), CASE(spawned))
