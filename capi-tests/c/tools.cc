// What tools look at: blocks that are lost on purpose, and blocks that are freed
// as they should be.

#include "case.h"

#include <new>

extern "C" {
__attribute__((weak)) void free_sized(void *p, size_t n);
__attribute__((weak)) void sdallocx(void *p, size_t n, int flags);
__attribute__((weak)) size_t nallocx(size_t n, int flags);
__attribute__((weak)) size_t malloc_good_size(size_t n);
}

using std::align_val_t;
using std::nothrow;

// Each form of new with the matching forms of delete, and C's functions, each
// block freed as it was made.
static void matching()
{
    static const size_t sizes[] = {10, 1000, 50000, 2000000};
    for (size_t n : sizes) {
        ::operator delete(opaque(::operator new(n)));
        ::operator delete(opaque(::operator new(n)), n);
        ::operator delete(opaque(::operator new(n, nothrow)), nothrow);
        ::operator delete[](opaque(::operator new[](n)));
        ::operator delete[](opaque(::operator new[](n)), n);
        ::operator delete[](opaque(::operator new[](n, nothrow)), nothrow);
        align_val_t wide = align_val_t(256);
        ::operator delete(opaque(::operator new(n, wide)), wide);
        ::operator delete(opaque(::operator new(n, wide)), n, wide);
        ::operator delete(opaque(::operator new(n, wide, nothrow)), wide, nothrow);
        ::operator delete[](opaque(::operator new[](n, wide)), wide);
        ::operator delete[](opaque(::operator new[](n, wide)), n, wide);
        ::operator delete[](opaque(::operator new[](n, wide, nothrow)), wide, nothrow);
        free(opaque(malloc(n)));
        free(opaque(calloc(n, 2)));
        free(opaque(realloc(opaque(malloc(n)), n * 2)));
        free(opaque(reallocarray(opaque(malloc(n)), n, 2)));
        free(opaque(reallocarray(NULL, n, 2)));
        free(opaque(memalign(256, n)));
        free(opaque(aligned_alloc(256, n)));
        free(opaque(valloc(n)));
        free(opaque(pvalloc(n)));
        void *p = NULL;
        CHECK(posix_memalign(&p, 256, n) == 0, "%zu", n);
        free(opaque(p));
        p = opaque(malloc(n));
        CHECK(malloc_usable_size(p) >= n, "%zu", n);
        free(p);
    }
}

#define LEAKING(name, block)                                                                       \
    static __attribute__((noinline)) void name(size_t n)                                           \
    {                                                                                              \
        memset(opaque(block), 1, n);                                                               \
    }

static void *by_posix_memalign(size_t n)
{
    void *p = NULL;
    CHECK(posix_memalign(&p, 256, n) == 0, "%zu", n);
    return p;
}

LEAKING(leaks_malloc, malloc(n))
LEAKING(leaks_calloc, calloc(n, 1))
LEAKING(leaks_realloc, realloc(opaque(malloc(n / 2)), n))
LEAKING(leaks_reallocarray, reallocarray(NULL, n, 1))
LEAKING(leaks_aligned, aligned_alloc(256, n))
LEAKING(leaks_posix_memalign, by_posix_memalign(n))
LEAKING(leaks_new, ::operator new(n))
LEAKING(leaks_array, ::operator new[](n))
LEAKING(leaks_aligned_new, ::operator new(n, align_val_t(256)))
LEAKING(leaks_quiet_new, ::operator new(n, nothrow))

// Loses blocks, from functions that are to be named; and overwrites what may be
// left of their addresses.
static void leaking()
{
    for (size_t n = 512; n <= 128 * KIB; n *= 4) {
        leaks_malloc(n);
        leaks_calloc(n);
        leaks_realloc(n);
        leaks_reallocarray(n);
        leaks_aligned(n);
        leaks_posix_memalign(n);
        leaks_new(n);
        leaks_array(n);
        leaks_aligned_new(n);
        leaks_quiet_new(n);
    }
    char stack[16 * KIB];
    memset(opaque(stack), 0, sizeof stack);
    matching();
}

static void (*glibcs_free)(void *);

static void *blocks_are_glibcs(void *)
{
    void *p = NULL;
    static const size_t sizes[] = {1, 100, 5000, 100000, 3000000};
    for (size_t n : sizes) {
        glibcs_free(opaque(malloc(n)));
        glibcs_free(opaque(calloc(n, 1)));
        glibcs_free(opaque(realloc(opaque(malloc(n)), n * 3)));
        glibcs_free(opaque(memalign(64, n)));
        CHECK(posix_memalign(&p, 64, n) == 0, "%zu", n);
        glibcs_free(p);
        glibcs_free(opaque(::operator new(n)));
        glibcs_free(opaque(::operator new[](n, align_val_t(64))));
        CHECK(malloc_usable_size(p = opaque(malloc(n))) >= n, "%zu", n);
        free_sized(p, n);
        sdallocx(opaque(malloc(n)), n, 0);
    }
    return NULL;
}

// No block is this library's: glibc's own `free` takes them all.
static void handed_over()
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    glibcs_free = (void (*)(void *))dlsym(libc, "free");
    CHECK(glibcs_free != NULL && glibcs_free != free, "%s", dlerror());
    blocks_are_glibcs(NULL);
    for (int i = 0; i < 10; i++)
        join(start(blocks_are_glibcs, NULL));
    CHECK(malloc_good_size(100) == 100 && nallocx(100, 0) == 100, "sizes are foretold");
    CHECK(mallinfo2().arena == 0, "%zu", mallinfo2().arena);
}

MAIN(CASE(matching), CASE(leaking), CASE(handed_over))
