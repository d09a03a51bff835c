// A program with operators of its own, which stay in use.

#include "case.h"

#include <algorithm>
#include <new>
#include <string>
#include <vector>

static size_t made, gone;

void *operator new(size_t n)
{
    if (n >= GIB)
        throw std::bad_alloc();
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
    // The array and nothrow forms call the basic one.
    CHECK(made >= 1012 && made == gone, "%zu made, %zu gone", made, gone);
}

// The temporary buffer of algorithms is allocated and freed by different forms.
static void own_operators_in_algorithms()
{
    std::vector<int> numbers;
    for (int i = 0; i < 100000; i++)
        numbers.push_back(i * 7919 % 100003);
    size_t before = made;
    std::stable_sort(numbers.begin(), numbers.end());
    CHECK(std::is_sorted(numbers.begin(), numbers.end()) && made > before, "%zu made", made);
}

// Exceptions from the program's operators are caught by the nothrow forms and
// pass through the others.
static void own_operators_throw()
{
    size_t n = unknown(2 * GIB);
    for (int i = 0; i < 100; i++) {
        CHECK(::operator new(n, std::nothrow) == NULL, "%zu", n);
        CHECK(::operator new[](n, std::nothrow) == NULL, "%zu", n);
        int caught = 0;
        try {
            ::operator delete(::operator new(n));
        } catch (const std::bad_alloc &) {
            caught++;
        }
        try {
            ::operator delete[](::operator new[](n));
        } catch (const std::bad_alloc &) {
            caught++;
        }
        CHECK(caught == 2, "%d", caught);
    }
    CHECK(made == gone, "%zu made, %zu gone", made, gone);
}

struct alignas(128) wide {
    char bytes[1000];
};

// The program does not replace the aligned forms.
static void others_are_as_ever()
{
    size_t before = made;
    wide *one = new wide, *many = new wide[5];
    CHECK((uintptr_t)one % 128 == 0 && (uintptr_t)many % 128 == 0, "%p, %p", one, many);
    delete one;
    delete[] many;
    CHECK(made == before && gone == before, "%zu made, %zu gone", made, gone);
}

MAIN(CASE(own_operators), CASE(own_operators_in_algorithms), CASE(own_operators_throw),
     CASE(others_are_as_ever))
