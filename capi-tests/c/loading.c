// The library loaded at run time into a program that uses glibc's allocator:
// only functions looked up in the library are its own.

#include "case.h"

static void *(*own_malloc)(size_t);
static void *(*own_calloc)(size_t, size_t);
static void *(*own_realloc)(void *, size_t);
static void *(*own_memalign)(size_t, size_t);
static void (*own_free)(void *);
static size_t (*own_usable)(void *);
static size_t (*own_good_size)(size_t);
static int (*own_trim)(size_t);
static struct mallinfo2 (*own_info)(void);

static void *look_up(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    CHECK(found != NULL, "%s: %s", name, dlerror());
    return found;
}

static void *load(int flags)
{
    void *handle = dlopen(getenv("STRATA"), flags);
    CHECK(handle != NULL, "%s", dlerror());
    own_malloc = look_up(handle, "malloc");
    own_calloc = look_up(handle, "calloc");
    own_realloc = look_up(handle, "realloc");
    own_memalign = look_up(handle, "memalign");
    own_free = look_up(handle, "free");
    own_usable = look_up(handle, "malloc_usable_size");
    own_good_size = look_up(handle, "malloc_good_size");
    own_trim = look_up(handle, "malloc_trim");
    own_info = look_up(handle, "mallinfo2");
    CHECK(own_malloc != malloc && own_free != free, "malloc or free is glibc's");
    return handle;
}

static void exercise(void)
{
    static const size_t sizes[] = {0, 1, 40, 500, 3000, 20000, 100000, 700000, 2 * MIB, 9 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    char *blocks[2 * COUNT];
    for (size_t i = 0; i < 2 * COUNT; i++) {
        size_t n = sizes[i / 2];
        blocks[i] = i % 4 == 0   ? own_malloc(n)
                    : i % 4 == 1 ? own_calloc(n, 1)
                    : i % 4 == 2 ? own_memalign(128, n)
                                 : own_realloc(NULL, n);
        CHECK(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0, "%zu", n);
        CHECK(i % 4 == 2 || own_usable(blocks[i]) == own_good_size(n), "%zu", n);
        fill(blocks[i], n < 5000 ? n : 5000, i);
    }
    for (size_t i = 0; i < 2 * COUNT; i++) {
        size_t n = sizes[i / 2];
        CHECK(filled(blocks[i], n < 5000 ? n : 5000, i), "%zu", n);
        blocks[i] = own_realloc(blocks[i], n + 1000);
        CHECK(blocks[i] != NULL && filled(blocks[i], n < 5000 ? n / 8 * 8 : 5000, i), "%zu", n);
        own_free(blocks[i]);
    }
}

static void *exercise_in_thread(void *argument)
{
    exercise();
    return argument;
}

static void in_use(int flags)
{
    load(flags);
    exercise();
    for (int i = 0; i < 100; i++)
        join(start(exercise_in_thread, NULL));
    CHECK(own_info().arena > 0, "mapped");
    // Both allocators work side by side.
    void *theirs[100], *own[100];
    for (size_t i = 0; i < 100; i++) {
        theirs[i] = malloc(i * 100);
        own[i] = own_malloc(i * 100);
        fill(theirs[i], i * 100, i);
        fill(own[i], i * 100, i + 1);
    }
    for (size_t i = 0; i < 100; i++) {
        CHECK(filled(theirs[i], i * 100, i) && filled(own[i], i * 100, i + 1), "%zu", i);
        free(theirs[i]);
        own_free(own[i]);
    }
    own_trim(0);
}

static void local(void) { in_use(RTLD_NOW | RTLD_LOCAL); }
static void global(void) { in_use(RTLD_NOW | RTLD_GLOBAL); }
static void deeply_bound(void) { in_use(RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND); }
static void lazy(void) { in_use(RTLD_LAZY | RTLD_LOCAL); }

static size_t live_in_glibc(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

// Blocks from glibc that are passed to the library's functions are handled by
// glibc.
static void pass_glibcs_blocks(int flags)
{
    void *handle = load(flags);
    size_t sizes[] = {1, 100, 5000, 100000, 3 * MIB};
    void (*own_free_sized)(void *, size_t) = look_up(handle, "free_sized");
    for (int round = 0; round < 3; round++) {
        size_t before = live_in_glibc();
        for (int i = 0; i < 5; i++) {
            size_t n = sizes[i];
            char *p = malloc(n), *q = malloc(n), *r = malloc(n), *s = malloc(n);
            CHECK(p && q && r && s, "%zu", n);
            CHECK(n < 5000 || live_in_glibc() >= before + 4 * n, "%zu", n);
            fill(p, n, 1);
            errno = 4242;
            CHECK(own_usable(p) == malloc_usable_size(p), "%zu", n);
            p = own_realloc(p, 2 * n);
            CHECK(p != NULL && filled(p, n / 8 * 8, 1), "%zu", n);
            // The block still belongs to glibc, which can free it.
            size_t usable = malloc_usable_size(p);
            CHECK(usable >= 2 * n && own_usable(p) == usable, "%zu", n);
            free(p);
            own_free(q);
            own_free_sized(r, n);
            CHECK(own_realloc(s, 0) == NULL, "%zu", n);
            CHECK(errno == 4242, "%zu: errno %d", n, errno);
        }
        size_t after = live_in_glibc();
        // (Small ones stay in the thread's cache and count as live.)
        CHECK(after < before + 4000, "%zu, then %zu live", before, after);
    }
}

static void glibcs_blocks(void) { pass_glibcs_blocks(RTLD_NOW | RTLD_LOCAL); }
static void glibcs_blocks_global(void) { pass_glibcs_blocks(RTLD_NOW | RTLD_GLOBAL); }
static void glibcs_blocks_deeply_bound(void) { pass_glibcs_blocks(RTLD_NOW | RTLD_DEEPBIND); }

// The C library's own allocations come from glibc.
static void blocks_of_the_c_library(void)
{
    load(RTLD_NOW | RTLD_GLOBAL);
    char *text = strdup("some text");
    CHECK(text != NULL && own_usable(text) == malloc_usable_size(text), "%s", text);
    own_free(text);
    char *line = NULL;
    CHECK(asprintf(&line, "%d", 12345) == 5, "%s", line);
    line = own_realloc(line, 100);
    CHECK(strcmp(line, "12345") == 0, "%s", line);
    own_free(line);
}

// Threads that started before the library was loaded.
static pthread_barrier_t loaded, gone;

static void *older(void *argument)
{
    free(malloc(1000));
    pthread_barrier_wait(&loaded);
    for (int i = 0; i < 20; i++)
        exercise();
    pthread_barrier_wait(&gone);
    return argument;
}

static void older_threads(void)
{
    pthread_t threads[8];
    pthread_barrier_init(&loaded, NULL, 9);
    pthread_barrier_init(&gone, NULL, 9);
    for (int i = 0; i < 8; i++)
        threads[i] = start(older, NULL);
    void *handle = load(RTLD_NOW | RTLD_LOCAL);
    pthread_barrier_wait(&loaded);
    pthread_barrier_wait(&gone);
    CHECK(dlclose(handle) == 0, "%s", dlerror());
    for (int i = 0; i < 8; i++)
        join(threads[i]);
}

// The library stays loaded when it is closed, and its blocks stay valid.
static void *use_and_wait(void *argument)
{
    exercise();
    char *p = own_malloc(1000);
    fill(p, 1000, 7);
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    CHECK(filled(p, 1000, 7), "%p", (void *)p);
    own_free(p);
    return NULL;
}

static void closed(void)
{
    for (int round = 0; round < 20; round++) {
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 2);
        void *handle = load(RTLD_NOW | RTLD_LOCAL);
        char *p = own_malloc(5000);
        fill(p, 5000, 3);
        pthread_t thread = start(use_and_wait, &barrier);
        pthread_barrier_wait(&barrier);
        CHECK(dlclose(handle) == 0, "%s", dlerror());
        pthread_barrier_wait(&barrier);
        join(thread);
        CHECK(filled(p, 5000, 3), "%p", (void *)p);
        own_free(p);
        exercise();
    }
}

// Libraries with thread-local variables, loaded before.
static void many_with(const char *variable)
{
    const char *folder = getenv(variable);
    char path[PATH_MAX];
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "%s/%d.so", folder, i);
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(handle != NULL, "%s", dlerror());
        char *(*own_variable)(void) = dlsym(handle, "own_variable");
        CHECK(own_variable != NULL, "%s", dlerror());
        own_variable()[0] = (char)i;
    }
    in_use(RTLD_NOW | RTLD_LOCAL);
}

