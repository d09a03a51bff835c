// Running out of memory in a program that uses no more of the C++ runtime than it
// must: one that is linked in has no more than that. CAUGHT is what it catches.

#include <exception>
#include <new>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static int calls;

static void gives_up()
{
    calls++;
    if (calls % 2 == 0)
        std::set_new_handler(nullptr);
}

int main()
{
    volatile size_t impossible = SIZE_MAX / 2 - 100;
    for (int round = 1; round <= 3; round++) {
        std::set_new_handler(gives_up);
        if (operator new(impossible, std::nothrow) != nullptr || calls != 4 * round - 2)
            return 2;
        if (operator new[](impossible, std::align_val_t(64), std::nothrow) != nullptr)
            return 3;
        std::set_new_handler(gives_up);
        try {
            operator delete(operator new(impossible));
            return 4;
        } catch (CAUGHT) {
        }
        if (calls != 4 * round)
            return 5;
        try {
            operator delete[](operator new[](impossible, std::align_val_t(64)));
            return 6;
        } catch (CAUGHT) {
        }
    }
    puts("ok");
    return 0;
}
