// The same in C.

#include "exercise.h"

size_t malloc_good_size(size_t);

int main(void)
{
    for (size_t n = 1; n < 5 * MIB; n += n / 3 + 1) {
        void *p = malloc(n);
        CHECK(p != NULL && malloc_usable_size(p) == malloc_good_size(n), "%zu", n);
        free(p);
    }
    char *text = strdup("some text");
    CHECK(text != NULL && malloc_usable_size(text) == malloc_good_size(10), "%s", text);
    free(text);
    for (int i = 0; i < 50; i++) {
        pthread_t one = start(exercise_in_thread, NULL), other = start(exercise_in_thread, NULL);
        join(one);
        join(other);
    }
    malloc_trim(0);
    puts("ok");
}