static void after_thread_variables(void) { many_with("DYNAMIC"); }
static void after_static_variables(void) { many_with("STATIC"); }

// All thread-specific keys of the process are in use.
static void no_keys(void)
{
    pthread_key_t key;
    int keys = 0;
    while (pthread_key_create(&key, NULL) == 0)
        keys++;
    CHECK(keys >= 1000, "%d", keys);
    load(RTLD_NOW | RTLD_LOCAL);
    size_t before = 0, count = 3000;
    for (size_t i = 0; i < count; i++) {
        if (i == 100)
            before = resident();
        join(start(exercise_in_thread, NULL));
    }
    size_t after = resident();
    CHECK(after < before + count * 64 * KIB, "%zu, then %zu resident", before, after);
}

// A child of a fork after the library was loaded.
static void then_forked(void)
{
    load(RTLD_NOW | RTLD_LOCAL);
    exercise();
    char *p = own_malloc(1000), *q = malloc(1000);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "%d", errno);
        if (pid == 0) {
            alarm(30);
            exercise();
            own_free(p);
            own_free(q);
            join(start(exercise_in_thread, NULL));
            _exit(0);
        }
        wait_for(pid, "child");
    }
}

MAIN(CASE(local), CASE(global), CASE(deeply_bound), CASE(lazy), CASE(glibcs_blocks),
     CASE(glibcs_blocks_global), CASE(glibcs_blocks_deeply_bound), CASE(blocks_of_the_c_library),
     CASE(older_threads), CASE(closed), CASE(after_thread_variables),
     CASE(after_static_variables), CASE(no_keys), CASE(then_forked))
