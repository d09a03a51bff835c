// Faults of C++: blocks given to another form of `delete` than they were made for.

#include "security.h"

#include <new>

struct small {
    char bytes[64];
};

struct large {
    char bytes[8000];
};

static void one_as_array(void)
{
    small *p = new small;
    delete[] static_cast<small *>(opaque(p));
    shown();
}

static void array_as_one(void)
{
    small *p = new small[4];
    delete static_cast<small *>(opaque(p));
    shown();
}

static void malloc_and_delete(void)
{
    operator delete(opaque(malloc(unknown(sizeof(small)))));
    shown();
}

static void new_and_free(void)
{
    free(opaque(operator new(unknown(sizeof(small)))));
    shown();
}

static void another_type(void)
{
    small *p = new small;
    delete static_cast<large *>(opaque(p));
    shown();
}

KINDS(KIND(one_as_array), KIND(array_as_one), KIND(malloc_and_delete), KIND(new_and_free),
      KIND(another_type))
