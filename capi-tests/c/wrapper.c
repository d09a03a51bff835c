// A library in front of the allocator that counts calls and forwards them, as
// debugging tools do.

#include "case.h"

size_t wrapped;

#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL)                                                                              \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                                        \
    __atomic_add_fetch(&wrapped, 1, __ATOMIC_RELAXED)

void *malloc(size_t n)
{
    NEXT(malloc);
    return next(n);
}

void *calloc(size_t count, size_t n)
{
    NEXT(calloc);
    return next(count, n);
}

void *realloc(void *p, size_t n)
{
    NEXT(realloc);
    return next(p, n);
}

void free(void *p)
{
    NEXT(free);
    next(p);
}

__attribute__((destructor)) static void tell(void)
{
    if (wrapped < 10)
        dprintf(2, "only %zu calls\n", wrapped);
}
