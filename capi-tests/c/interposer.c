// A library in front of the allocator that replaces functions of the C library,
// as many tools do. Each of its versions first allocates, then calls the
// original. Ends the process if the allocator calls one that it should not.

#include "case.h"

static __thread int depth __attribute__((tls_model("initial-exec")));

// Whether the code at `place` is the allocator's.
static bool is_allocators(const void *place)
{
    Dl_info info;
    return dladdr(place, &info) != 0 && info.dli_fname != NULL &&
           strstr(info.dli_fname, "libstrata.so") != NULL;
}

// What each version does first. `allowed`: the allocator may call it.
static void intrude(const char *name, bool allowed, const void *caller)
{
    // The allocation may make the allocator call the next one.
    depth++;
    if (!allowed && is_allocators(caller)) {
        dprintf(2, "the allocator called %s\n", name);
        _exit(3);
    }
    for (size_t n = 40; n < 100000 && depth < 4; n *= 6)
        free(opaque(malloc(n)));
    depth--;
}

typedef long any(long, long, long, long, long, long, long);

// Takes as many arguments as any of the functions has.
#define REPLACE(name, allowed)                                                                     \
    any replaced_##name __asm__(#name);                                                            \
    long replaced_##name(long a, long b, long c, long d, long e, long f, long g)                   \
    {                                                                                              \
        static any *next;                                                                          \
        if (next == NULL)                                                                          \
            next = (any *)dlsym(RTLD_NEXT, #name);                                                 \
        intrude(#name, allowed, __builtin_return_address(0));                                      \
        return next(a, b, c, d, e, f, g);                                                          \
    }

// Memory.
REPLACE(mmap, false)
REPLACE(mmap64, false)
REPLACE(munmap, false)
REPLACE(mremap, false)
REPLACE(mprotect, false)
REPLACE(madvise, false)
REPLACE(mincore, false)
REPLACE(sbrk, false)
REPLACE(getrlimit, false)
REPLACE(getrlimit64, false)
REPLACE(prlimit, false)
REPLACE(prlimit64, false)

// The kernel, the processors, and the environment.
REPLACE(syscall, false)
REPLACE(getauxval, false)
REPLACE(getpagesize, false)
REPLACE(sysconf, false)
REPLACE(sched_yield, false)
REPLACE(sched_getcpu, false)
REPLACE(sched_getaffinity, false)
REPLACE(getenv, false)
REPLACE(secure_getenv, false)
REPLACE(getpid, false)

// Time.
REPLACE(clock_gettime, false)
REPLACE(gettimeofday, false)
REPLACE(time, false)
REPLACE(nanosleep, false)
REPLACE(clock_nanosleep, false)
REPLACE(usleep, false)

// Files.
REPLACE(open, false)
REPLACE(open64, false)
REPLACE(openat, false)
REPLACE(openat64, false)
REPLACE(read, false)
REPLACE(write, false)
REPLACE(close, false)

// Signals.
REPLACE(abort, false)
REPLACE(raise, false)
REPLACE(kill, false)
REPLACE(sigaction, false)
REPLACE(signal, false)
REPLACE(sigprocmask, false)

// Threads.
REPLACE(pthread_create, false)
REPLACE(pthread_attr_init, false)
REPLACE(pthread_attr_destroy, false)
REPLACE(pthread_attr_setdetachstate, false)
REPLACE(pthread_sigmask, false)
REPLACE(sigfillset, false)
REPLACE(prctl, false)
REPLACE(pthread_self, false)
REPLACE(pthread_once, false)
REPLACE(pthread_getspecific, false)
REPLACE(pthread_mutex_lock, false)
REPLACE(pthread_mutex_unlock, false)
REPLACE(pthread_cond_wait, false)
REPLACE(pthread_cond_signal, false)

// The exit of a thread, and fork, are known to the C library alone.
REPLACE(pthread_key_create, true)
REPLACE(pthread_setspecific, true)
REPLACE(__register_atfork, true)
