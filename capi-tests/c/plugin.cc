// A library for C programs that throws and catches internally.

#include <new>
#include <string>
#include <vector>

extern "C" int caught(size_t n)
{
    int count = 0;
    try {
        ::operator delete(::operator new(n));
    } catch (const std::bad_alloc &) {
        count++;
    }
    try {
        ::operator delete[](::operator new[](n, std::align_val_t(64)), std::align_val_t(64));
    } catch (const std::bad_alloc &) {
        count++;
    }
    void *none = ::operator new(n, std::nothrow);
    count += none == nullptr;
    ::operator delete(none);
    std::vector<std::string> vector(100, std::string(100, 'x'));
    return vector.size() == 100 ? count : -1;
}
