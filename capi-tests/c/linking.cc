// Programs linked with the library: malloc is the library's.

#include "exercise.h"

#include <new>
#include <string>
#include <vector>

extern "C" size_t malloc_good_size(size_t);

static void *in_thread(void *argument)
{
    exercise();
    std::vector<std::string> vector(100, std::string(200, 'x'));
    return vector[99].size() == 200 ? argument : NULL;
}

int main()
{
    for (size_t n = 1; n < 5 * MIB; n += n / 3 + 1) {
        void *p = malloc(n);
        CHECK(p != NULL && malloc_usable_size(p) == malloc_good_size(n), "%zu", n);
        free(p);
    }
    // The C library's own allocations come from it too.
    size_t before = mallinfo2().uordblks;
    char *text = strdup(std::string(5000, 'x').c_str());
    CHECK(text != NULL && malloc_usable_size(text) == malloc_good_size(5001), "%p", text);
    CHECK(mallinfo2().uordblks >= before + 5001, "%zu", before);
    free(text);
    for (int i = 0; i < 50; i++) {
        pthread_t one = start(in_thread, &before), other = start(in_thread, &before);
        CHECK(join(one) == &before && join(other) == &before, "%d", i);
    }
    bool caught = false;
    try {
        ::operator delete(::operator new(unknown(SIZE_MAX / 2 + 1)));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught, "no exception");
    pid_t pid = fork();
    CHECK(pid >= 0, "%d", errno);
    if (pid == 0) {
        CHECK(in_thread(&before) == &before && join(start(in_thread, &before)) == &before, "child");
        _exit(0);
    }
    wait_for(pid, "child");
    malloc_trim(0);
    puts("ok");
}
