// A library that allocates when it is loaded and unloaded.

#include "exercise.h"

int constructors_ran;
static char *kept;
static __thread char mine[100];

__attribute__((constructor)) static void construct(void)
{
    exercise();
    join(start(exercise_in_thread, NULL));
    kept = strdup("kept from the constructor to the destructor");
    mine[0] = 1;
    constructors_ran++;
}

__attribute__((destructor)) static void destruct(void)
{
    CHECK(strlen(kept) == 43, "%s", kept);
    free(kept);
    exercise();
}
