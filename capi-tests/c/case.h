// Shared by the programs here. Each is a set of cases, run as `program CASE
// ALLOCATOR`, where ALLOCATOR is `ours` or `glibc`: the allocator that must
// provide malloc. Exits with 0 and prints "ok" on success, else exits with 1
// and prints the reason. Without arguments, a program lists its cases.

#ifndef CASE_H
#define CASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define HELPER static __attribute__((unused))

// Whether malloc is the library's, not glibc's.
HELPER bool ours;

HELPER __attribute__((noreturn, format(printf, 3, 4))) void fail(int line, const char *what,
                                                                 const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dprintf(2, "line %d: %s: %s\n", line, what, text);
    _exit(1);
}

// Ends the program unless `condition` holds; the message shows the other
// arguments.
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__LINE__, #condition, __VA_ARGS__);                                               \
    } while (0)

// Hides the value from the compiler, so that it neither warns about it nor
// optimizes based on it.
HELPER void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

HELPER size_t unknown(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

// Looks up a function that the program does not link to.
HELPER void *function(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    CHECK(found != NULL, "%s", name);
    return found;
}

HELPER uint64_t step(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// A number less than `n`.
HELPER size_t below(uint64_t *state, size_t n)
{
    return (size_t)((step(state) >> 11) % n);
}

// A size up to 2^log, with all magnitudes equally likely.
HELPER size_t any_size(uint64_t *state, unsigned log)
{
    size_t most = (size_t)2 << below(state, log);
    return 1 + below(state, most);
}

HELPER uint64_t word(uint64_t seed, size_t i)
{
    return (seed + i + 1) * 0x9e3779b97f4a7c15u;
}

// Writes a pattern that depends on `seed` over `n` bytes, and checks for it.
HELPER void fill(void *p, size_t n, uint64_t seed)
{
    unsigned char *bytes = (unsigned char *)p;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w = word(seed, i);
        memcpy(bytes + i, &w, 8);
    }
    uint64_t w = word(seed, i);
    memcpy(bytes + i, &w, n - i);
}

HELPER bool filled(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *bytes = (const unsigned char *)p;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w = word(seed, i);
        if (memcmp(bytes + i, &w, 8) != 0)
            return false;
    }
    uint64_t w = word(seed, i);
    return memcmp(bytes + i, &w, n - i) == 0;
}

HELPER bool is_zero(const void *p, size_t n)
{
    const char *bytes = (const char *)p;
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

// Resident memory in bytes. Does not allocate.
HELPER size_t resident(void)
{
    char text[128] = {0};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0, "/proc/self/statm: %d", errno);
    close(fd);
    return strtoul(strchr(text, ' '), NULL, 10) * 4096;
}

HELPER pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    CHECK(error == 0, "pthread_create: %s", strerror(error));
    return thread;
}

HELPER void *join(pthread_t thread)
{
    void *result;
    int error = pthread_join(thread, &result);
    CHECK(error == 0, "pthread_join: %s", strerror(error));
    return result;
}

// Waits for a child process and expects success.
HELPER void wait_for(pid_t pid, const char *what)
{
    int status;
    pid_t got = waitpid(pid, &status, 0);
    CHECK(got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: pid %d status %x", what,
          got, status);
}

struct one {
    const char *name;
    void (*run)(void);
};

#define CASE(name)                                                                                 \
    {                                                                                              \
        #name, name                                                                                \
    }

HELPER int run_case(const struct one *cases, size_t count, int argc, char **argv)
{
    for (size_t i = 0; argc < 2 && i < count; i++)
        puts(cases[i].name);
    if (argc < 2)
        return 0;
    CHECK(argc >= 3, "usage: CASE ours|glibc");
    ours = strcmp(argv[2], "ours") == 0;
    bool is_ours = dlsym(RTLD_DEFAULT, "malloc_good_size") != NULL;
    CHECK(ours == is_ours, "malloc is not provided by %s", argv[2]);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            puts("ok");
            return 0;
        }
    }
    fprintf(stderr, "no case %s\n", argv[1]);
    return 2;
}

#define MAIN(...)                                                                                  \
    static const struct one cases[] = {__VA_ARGS__};                                               \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return run_case(cases, sizeof cases / sizeof cases[0], argc, argv);                        \
    }

#endif
