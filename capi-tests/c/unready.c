// A library in front of the allocator that wraps functions and is not ready for
// anybody but the program: it finds the functions behind it when the program
// starts, and it frees what it keeps from elsewhere.

#include "case.h"
#include <link.h>

static void *(*next_dlsym)(void *, const char *);

#define NEXT(name) ((__typeof__(name) *)next_dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    // The library's own constructor, behind this one, has run already.
    next_dlsym = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
}

int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    return NEXT(dl_iterate_phdr)(callback, data);
}

char *strdup(const char *text)
{
    return NEXT(strdup)(text);
}

void *dlsym(void *handle, const char *name)
{
    return next_dlsym(handle, name);
}

void *dlopen(const char *name, int flags)
{
    return NEXT(dlopen)(name, flags);
}

int dladdr(const void *address, Dl_info *info)
{
    return NEXT(dladdr)(address, info);
}
