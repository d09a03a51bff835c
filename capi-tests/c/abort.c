// Misuse ends in SIGABRT, raised where the allocator holds no lock: a handler may
// allocate, fork, or jump back into the program, which goes on.

#include "case.h"
#include <setjmp.h>

static _Thread_local sigjmp_buf back;
static volatile bool jumped;

// Allocates and frees blocks of all kinds, and checks their contents.
static void work(int rounds)
{
    static char *blocks[512];
    static size_t sizes[512];
    static uint64_t state = 88172645463325252u;
    for (int i = 0; i < rounds; i++) {
        size_t at = below(&state, 512);
        if (blocks[at] != NULL) {
            CHECK(filled(blocks[at], sizes[at], at), "%zu bytes", sizes[at]);
            free(blocks[at]);
            blocks[at] = NULL;
            continue;
        }
        sizes[at] = i % 512 == 0 ? 2 * MIB : any_size(&state, i % 64 == 0 ? 17 : 11);
        blocks[at] = malloc(sizes[at]);
        CHECK(blocks[at] != NULL, "%zu bytes", sizes[at]);
        fill(blocks[at], sizes[at], at);
    }
}

static void *work_in_thread(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2000; i++)
        free(malloc(1 + (size_t)i * 37 % 40000));
    return NULL;
}

static void allocates(int signal)
{
    (void)signal;
    for (size_t i = 0; i < 3000; i++) {
        char *p = malloc(1 + i * 37 % 100000);
        CHECK(p != NULL, "%zu", i);
        p[0] = 1;
        free(p);
    }
    _exit(0);
}

static void jumps(int signal)
{
    (void)signal;
    for (size_t i = 0; i < 3000; i++)
        free(malloc(1 + i * 37 % 100000));
    jumped = true;
    siglongjmp(back, 1);
}

static void forks(int signal)
{
    (void)signal;
    pid_t pid = fork();
    CHECK(pid >= 0, "%d", errno);
    if (pid == 0) {
        work(20000);
        join(start(work_in_thread, NULL));
        _exit(0);
    }
    wait_for(pid, "the child of the handler");
    work(20000);
    _exit(0);
}

static void *free_one(void *p)
{
    if (sigsetjmp(back, 1) == 0)
        free(opaque(p));
    return NULL;
}

// Frees enough blocks of a size that its magazine is flushed.
static void flush(size_t n)
{
    enum { MANY = 20000 };
    static void *blocks[MANY];
    for (int i = 0; i < MANY; i++)
        blocks[i] = malloc(n);
    for (int i = 0; i < MANY; i++)
        free(blocks[i]);
}

// The kinds of misuse. Each is found at once, or when magazines are flushed.

static void small_twice(void)
{
    // A second block keeps the span in use.
    char *p = malloc(100), *keeps = malloc(100);
    free(p);
    free(opaque(p));
    flush(100);
    free(keeps);
}

static void small_twice_in_threads(void)
{
    char *p = malloc(100), *keeps = malloc(100);
    join(start(free_one, p));
    join(start(free_one, p));
    flush(100);
    free(keeps);
}

// Flushed as a run of neighbours, one of which is free already.
static void small_in_a_run(void)
{
    static char *blocks[2000];
    for (int i = 0; i < 2000; i++)
        blocks[i] = malloc(64);
    join(start(free_one, blocks[1000]));
    for (int i = 0; i < 2000; i++)
        free(opaque(blocks[i]));
    flush(64);
}

static void span_gone(void)
{
    static char *blocks[5000];
    for (int i = 0; i < 5000; i++)
        blocks[i] = malloc(1000);
    char *p = blocks[2500];
    for (int i = 0; i < 5000; i++)
        free(blocks[i]);
    malloc_trim(0);
    join(start(free_one, p));
    flush(1000);
}

static void small_interior(void)
{
    char *p = malloc(100);
    free(opaque(p + 16));
    flush(100);
}

static void small_interior_in_a_thread(void)
{
    char *p = malloc(100);
    join(start(free_one, p + 16));
    flush(100);
}

static void medium_twice(void)
{
    char *p = malloc(200000), *keeps = malloc(200000);
    free(p);
    free(opaque(p));
    free(keeps);
}

static void medium_gone(void)
{
    char *p = malloc(200000);
    free(p);
    malloc_trim(0);
    free(opaque(p));
}

static void medium_interior(void) { free(opaque((char *)malloc(200000) + 4096)); }

static void medium_interior_resized(void)
{
    char *p = malloc(200000);
    CHECK(realloc(opaque(p + 4096), 300000) == NULL, "%p", (void *)p);
}

static void huge_twice(void)
{
    char *p = malloc(5 * MIB);
    free(p);
    free(opaque(p));
}

static void huge_interior(void) { free(opaque((char *)malloc(5 * MIB) + 64)); }

static void huge_interior_resized(void)
{
    char *p = malloc(5 * MIB);
    CHECK(realloc(opaque(p + 64), 9 * MIB) == NULL, "%p", (void *)p);
}

static void foreign(void)
{
    char local[64];
    free(opaque(local + 16));
}

static void wrong_size(void)
{
    ((void (*)(void *, size_t))function("free_sized"))(malloc(100), 5000);
}

static void wrong_size_of_medium(void)
{
    ((void (*)(void *, size_t))function("free_sized"))(malloc(200000), 50000);
}

static void (*const kinds[])(void) = {
    small_twice,     small_twice_in_threads, small_in_a_run,
    span_gone,       small_interior,         small_interior_in_a_thread,
    medium_twice,    medium_gone,            medium_interior,
    medium_interior_resized, huge_twice,     huge_interior,
    huge_interior_resized,   foreign,        wrong_size,
    wrong_size_of_medium,
};
#define KINDS (sizeof kinds / sizeof kinds[0])

// In a child: commits a misuse whose SIGABRT `handler` handles.
static void commit(void (*kind)(void), void (*handler)(int))
{
    alarm(60);
    CHECK(freopen("/dev/null", "w", stderr) != NULL, "%d", errno);
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGABRT, &action, NULL) == 0, "%d", errno);
    work(2000);
    if (sigsetjmp(back, 1) == 0) {
        kind();
        if (!jumped)
            _exit(9);
    }
    work(100000);
    // The locks are free for other threads, too.
    join(start(work_in_thread, NULL));
    malloc_trim(0);
    work(1000);
    _exit(0);
}

static void handled(void (*handler)(int))
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "%d", errno);
        if (pid == 0)
            commit(kinds[kind], handler);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
        CHECK(status == 0, "kind %zu: status %x", kind, status);
    }
}

static void handler_allocates(void) { handled(allocates); }
static void handler_jumps(void) { handled(jumps); }
static void handler_forks(void) { handled(forks); }

MAIN(CASE(handler_allocates), CASE(handler_jumps), CASE(handler_forks))
