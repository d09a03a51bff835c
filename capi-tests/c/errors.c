// Misuse: one line on standard error, and abort.

#include "case.h"

// Runs `act` in a child and collects its output. Returns whether it aborted.
static bool aborted(void (*act)(void *, size_t), void *p, size_t n, char *text, size_t size)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "%d", errno);
    pid_t pid = fork();
    CHECK(pid >= 0, "%d", errno);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        alarm(20);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        act(opaque(p), unknown(n));
        _exit(0);
    }
    close(ends[1]);
    size_t got = 0;
    ssize_t more;
    while ((more = read(ends[0], text + got, size - 1 - got)) > 0)
        got += (size_t)more;
    text[got] = 0;
    close(ends[0]);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
    CHECK(!WIFSIGNALED(status) || WTERMSIG(status) == SIGABRT, "signal %d: %s", WTERMSIG(status),
          text);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "exit %d: %s", WEXITSTATUS(status), text);
    return WIFSIGNALED(status);
}

static void dies(const char *what, void (*act)(void *, size_t), void *p, size_t n)
{
    char text[4096];
    bool died = aborted(act, p, n, text, sizeof text);
    CHECK(died, "%s of %p, %zu: not detected; %s", what, p, n, text);
    char *end = strchr(text, '\n');
    CHECK(strncmp(text, "strata: ", 8) == 0 && end != NULL && end[1] == 0, "%s of %p, %zu: %s",
          what, p, n, text);
}

static void lives(const char *what, void (*act)(void *, size_t), void *p, size_t n)
{
    char text[4096];
    bool died = aborted(act, p, n, text, sizeof text);
    CHECK(!died && text[0] == 0, "%s of %p, %zu: %s", what, p, n, text);
}

static void *sink;

static void do_free(void *p, size_t n) { (void)n; free(p); }
static void do_cfree(void *p, size_t n) { (void)n; ((void (*)(void *))function("cfree"))(p); }
static void do_usable(void *p, size_t n) { sink = (void *)(malloc_usable_size(p) + n); }
static void do_realloc(void *p, size_t n) { sink = realloc(p, n); }
static void do_array(void *p, size_t n) { sink = reallocarray(p, n, 1); }
static void do_delete(void *p, size_t n) { (void)n; ((void (*)(void *))function("_ZdlPv"))(p); }

static void do_sized(void *p, size_t n)
{
    ((void (*)(void *, size_t))function("free_sized"))(p, n);
}

static void do_sized_delete(void *p, size_t n)
{
    ((void (*)(void *, size_t))function("_ZdlPvm"))(p, n);
}

static void do_sized_delete_of_array(void *p, size_t n)
{
    ((void (*)(void *, size_t))function("_ZdaPvm"))(p, n);
}

static void do_sdallocx(void *p, size_t n)
{
    ((void (*)(void *, size_t, int))function("sdallocx"))(p, n, 0);
}

static void do_aligned_sized(void *p, size_t n)
{
    ((void (*)(void *, size_t, size_t))function("free_aligned_sized"))(p, 64, n);
}

static void do_aligned_delete(void *p, size_t n)
{
    ((void (*)(void *, size_t, size_t))function("_ZdlPvmSt11align_val_t"))(p, n, 64);
}

static void foreign(void *p)
{
    dies("free", do_free, p, 0);
    dies("cfree", do_cfree, p, 0);
    dies("delete", do_delete, p, 0);
    dies("malloc_usable_size", do_usable, p, 0);
    dies("realloc", do_realloc, p, 100);
    dies("realloc", do_realloc, p, 3 * MIB);
    dies("realloc to 0 bytes", do_realloc, p, 0);
    dies("reallocarray", do_array, p, 100);
    dies("free_sized", do_sized, p, 16);
    dies("sdallocx", do_sdallocx, p, 16);
    dies("sized delete", do_sized_delete, p, 16);
}

static char data[100000];
static const char constant[64] = "constant";

static void foreign_pointers(void)
{
    char local[100];
    foreign(local + 16);
    foreign(data);
    foreign(data + 50000);
    foreign((void *)(uintptr_t)constant);
    foreign((void *)(uintptr_t)foreign_pointers);
    foreign((void *)(uintptr_t)stdout);
    char *page = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED, "%d", errno);
    foreign(page);
    foreign(page + 4096);
    foreign((void *)(((uintptr_t)page + 2 * MIB - 1) / (2 * MIB) * (2 * MIB)));
    char *broken = sbrk(8192);
    CHECK(broken != (void *)-1, "%d", errno);
    foreign(broken + 64);
    munmap(page, 4 * MIB);
    foreign(page);
}

static void impossible_pointers(void)
{
    uintptr_t nowhere[] = {1, 8, 16, 4096, (uintptr_t)1 << 47, ((uintptr_t)1 << 47) - 16,
                           (uintptr_t)1 << 48, (uintptr_t)1 << 63, UINTPTR_MAX - 15, UINTPTR_MAX};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        foreign((void *)nowhere[i]);
}

static void before_anything_else(void)
{
    // In a new thread, in a process that has done little.
    char local[64];
    dies("free", do_free, local, 0);
}

static void *first_in_thread(void *argument)
{
    dies("free", do_free, argument, 0);
    return NULL;
}

static void first_in_a_thread(void)
{
    join(start(first_in_thread, data));
}

// Blocks of 32 KiB and more are alone in their span.
static const size_t large[] = {33 * KIB, 50000, 200 * KIB, 1000 * KIB, MIB + 1, 3 * MIB, 40 * MIB};
#define LARGE (sizeof large / sizeof large[0])

