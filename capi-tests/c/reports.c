// Reports on a signal, in a program that allocates; and of requests in hardened mode.

#include "exercise.h"

static void own(int signal)
{
    (void)signal;
}

static void expect_default(int signal)
{
    struct sigaction action;
    CHECK(sigaction(signal, NULL, &action) == 0, "%d", errno);
    CHECK(action.sa_handler == SIG_DFL, "signal %d", signal);
}

// Nothing is set that was not asked for.
static void untouched(void)
{
    expect_default(SIGTERM);
    expect_default(SIGUSR2);
}

static void asked(void)
{
    free(opaque(malloc(100)));
    CHECK(raise(SIGUSR2) == 0, "%d", errno);
    CHECK(kill(getpid(), SIGUSR2) == 0, "%d", errno);
}

// A system call that a report interrupts goes on.
static void goes_on(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "%d", errno);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 20; i++) {
            usleep(5000);
            kill(parent, SIGUSR2);
        }
        usleep(50000);
        _exit(write(ends[1], "x", 1) != 1);
    }
    char byte = 0;
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x', "%d", errno);
    wait_for(pid, "the child that signals");
}

static void terminated(void)
{
    free(opaque(malloc(100)));
    raise(SIGTERM);
    CHECK(false, "it goes on");
}

static void own_handler(void)
{
    signal(SIGTERM, own);
    signal(SIGUSR2, own);
    raise(SIGTERM);
    raise(SIGUSR2);
}

static volatile bool stop;

static void *busy(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed * 7919 + 1;
    char *blocks[64] = {NULL};
    while (!stop) {
        size_t at = below(&state, 64), size = 1 + any_size(&state, 21);
        if (blocks[at] != NULL) {
            free(blocks[at]);
            blocks[at] = NULL;
        } else {
            blocks[at] = malloc(size);
            CHECK(blocks[at] != NULL, "%zu", size);
            blocks[at][0] = blocks[at][size - 1] = 1;
        }
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

// A thousand signals to threads that allocate; and forks, whose children report and die.
static void storm(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        threads[i] = start(busy, (void *)i);
    for (int i = 0; i < 1000; i++) {
        pthread_kill(threads[i % 4], SIGUSR2);
        usleep(1000);
        if (i % 50 == 0) {
            pid_t pid = fork();
            if (pid == 0) {
                raise(SIGUSR2);
                free(opaque(malloc(5000)));
                raise(SIGTERM);
                _exit(1);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "%x", status);
        }
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        join(threads[i]);
}

#if defined __x86_64__

#include "stepping.h"

static volatile size_t handled;

static void report_now_and_then(int signal)
{
    (void)signal;
    // At most instructions of slow paths in the end, as these are many.
    if (++handled % 23 == 0)
        raise(SIGUSR2);
}

// Reports between the instructions of slow paths, under their locks.
static void in_slow_paths(void)
{
    static const size_t sizes[] = {24, 700, 5000, 20000, 70000, 300000, 2 * MIB, 5 * MIB};
    enum { KINDS = sizeof sizes / sizeof sizes[0], BLOCKS = 40 };
    on_every_instruction(report_now_and_then);
    uint64_t state = 3;
    char *blocks[BLOCKS] = {NULL};
    for (int i = 0; i < 250; i++) {
        size_t at = below(&state, BLOCKS), size = sizes[below(&state, KINDS)];
        char *p = blocks[at];
        if (p != NULL)
            CHECK(p[0] == 7, "%d", i);
        trace(true);
        if (p != NULL)
            free(p);
        else
            p = malloc(size);
        trace(false);
        CHECK(p != NULL, "%zu", size);
        if (blocks[at] == NULL)
            p[0] = p[size - 1] = 7;
        blocks[at] = blocks[at] == NULL ? p : NULL;
    }
    CHECK(handled > 20000, "%zu", handled);
}

#else

static void in_slow_paths(void) {}

#endif

// With a hard limit of 64 MiB: what was freed makes room.
static void held_back(void)
{
    for (int i = 0; i < 10; i++) {
        char *p = malloc(40 * MIB);
        CHECK(p != NULL, "%d", i);
        p[0] = 1;
        free(p);
    }
}

static void refused(void)
{
    char *p = opaque(malloc(40 * MIB));
    CHECK(p != NULL && malloc(30 * MIB) == NULL, "%d", errno);
    free(p);
}

MAIN(CASE(untouched), CASE(asked), CASE(goes_on), CASE(terminated), CASE(own_handler), CASE(storm),
     CASE(in_slow_paths), CASE(held_back), CASE(refused))
