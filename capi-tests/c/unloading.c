// A library with an allocator of its own (carrier.c) beside that of the process: it is
// loaded, used and unloaded.

#include "case.h"

static void *(*make)(size_t);
static void (*unmake)(void *);
static size_t (*live)(void);

static void *load(void)
{
    void *handle = dlopen(getenv("CARRIER"), RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL, "%s", dlerror());
    *(void **)&make = dlsym(handle, "carrier_make");
    *(void **)&unmake = dlsym(handle, "carrier_free");
    *(void **)&live = dlsym(handle, "carrier_live");
    CHECK(make && unmake && live, "%s", dlerror());
    return handle;
}

static void unload(void *handle)
{
    CHECK(dlclose(handle) == 0, "%s", dlerror());
    CHECK(dlopen(getenv("CARRIER"), RTLD_NOW | RTLD_NOLOAD) == NULL, "it is still there");
}

// Bytes of addresses of the process.
static size_t addresses(void)
{
    char text[128] = {0};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0, "/proc/self/statm: %d", errno);
    close(fd);
    return strtoul(text, NULL, 10) * 4096;
}

enum { BLOCKS = 100000, SIZE = 3000 };

// 300 MiB of either allocator, block by block in turn, and one after the other.
static void both_grow(void)
{
    static void *theirs[BLOCKS], *mine[BLOCKS];
    for (int round = 0; round < 2; round++) {
        void *handle = load();
        for (size_t i = 0; i < BLOCKS; i++) {
            CHECK((theirs[i] = make(SIZE)) != NULL, "block %zu", i);
            fill(theirs[i], SIZE, i);
            if (round == 0)
                fill(mine[i] = malloc(SIZE), SIZE, ~i);
        }
        for (size_t i = 0; round == 1 && i < BLOCKS; i++)
            fill(mine[i] = malloc(SIZE), SIZE, ~i);
        for (size_t i = 0; i < BLOCKS; i++) {
            CHECK(filled(theirs[i], SIZE, i) && filled(mine[i], SIZE, ~i), "block %zu", i);
            unmake(theirs[i]);
            free(mine[i]);
        }
        unload(handle);
    }
}

static pthread_barrier_t loaded, used;
static bool done;

// A thread that outlives the library, or many of them.
static void *user(void *argument)
{
    for (;;) {
        pthread_barrier_wait(&loaded);
        if (done)
            return argument;
        void *blocks[200];
        for (size_t i = 0; i < 200; i++)
            fill(blocks[i] = make(10 * i), 10 * i, i);
        for (size_t i = 0; i < 200; i++) {
            CHECK(filled(blocks[i], 10 * i, i), "%zu", i);
            unmake(blocks[i]);
        }
        pthread_barrier_wait(&used);
    }
}

enum { USERS = 4 };

static void use_once(void)
{
    void *handle = load();
    size_t before = live();
    pthread_barrier_wait(&loaded);
    pthread_barrier_wait(&used);
    CHECK(live() == before, "%zu, then %zu bytes", before, live());
    unload(handle);
}

static void start_users(pthread_t *users)
{
    pthread_barrier_init(&loaded, NULL, USERS + 1);
    pthread_barrier_init(&used, NULL, USERS + 1);
    for (int i = 0; i < USERS; i++)
        users[i] = start(user, NULL);
}

static void end_users(pthread_t *users)
{
    done = true;
    pthread_barrier_wait(&loaded);
    for (int i = 0; i < USERS; i++)
        join(users[i]);
}

// The library is loaded and unloaded a thousand times, and its users stay. Nothing of
// it is left each time.
static void a_thousand_times(void)
{
    pthread_t users[USERS];
    start_users(users);
    for (int i = 0; i < 20; i++)
        use_once();
    size_t before = addresses(), memory = resident();
    for (int i = 0; i < 1000; i++)
        use_once();
    CHECK(addresses() <= before + MIB, "%zu, then %zu bytes", before, addresses());
    CHECK(resident() <= memory + 4 * MIB, "%zu, then %zu bytes", memory, resident());
    end_users(users);
}

// What was freed just now waits to be returned when the library is unloaded.
static void while_much_is_free(void)
{
    pthread_t users[USERS];
    start_users(users);
    size_t before = addresses();
    for (int i = 0; i < 10; i++) {
        static void *blocks[BLOCKS / 10];
        void *handle = load();
        pthread_barrier_wait(&loaded);
        pthread_barrier_wait(&used);
        for (size_t k = 0; k < BLOCKS / 10; k++)
            fill(blocks[k] = make(SIZE), SIZE, k);
        for (size_t k = 0; k < BLOCKS / 10; k++)
            unmake(blocks[k]);
        usleep(i % 5 * 150000);
        unload(handle);
    }
    CHECK(addresses() <= before + MIB, "%zu, then %zu bytes", before, addresses());
    end_users(users);
}

// Users of the library fork and exit once it is gone, and so does the process.
static void then_forks(void)
{
    pthread_t users[USERS];
    start_users(users);
    use_once();
    pid_t pid = fork();
    if (pid == 0) {
        unload(load());
        exit(0);
    }
    wait_for(pid, "child");
    end_users(users);
}

// The process exits with the library loaded, in use.
static void *busy(void *argument)
{
    for (size_t i = 0;; i++)
        unmake(make(i % 5000));
    return argument;
}

static void exit_in_use(void)
{
    load();
    for (int i = 0; i < USERS; i++)
        start(busy, NULL);
    usleep(50000);
    puts("ok");
    exit(0);
}

MAIN(CASE(both_grow), CASE(a_thousand_times), CASE(while_much_is_free), CASE(then_forks),
     CASE(exit_in_use))
