// Signal handlers that allocate and free while malloc and free run.

#include "case.h"

enum { BLOCKS = 256 };

struct block {
    char *p;
    size_t size;
};

// Allocates or frees the block of a place; checks its contents.
static void turn(struct block *blocks, size_t at, size_t size)
{
    struct block *block = &blocks[at];
    if (block->p != NULL) {
        CHECK(filled(block->p, block->size, at), "a block of %zu bytes was written to",
              block->size);
        free(block->p);
        block->p = NULL;
        return;
    }
    block->size = size;
    block->p = malloc(size);
    CHECK(block->p != NULL, "%zu bytes", size);
    fill(block->p, size, at);
}

static void free_all(struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (blocks[i].p != NULL)
            turn(blocks, i, 0);
}

#if defined __x86_64__

#include "stepping.h"

static volatile size_t handled;
static volatile size_t own_size;

// Uses `count` blocks of a size that nobody else uses, newest freed first.
static void use(size_t size, int count)
{
    char *blocks[3];
    for (int i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        if (blocks[i] == NULL) {
            // Addresses cannot be had while the interrupted code takes some.
            CHECK(size > MIB, "no block of %zu bytes for a handler", size);
            count = i;
            break;
        }
        memset(blocks[i], 0xee, size);
        for (int j = 0; j < i; j++)
            CHECK(blocks[j] != blocks[i], "%p twice", (void *)blocks[i]);
    }
    for (int i = count; i-- > 0;)
        free(blocks[i]);
}

static void uses_one_block(int signal)
{
    (void)signal;
    handled++;
    use(own_size, 1);
}

// Instructions since the call that is stepped through began. The first ones are the fast
// path's.
static volatile size_t steps;
enum { FAST = 80 };

// In a slow path: uses blocks whose magazines are empty or full, and larger ones.
static void uses_all_kinds(int signal)
{
    (void)signal;
    static const size_t sizes[] = {16, 100, 300, 700, 1500, 3000, 9000, 20000, 70000, 2 * MIB};
    handled++;
    if (++steps <= FAST)
        return;
    size_t size = sizes[handled % (handled % 50 == 0 ? 10 : 9)];
    use(size, 1 + (int)(handled % 3));
}

static void uses_three_blocks(int signal)
{
    (void)signal;
    handled++;
    // The same blocks come back in another order, and only the third time in the first.
    char *a = malloc(own_size), *b = malloc(own_size), *c = malloc(own_size);
    CHECK(a != b && b != c && c != a, "%p %p %p", (void *)a, (void *)b, (void *)c);
    memset(a, 0xee, own_size);
    memset(b, 0xee, own_size);
    memset(c, 0xee, own_size);
    free(a);
    free(c);
    free(b);
}

// The fast paths, of the class that the handler uses, too.
static void fast_paths(void)
{
    own_size = 200;
    struct block blocks[64] = {{0}};
    // Until the blocks of the size are the thread's own.
    for (int round = 0; round < 20; round++) {
        free_all(blocks, 64);
        for (size_t i = 0; i < 64; i++)
            turn(blocks, i, own_size);
    }
    free_all(blocks, 40);
    on_every_instruction(uses_three_blocks);
    uint64_t state = 1;
    for (int i = 0; i < 1000; i++) {
        size_t at = below(&state, 8);
        char *p = blocks[at].p;
        trace(true);
        if (p != NULL)
            free(p);
        else
            p = malloc(own_size);
        trace(false);
        CHECK(p != NULL, "%d", i);
        if (blocks[at].p != NULL) {
            blocks[at].p = NULL;
        } else {
            blocks[at] = (struct block){p, own_size};
            fill(p, own_size, at);
        }
        for (size_t j = 0; j < 64; j++)
            CHECK(blocks[j].p == NULL || filled(blocks[j].p, own_size, j), "block %zu, %d", j, i);
    }
    CHECK(handled > 10000, "%zu", handled);
    free_all(blocks, 64);
}

// Steps through `count` calls for blocks of these sizes, fast and slow paths.
static void stepped(size_t count, uint64_t seed, unsigned log, void (*handler)(int))
{
    static struct block blocks[BLOCKS];
    on_every_instruction(handler);
    handled = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = below(&seed, BLOCKS), size = any_size(&seed, log);
        // The handler's class is its own.
        if (size > 1280 && size <= 1792)
            size = 1280;
        struct block block = blocks[at];
        steps = 0;
        if (block.p != NULL)
            CHECK(filled(block.p, block.size, at), "a block of %zu bytes was written to",
                  block.size);
        trace(true);
        if (block.p != NULL)
            free(block.p);
        else
            block.p = malloc(size);
        trace(false);
        CHECK(block.p != NULL, "%zu bytes", size);
        if (blocks[at].p != NULL) {
            blocks[at].p = NULL;
        } else {
            blocks[at] = (struct block){block.p, size};
            fill(block.p, size, at);
        }
    }
    CHECK(handled > 100 * count, "%zu", handled);
    free_all(blocks, BLOCKS);
}