static void interior_pointers(void)
{
    for (size_t i = 0; i < LARGE; i++) {
        char *p = malloc(large[i]);
        size_t into[] = {1, 8, 16, 4096, 32 * KIB, large[i] / 2, large[i] - 1, 2 * MIB, 8 * MIB};
        for (int j = 0; j < 9; j++) {
            if (into[j] >= large[i])
                continue;
            dies("free", do_free, p + into[j], 0);
            dies("realloc", do_realloc, p + into[j], 2 * large[i]);
            dies("free_sized", do_sized, p + into[j], large[i]);
        }
        free(p);
    }
}

static void twice(void *p, size_t n)
{
    (void)n;
    free(p);
    free(opaque(p));
}

static void then_realloc(void *p, size_t n)
{
    free(p);
    sink = realloc(opaque(p), n);
}

static void then_sized(void *p, size_t n)
{
    free(p);
    do_sized(opaque(p), n);
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void twice_in_threads(void *p, size_t n)
{
    (void)n;
    join(start(free_it, p));
    join(start(free_it, p));
}

static void double_frees(void)
{
    for (size_t i = 0; i < LARGE; i++) {
        char *p = malloc(large[i]);
        dies("two frees", twice, p, 0);
        dies("realloc after free", then_realloc, p, 2 * large[i]);
        dies("sized free after free", then_sized, p, large[i]);
        dies("frees in two threads", twice_in_threads, p, 0);
        free(p);
    }
}

static const struct {
    const char *name;
    void (*act)(void *, size_t);
    bool aligned;
} sized[] = {
    {"free_sized", do_sized, false},
    {"sdallocx", do_sdallocx, false},
    {"sized delete", do_sized_delete, false},
    {"sized delete[]", do_sized_delete_of_array, false},
    {"free_aligned_sized", do_aligned_sized, true},
    {"sized aligned delete", do_aligned_delete, true},
};
#define SIZED (sizeof sized / sizeof sized[0])

static void *made(int how, size_t n)
{
    void *p = sized[how].aligned ? memalign(64, n) : malloc(n);
    CHECK(p != NULL, "%zu", n);
    return p;
}

static void right_sizes(void)
{
    // The requested size, and the usable size, which is valid for the block
    // too.
    for (int how = 0; how < (int)SIZED; how++) {
        for (size_t n = 0; n <= 20 * MIB; n += n < 2100 ? 1 : n / 9) {
            sized[how].act(made(how, n), n);
            void *p = made(how, n);
            sized[how].act(p, malloc_usable_size(p));
        }
        sized[how].act(NULL, 0);
        sized[how].act(NULL, 100);
    }
    // Allocated by other functions than malloc.
    do_sized(calloc(10, 100), 1000);
    do_sized(realloc(malloc(10), 5000), 5000);
    do_sized(realloc(malloc(5000), 10), 10);
    do_sized(reallocarray(NULL, 10, 10), 100);
    do_sized(realloc(malloc(10 * MIB), 2 * MIB), 2 * MIB);
    do_sized(realloc(malloc(2 * MIB), 10 * MIB), 10 * MIB);
    do_sized(realloc(malloc(900 * KIB), 40 * KIB), 40 * KIB);
}

static void right_sizes_in_other_threads(void)
{
    lives("free_sized", do_sized, malloc(100), 100);
    lives("sized delete", do_sized_delete, malloc(3 * MIB), 3 * MIB);
}

static void wrong_sizes(void)
{
    size_t sizes[] = {1, 16, 100, 1000, 5000, 32 * KIB, 40000, 300 * KIB, MIB, 3 * MIB, 20 * MIB};
    for (int how = 0; how < (int)SIZED; how++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = sizes[i];
            void *p = made(how, n);
            size_t usable = malloc_usable_size(p);
            size_t wrong[] = {usable + 1, 2 * usable, 10 * usable + 100, SIZE_MAX - 4095, SIZE_MAX};
            for (int j = 0; j < 5; j++)
                dies(sized[how].name, sized[how].act, p, wrong[j]);
            // Less than half of the block.
            if (n >= 100) {
                dies(sized[how].name, sized[how].act, p, usable / 2 - 1);
                dies(sized[how].name, sized[how].act, p, 1);
            }
            sized[how].act(p, n);
        }
    }
}

// C++'s operators in a program without a C++ runtime: no exception can be
// thrown.
static void do_new(void *p, size_t n)
{
    (void)p;
    sink = ((void *(*)(size_t))function("_Znwm"))(n);
}

static void do_new_array(void *p, size_t n)
{
    (void)p;
    sink = ((void *(*)(size_t))function("_Znam"))(n);
}

static void do_aligned_new(void *p, size_t n)
{
    (void)p;
    sink = ((void *(*)(size_t, size_t))function("_ZnwmSt11align_val_t"))(n, 64);
}

static void quiet_new(void *p, size_t n)
{
    void *none = ((void *(*)(size_t, void *))function("_ZnwmRKSt9nothrow_t"))(n, &p);
    CHECK(none == NULL, "%p", none);
}

static void new_without_a_runtime(void)
{
    lives("operator new", do_new, NULL, 1000);
    size_t impossible[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX};
    for (int i = 0; i < 2; i++) {
        dies("operator new", do_new, NULL, impossible[i]);
        dies("operator new[]", do_new_array, NULL, impossible[i]);
        dies("aligned operator new", do_aligned_new, NULL, impossible[i]);
        lives("nothrow operator new", quiet_new, NULL, impossible[i]);
    }
}

MAIN(CASE(foreign_pointers), CASE(impossible_pointers), CASE(before_anything_else),
     CASE(first_in_a_thread), CASE(interior_pointers), CASE(double_frees), CASE(right_sizes),
     CASE(right_sizes_in_other_threads), CASE(wrong_sizes), CASE(new_without_a_runtime))
