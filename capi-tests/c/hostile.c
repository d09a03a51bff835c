// Calls at unusual times and places.

#include "exercise.h"

// Before any library is initialized.

static char *early;
static int before_count, after_count;

static void before_fork(void)
{
    exercise();
    before_count++;
}

static void after_fork(void)
{
    exercise();
    after_count++;
}

// Registers fork handlers before the allocator does, or takes all keys before
// it takes its own.
static void preinit(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc < 2)
        return;
    exercise();
    early = malloc(12345);
    fill(early, 12345, 1);
    if (strcmp(argv[1], "handlers_registered_first") == 0)
        pthread_atfork(before_fork, after_fork, after_fork);
    if (strcmp(argv[1], "keys_taken_first") == 0) {
        pthread_key_t key;
        while (pthread_key_create(&key, free) == 0)
            continue;
    }
    if (strcmp(argv[1], "threads_first") == 0)
        for (int i = 0; i < 10; i++)
            join(start(exercise_in_thread, NULL));
    if (strcmp(argv[1], "forked_first") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            exercise();
            join(start(exercise_in_thread, NULL));
            _exit(0);
        }
        wait_for(pid, "child before main");
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **,
                                                                            char **) = preinit;

static char *constructed;

__attribute__((constructor(101))) static void construct(void)
{
    exercise();
    constructed = malloc(2 * MIB);
    fill(constructed, 1000, 2);
}

__attribute__((destructor(101))) static void destruct(void)
{
    free(constructed);
    exercise();
}

static void before_main(void)
{
    CHECK(filled(early, 12345, 1) && filled(constructed, 1000, 2), "%p, %p", (void *)early,
          (void *)constructed);
    early = realloc(early, 50000);
    CHECK(early != NULL && filled(early, 12344, 1), "%p", (void *)early);
    free(early);
    exercise();
}

static void keys_taken_first(void)
{
    pthread_key_t key;
    CHECK(pthread_key_create(&key, NULL) == EAGAIN, "a key is left");
    before_main();
    // (glibc's own is slow here.)
    size_t before = 0, count = ours ? 2000 : 100;
    for (size_t i = 0; i < count; i++) {
        if (i == count / 20)
            before = resident();
        join(start(exercise_in_thread, NULL));
    }
    size_t after = resident();
    CHECK(after < before + count * 64 * KIB, "%zu, then %zu resident", before, after);
}

static void threads_first(void)
{
    before_main();
    for (int i = 0; i < 10; i++)
        join(start(exercise_in_thread, NULL));
}

static void forked_first(void)
{
    threads_first();
}

static void *exercise_on(void *stop)
{
    while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
        exercise();
    return NULL;
}

static void handlers_registered_first(void)
{
    bool stop = false;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        threads[i] = start(exercise_on, &stop);
    int count = ours ? 50 : 10;
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "%d", errno);
        if (pid == 0) {
            alarm(30);
            exercise();
            join(start(exercise_in_thread, NULL));
            _exit(0);
        }
        wait_for(pid, "child");
    }
    CHECK(before_count == count && after_count == count, "%d, %d", before_count, after_count);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        join(threads[i]);
}

// While libraries are loaded and symbols looked up.

static void *load_and_close(void *path)
{
    for (int i = 0; i < 100; i++) {
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(handle != NULL, "%s", dlerror());
        int *ran = dlsym(handle, "constructors_ran");
        CHECK(ran != NULL && *ran == 1, "%p", (void *)ran);
        CHECK(dlsym(handle, "no_such_name") == NULL && dlerror() != NULL, "unknown name");
        CHECK(dlopen("/no/such/library", RTLD_NOW) == NULL && dlerror() != NULL, "unknown library");
        exercise();
        CHECK(dlclose(handle) == 0, "%s", dlerror());
    }
    return NULL;
}

static void loading_libraries(void)
{
    char *path = getenv("NEIGHBOUR");
    CHECK(path != NULL, "NEIGHBOUR");
    load_and_close(path);
}

static void *use_library(void *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL, "%s", dlerror());
    CHECK(dlsym(handle, "no_such_name") == NULL && dlerror() != NULL, "unknown name");
    exercise();
    CHECK(dlclose(handle) == 0, "%s", dlerror());
    return NULL;
}

static void loading_in_threads(void)
{
    char *path = getenv("NEIGHBOUR");
    for (int round = 0; round < (ours ? 50 : 10); round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            threads[i] = start(use_library, path);
        for (int i = 0; i < 4; i++)
            join(threads[i]);
    }
}

// A library with a C++ runtime that only it can see.
static void plugin_throws(void)
{
    void *handle = dlopen(getenv("PLUGIN"), RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL, "%s", dlerror());
    int (*caught)(size_t) = dlsym(handle, "caught");
    CHECK(caught != NULL, "%s", dlerror());
    CHECK(caught(SIZE_MAX / 2 + 1) == 3, "%d", caught(SIZE_MAX / 2 + 1));
    CHECK(caught(100) == 0, "%d", caught(100));
    CHECK(dlclose(handle) == 0, "%s", dlerror());
}

// With few resources.

static void *on_a_small_stack(void *argument)
{
    exercise();
    malloc_trim(0);
    mallinfo2();
    FILE *out = argument;
    CHECK(malloc_info(0, out) == 0, "%d", errno);
    exercise();
    return NULL;
}

static void small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0, "%d", errno);
    FILE *out = fopen("/dev/null", "w");
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, on_a_small_stack, out) == 0, "%d", i);
        join(thread);
    }
    fclose(out);
}

static void no_descriptors(void)
{
    struct rlimit none = {3, 3};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0, "%d", errno);
    exercise();
    for (int i = 0; i < 20; i++)
        join(start(exercise_in_thread, NULL));
    malloc_trim(0);
    CHECK(mallinfo2().arena > 0, "mapped");
}

static void closed_descriptors(void)
{
    for (int fd = 0; fd < 100; fd++)
        if (fd != 1 && fd != 2)
            close(fd);
    exercise();
    for (int i = 0; i < 20; i++)
        join(start(exercise_in_thread, NULL));
    // Descriptors belong to the program.
    for (int fd = 3; fd < 100; fd++)
        CHECK(fcntl(fd, F_GETFD) == -1, "%d is open", fd);
}

static void no_environment(void)
{
    clearenv();
    exercise();
    join(start(exercise_in_thread, NULL));
}

MAIN(CASE(before_main), CASE(keys_taken_first), CASE(threads_first), CASE(forked_first),
     CASE(handlers_registered_first), CASE(loading_libraries),
     CASE(loading_in_threads), CASE(plugin_throws), CASE(small_stacks), CASE(no_descriptors),
     CASE(closed_descriptors), CASE(no_environment))
