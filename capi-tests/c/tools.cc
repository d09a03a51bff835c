// What tools look at: blocks that are lost on purpose, and blocks that are freed
// as they should be.

#include "case.h"

#include <new>

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

MAIN(CASE(matching))
