// How much stack the functions need, and programs that have little of it. What a call
// changes on a painted stack is what it needs.

#include "case.h"

#include <sys/auxv.h>
#include <ucontext.h>

#define PAINT 0xa5c396e15a3c691eu

enum {
    // Bytes of stack for any call after the first one of its thread.
    EACH = 2 * KIB,
    // Bytes of stack for a first call, the end of a thread, and the child of a fork.
    FIRST = 4 * KIB,
    STACK = 256 * KIB,
    GUARD = 64 * KIB,
};

// A painted stack of `bytes`, with a guard below.
static uint64_t *painted(size_t bytes)
{
    char *all = mmap(NULL, GUARD + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    CHECK(all != MAP_FAILED && mprotect(all, GUARD, PROT_NONE) == 0, "%d", errno);
    uint64_t *bottom = (uint64_t *)(all + GUARD);
    for (size_t i = 0; i < bytes / 8; i++)
        bottom[i] = PAINT;
    return bottom;
}

// Bytes of a painted stack from the lowest changed one to `top`.
static size_t used(const uint64_t *bottom, const void *top)
{
    const uint64_t *at = bottom;
    while ((const void *)at < top && *at == PAINT)
        at++;
    return (const char *)top - (const char *)at;
}

// Runs a function on a stack.
static void run_on(void *bottom, size_t bytes, void (*f)(void))
{
    static ucontext_t here, there;
    getcontext(&there);
    there.uc_stack.ss_sp = bottom;
    there.uc_stack.ss_size = bytes;
    there.uc_link = &here;
    makecontext(&there, f, 0);
    CHECK(swapcontext(&here, &there) == 0, "%d", errno);
}

static void nothing(void)
{
}

static void check(const char *what, size_t bound, void (*f)(void))
{
    uint64_t *empty = painted(STACK), *bottom = painted(STACK);
    run_on(empty, STACK, nothing);
    run_on(bottom, STACK, f);
    size_t least = used(empty, empty + STACK / 8);
    size_t most = used(bottom, bottom + STACK / 8) - least;
    CHECK(most <= bound, "%s: %zu bytes of stack, more than %zu", what, most, bound);
    munmap((char *)empty - GUARD, GUARD + STACK);
    munmap((char *)bottom - GUARD, GUARD + STACK);
}

enum { COUNT = 20000 };
static void *blocks[COUNT];

static void fill_all(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        *(volatile char *)blocks[i] = 1;
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void all_sizes(void)
{
    for (size_t size = 1; size < 8 * MIB; size += size / 3 + 1) {
        size_t count = 8 * MIB / size;
        fill_all(count < 3000 ? count : 3000, size);
        free_all();
    }
}

static void all_functions(void)
{
    for (size_t size = 1; size < 8 * MIB; size *= 3) {
        free(calloc(1, size));
        free(aligned_alloc(64, size));
        free(aligned_alloc(8192, size));
        void *block;
        if (posix_memalign(&block, MIB, size) == 0)
            free(block);
        block = malloc(size);
        block = realloc(block, size * 2);
        block = realloc(block, size * 40);
        block = realloc(block, size);
        free(block);
    }
}

// Slow enough for every look at the files of the container.
static void grow(void)
{
    for (size_t i = 0; i < 40; i++) {
        blocks[i] = malloc(20 * MIB);
        usleep(11000);
    }
    free_all();
}

static void paths(void)
{
    free(malloc(1));
    check("all sizes", EACH, all_sizes);
    check("all functions", EACH, all_functions);
    check("growth", EACH, grow);
    check("all sizes again", EACH, all_sizes);
}

static void *fill_in_thread(void *argument)
{
    (void)argument;
    fill_all(COUNT, 64);
    return NULL;
}

static void remote_frees(void)
{
    free(malloc(1));
    join(start(fill_in_thread, NULL));
    check("remote frees", EACH, free_all);
}

// One of these frees makes the thread a cache.
static void *free_in_thread(void *argument)
{
    free(argument);
    check("frees of a thread that only frees", EACH, free_all);
    return NULL;
}

static void threads_that_only_free(void)
{
    for (size_t size = 16; size <= 3000; size = size * 2 + 7) {
        fill_all(COUNT, size);
        join(start(free_in_thread, malloc(1)));
    }
}

static void *first_call(void *argument)
{
    check("the first call of a thread", FIRST, all_functions);
    return argument;
}

static void first_calls_of_threads(void)
{
    for (int i = 0; i < 4; i++)
        join(start(first_call, NULL));
}

static const char *mark;

static void *work(void *argument)
{
    char local;
    run_on(argument, STACK, all_functions);
    run_on(argument, STACK, all_sizes);
    mark = opaque(&local);
    return NULL;
}

// The thread's function has little below its mark: the rest is what runs after it.
static void ends_of_threads(void)
{
    uint64_t *bottom = painted(STACK);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, bottom, STACK) == 0, "%d", errno);
    pthread_t thread;
    CHECK(pthread_create(&thread, &attributes, work, painted(STACK)) == 0, "%d", errno);
    join(thread);
    size_t most = used(bottom, mark);
    CHECK(most <= FIRST, "%zu bytes of stack", most);
}

