// A program with operators of its own: it keeps them.

#include "case.h"

#include <new>
#include <string>
#include <vector>

static size_t made, gone;

void *operator new(size_t n)
{
    made++;
    size_t *p = (size_t *)malloc(n + 16);
    if (p == NULL)
        throw std::bad_alloc();
    p[0] = 0x5a5a5a5a;
    return p + 2;
}

void operator delete(void *p) noexcept
{
    if (p == NULL)
        return;
    size_t *start = (size_t *)opaque(p) - 2;
    CHECK(start[0] == 0x5a5a5a5a, "%p", p);
    gone++;
    free(start);
}

void operator delete(void *p, size_t) noexcept
{
    operator delete(p);
}

static void own_operators()
{
    {
        std::vector<std::string> vector;
        for (size_t i = 0; i < 1000; i++)
            vector.push_back(std::string(100 + i, 'x'));
        int *numbers = new int[100], *one = new (std::nothrow) int(5);
        CHECK(*one == 5, "%d", *one);
        delete[] numbers;
        delete one;
    }
    // The array forms and those that do not throw call the plain one.
    CHECK(made >= 1012 && made == gone, "%zu made, %zu gone", made, gone);
}

MAIN(CASE(own_operators))