static void one_block_in_the_handler(void)
{
    own_size = 1500;
    stepped(200, 1, 11, uses_one_block);
}

static void small_blocks(void) { stepped(600, 2, 11, uses_all_kinds); }

static void large_blocks(void) { stepped(120, 3, 21, uses_all_kinds); }

static void *free_them(void *argument)
{
    struct block *blocks = argument;
    on_every_instruction(uses_all_kinds);
    for (size_t i = 0; i < BLOCKS; i++) {
        steps = 0;
        trace(true);
        free(blocks[i].p);
        trace(false);
    }
    return NULL;
}

// Blocks of another thread: the remote cache, and sending.
static void blocks_of_others(void)
{
    static struct block blocks[BLOCKS];
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i].p = malloc(700);
        join(start(free_them, blocks));
    }
    CHECK(handled > 20000, "%zu", handled);
}

static void use_each_kind(void)
{
    use(1500, 3);
    use(70000, 1);
    use(3 * MIB, 1);
}

// The handler of some signals forks. Returns whether this is the child.
static bool is_child(void)
{
    if (handled++ % 64 != 0)
        return false;
    pid_t pid = fork();
    CHECK(pid >= 0, "%d", errno);
    if (pid != 0)
        wait_for(pid, "the child of a handler");
    return pid == 0;
}

static void forks_then_allocates(int signal)
{
    (void)signal;
    if (!is_child())
        return;
    use_each_kind();
    _exit(0);
}

static void forks_then_exits(int signal)
{
    (void)signal;
    if (is_child())
        exit(0);
}

static void interrupted_by(void (*handler)(int))
{
    static struct block blocks[BLOCKS];
    uint64_t state = 6;
    use(1500, 3);
    use(70000, 1);
    on_every_instruction(handler);
    for (int i = 0; i < 1500; i++) {
        size_t at = below(&state, BLOCKS);
        char *p = blocks[at].p;
        trace(true);
        if (p != NULL)
            free(p);
        else
            p = malloc(i % 16 == 0 ? 100000 : 700);
        trace(false);
        blocks[at].p = blocks[at].p != NULL ? NULL : p;
    }
    CHECK(handled > 10000, "%zu", handled);
}

// A child of a handler allocates, whatever the handler interrupted.
static void forks_in_the_handler(void)
{
    interrupted_by(forks_then_allocates);
}

// The handler ends the process, whatever it interrupted, with handlers at the exit that
// allocate.
static void exits_in_the_handler(void)
{
    atexit(use_each_kind);
    interrupted_by(forks_then_exits);
}

#else

static void fast_paths(void) {}
static void small_blocks(void) {}
static void large_blocks(void) {}
static void one_block_in_the_handler(void) {}
static void blocks_of_others(void) {}
static void forks_in_the_handler(void) {}
static void exits_in_the_handler(void) {}

#endif

static volatile bool stop;
static size_t ticks;

static void on_tick(int signal)
{
    (void)signal;
    size_t n = 3100 + (__atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED) * 37) % 900;
    char *p = malloc(n);
    CHECK(p != NULL, "%zu", n);
    memset(p, 0xee, n);
    free(p);
}

static void *busy(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed * 7919 + 1;
    struct block blocks[BLOCKS] = {{0}};
    while (!stop) {
        size_t size = any_size(&state, 15);
        if (size > 3000 && size <= 4096)
            size = 3000;
        turn(blocks, below(&state, BLOCKS), size);
    }
    free_all(blocks, BLOCKS);
    return NULL;
}

// A profiler's timer, whose handler allocates, in four busy threads.
static void timer(void)
{
    signal(SIGPROF, on_tick);
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_PROF, &often, NULL);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        threads[i] = start(busy, (void *)i);
    struct timespec left = {2, 0};
    while (nanosleep(&left, &left) != 0)
        ;
    stop = true;
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    setitimer(ITIMER_PROF, &never, NULL);
    CHECK(ticks > 100, "%zu", ticks);
}

MAIN(CASE(fast_paths), CASE(small_blocks), CASE(large_blocks), CASE(one_block_in_the_handler),
     CASE(blocks_of_others), CASE(forks_in_the_handler),
     CASE(exits_in_the_handler), CASE(timer))