static pid_t child;

static void fork_and_go_on(void)
{
    child = fork();
    if (child == 0) {
        all_functions();
        all_sizes();
    }
}

static void forked(void)
{
    free(malloc(1));
    check("a fork, and its child", FIRST, fork_and_go_on);
    if (child == 0)
        _exit(0);
    wait_for(child, "child");
}

static bool done;

// What a coroutine does with its blocks.
static void coroutine(void)
{
    for (int i = 0; i < 5000; i++)
        blocks[i] = malloc(1 + i * 7 % 5000);
    for (int i = 0; i < 5000; i++)
        blocks[i] = realloc(blocks[i], 1 + i * 31 % 90000);
    free_all();
    free(malloc(3 * MIB));
    free(aligned_alloc(64 * KIB, MIB));
    grow();
    done = true;
}

// The thread has called the allocator before.
static void fibers_of_4_kib(void)
{
    free(malloc(1));
    run_on(painted(4 * KIB), 4 * KIB, coroutine);
    CHECK(done, "it stopped");
}

static void *run_coroutine(void *argument)
{
    run_on(argument, 8 * KIB, coroutine);
    return NULL;
}

// The coroutine's call is the thread's first.
static void fibers_of_8_kib(void)
{
    run_coroutine(painted(8 * KIB));
    CHECK(done, "it stopped");
    done = false;
    join(start(run_coroutine, painted(8 * KIB)));
    CHECK(done, "it stopped");
}

static void *work_on_little(void *argument)
{
    coroutine();
    return argument;
}

static void threads_with_least_stacks(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0, "%d", errno);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        done = false;
        CHECK(pthread_create(&thread, &attributes, work_on_little, NULL) == 0, "%d", errno);
        join(thread);
        CHECK(done, "it stopped");
    }
}

static void on_signal(int signal)
{
    (void)signal;
    all_functions();
    free_all();
    done = true;
}

// Signal handlers on as much stack as the kernel's frame needs, and MINSIGSTKSZ.
static void handlers_with_little_stack(void)
{
    free(malloc(1));
    size_t frame = getauxval(AT_MINSIGSTKSZ);
    stack_t stack = {.ss_size = (frame != 0 ? frame : 2048) + 2048 + 512};
    stack.ss_sp = (char *)painted(8 * KIB) + 8 * KIB - stack.ss_size;
    CHECK(sigaltstack(&stack, NULL) == 0, "%d", errno);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    CHECK(done, "it stopped");
}

// By hand, with options.

static void excess(void)
{
    fill_all(COUNT, 3000);
    free_all();
    fill_all(600, 100000);
    free_all();
}

static void without_helper(void)
{
    free(malloc(1));
    check("excess", EACH, excess);
}

static void leave(void)
{
    exit(0);
}

// Prints its reports at the end.
static void exits_on_4_kib(void)
{
    all_sizes();
    puts("ok");
    fflush(stdout);
    run_on(painted(4 * KIB), 4 * KIB, leave);
}

static uint64_t *last;

static void on_abort(int signal)
{
    (void)signal;
    size_t most = used(last, last + STACK / 8);
    CHECK(most <= FIRST, "%zu bytes of stack", most);
    puts("ok");
    fflush(stdout);
    _exit(0);
}

static void free_foreign(void)
{
    free(opaque(&done));
}

// The report of a pointer that is not from here, and the abort up to its signal. Before,
// the dynamic linker looks for another allocator that the pointer may be from.
static void misuse(void)
{
    free(malloc(1));
    stack_t stack = {.ss_sp = painted(STACK), .ss_size = STACK};
    CHECK(sigaltstack(&stack, NULL) == 0, "%d", errno);
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_ONSTACK};
    sigaction(SIGABRT, &action, NULL);
    last = painted(STACK);
    run_on(last, STACK, free_foreign);
}

MAIN(CASE(paths), CASE(remote_frees), CASE(threads_that_only_free), CASE(first_calls_of_threads),
     CASE(ends_of_threads), CASE(forked), CASE(fibers_of_4_kib), CASE(fibers_of_8_kib),
     CASE(threads_with_least_stacks), CASE(handlers_with_little_stack), CASE(without_helper),
     CASE(exits_on_4_kib), CASE(misuse))
