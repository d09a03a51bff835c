// A program that allocates while the dynamic linker chooses one of its
// functions: before any library is initialised.

#include "exercise.h"

static int answer(void)
{
    return 42;
}

static int (*resolve(void))(void)
{
    // Other functions may not be there yet.
    char *p = malloc(100), *q = malloc(3 * MIB);
    if (p == NULL || q == NULL)
        return NULL;
    p[0] = q[0] = 1;
    free(p);
    free(q);
    return answer;
}

int chosen(void) __attribute__((ifunc("resolve")));

static void in_a_resolver(void)
{
    CHECK(chosen() == 42, "%d", chosen());
    exercise();
}

MAIN(CASE(in_a_resolver))
