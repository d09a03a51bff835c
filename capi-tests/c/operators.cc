// C++'s operators new and delete: all forms, and running out of memory.

#include "case.h"

#include <list>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

using std::align_val_t;
using std::nothrow;

// A size that is always too large, unknown to the compiler.
static size_t impossible()
{
    return unknown((size_t)PTRDIFF_MAX / 2 * 3);
}

// Each form of new, with an alignment if it takes one.
struct maker {
    const char *name;
    bool aligned, quiet;
    void *(*make)(size_t, size_t);
};

static const maker makers[] = {
    {"new", false, false, [](size_t n, size_t) { return ::operator new(n); }},
    {"new[]", false, false, [](size_t n, size_t) { return ::operator new[](n); }},
    {"new nothrow", false, true, [](size_t n, size_t) { return ::operator new(n, nothrow); }},
    {"new[] nothrow", false, true, [](size_t n, size_t) { return ::operator new[](n, nothrow); }},
    {"new aligned", true, false,
     [](size_t n, size_t a) { return ::operator new(n, align_val_t(a)); }},
    {"new[] aligned", true, false,
     [](size_t n, size_t a) { return ::operator new[](n, align_val_t(a)); }},
    {"new aligned nothrow", true, true,
     [](size_t n, size_t a) { return ::operator new(n, align_val_t(a), nothrow); }},
    {"new[] aligned nothrow", true, true,
     [](size_t n, size_t a) { return ::operator new[](n, align_val_t(a), nothrow); }},
};

struct breaker {
    const char *name;
    bool aligned;
    void (*destroy)(void *, size_t, size_t);
};

static const breaker breakers[] = {
    {"delete", false, [](void *p, size_t, size_t) { ::operator delete(p); }},
    {"delete[]", false, [](void *p, size_t, size_t) { ::operator delete[](p); }},
    {"delete sized", false, [](void *p, size_t n, size_t) { ::operator delete(p, n); }},
    {"delete[] sized", false, [](void *p, size_t n, size_t) { ::operator delete[](p, n); }},
    {"delete nothrow", false, [](void *p, size_t, size_t) { ::operator delete(p, nothrow); }},
    {"delete[] nothrow", false, [](void *p, size_t, size_t) { ::operator delete[](p, nothrow); }},
    {"delete aligned", true,
     [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a)); }},
    {"delete[] aligned", true,
     [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a)); }},
    {"delete sized aligned", true,
     [](void *p, size_t n, size_t a) { ::operator delete(p, n, align_val_t(a)); }},
    {"delete[] sized aligned", true,
     [](void *p, size_t n, size_t a) { ::operator delete[](p, n, align_val_t(a)); }},
    {"delete aligned nothrow", true,
     [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a), nothrow); }},
    {"delete[] aligned nothrow", true,
     [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a), nothrow); }},
};

static const size_t sizes[] = {0, 1, 8, 24, 100, 1000, 30000, 50000, 400000, 3000000};

static void every_form()
{
    for (const maker &maker : makers) {
        for (const breaker &breaker : breakers) {
            if (maker.aligned != breaker.aligned)
                continue;
            for (size_t n : sizes) {
                for (size_t align = 32; align <= (maker.aligned ? 65536 : 32); align *= 2) {
                    errno = 4242;
                    void *p = maker.make(n, align), *q = maker.make(n, align);
                    CHECK(p != NULL && q != NULL && p != q, "%s, %zu", maker.name, n);
                    size_t least = maker.aligned ? align : 16;
                    CHECK((uintptr_t)p % least == 0, "%s, %zu", maker.name, n);
                    size_t usable = malloc_usable_size(p);
                    CHECK(usable >= n, "%s, %zu: %zu", maker.name, n, usable);
                    fill(p, usable, n);
                    fill(q, malloc_usable_size(q), n + 1);
                    CHECK(filled(p, usable, n), "%s, %zu", maker.name, n);
                    breaker.destroy(p, n, align);
                    breaker.destroy(q, n, align);
                    CHECK(errno == 4242, "%s, %s: errno %d", maker.name, breaker.name, errno);
                }
            }
        }
    }
}

static void deleting_null()
{
    for (const breaker &breaker : breakers)
        for (size_t n : sizes)
            breaker.destroy(NULL, n, 64);
}

// An object that counts the live instances.
static int alive;

struct witness {
    std::string text = std::string(100, 'x');
    witness() { alive++; }
    ~witness() { alive--; }
};

__attribute__((noinline)) static void *deep(const maker &maker, size_t n, int depth)
{
    witness here;
    if (depth == 0)
        return maker.make(n, 64);
    void *p = deep(maker, n, depth - 1);
    CHECK(alive > 0, "%d", alive);
    return p;
}

static void caught_in_the_caller()
{
    for (int round = 0; round < 100; round++) {
        for (const maker &maker : makers) {
            bool caught = false;
            try {
                void *p = deep(maker, impossible(), 5);
                CHECK(p == NULL && maker.quiet, "%s: %p", maker.name, p);
            } catch (const std::bad_alloc &error) {
                CHECK(error.what() != NULL && !maker.quiet, "%s", maker.name);
                caught = true;
            }
            CHECK(caught != maker.quiet && alive == 0, "%s: %d", maker.name, alive);
        }
    }
}

static int calls;

static void give_up_at_five()
{
    if (++calls == 5)
        std::set_new_handler(nullptr);
}

static void handler_gives_up()
{
    for (const maker &maker : makers) {
        calls = 0;
        std::set_new_handler(give_up_at_five);
        bool caught = false;
        try {
            void *p = maker.make(impossible(), 64);
            CHECK(p == NULL && maker.quiet, "%s", maker.name);
        } catch (const std::bad_alloc &) {
            caught = true;
        }
        CHECK(caught != maker.quiet && calls == 5, "%s: %d calls", maker.name, calls);
    }
}

static void handler_throws()
{
    struct own : std::bad_alloc {
        int number = 77;
    };
    std::set_new_handler([] {
        calls++;
        throw own();
    });
    for (const maker &maker : makers) {
        calls = 0;
        bool caught = false;
        try {
            void *p = deep(maker, impossible(), 3);
            CHECK(p == NULL && maker.quiet, "%s", maker.name);
        } catch (const own &error) {
            CHECK(error.number == 77, "%d", error.number);
            caught = true;
        }
        CHECK(caught != maker.quiet && calls == 1 && alive == 0, "%s: %d calls, %d alive",
              maker.name, calls, alive);
    }
    std::set_new_handler(nullptr);
}

static void *reserve;

static void handler_helps()
{
    // Address space is short until the handler frees its reserve.
    reserve = malloc(300 * MIB);
    char text[64] = {0};
    int fd = open("/proc/self/statm", O_RDONLY);
    CHECK(reserve != NULL && read(fd, text, sizeof text - 1) > 0, "%d", errno);
    close(fd);
    size_t limit = strtoul(text, NULL, 10) * 4096 + 16 * MIB;
    struct rlimit few = {limit, limit};
    CHECK(setrlimit(RLIMIT_AS, &few) == 0, "%d", errno);
    // The rest of the address space is taken.
    void *last = NULL;
    while (void **more = (void **)malloc(100 * MIB)) {
        more[0] = last;
        last = more;
    }
    for (const maker &maker : makers) {
        calls = 0;
        if (reserve == NULL)
            reserve = malloc(300 * MIB);
        CHECK(reserve != NULL, "%s", maker.name);
        std::set_new_handler([] {
            if (++calls == 3) {
                free(reserve);
                reserve = NULL;
            }
            CHECK(calls <= 3, "%d calls", calls);
        });
        void *p = maker.make(200 * MIB, 64);
        CHECK(p != NULL && calls == 3, "%s: %p, %d calls", maker.name, p, calls);
        std::set_new_handler(nullptr);
        if (maker.aligned)
            ::operator delete(p, align_val_t(64));
        else
            ::operator delete(p);
    }
}

static void *throw_often(void *)
{
    for (int i = 0; i < 2000; i++) {
        try {
            void *p = ::operator new(impossible());
            CHECK(p == NULL, "unexpected block");
        } catch (const std::bad_alloc &) {
            continue;
        }
        CHECK(false, "no exception");
    }
    return NULL;
}

static void thrown_in_threads()
{
    pthread_t threads[4];
    for (pthread_t &thread : threads)
        thread = start(throw_often, NULL);
    for (pthread_t thread : threads)
        join(thread);
}

struct alignas(256) wide {
    char bytes[300];
    virtual ~wide() { bytes[0] = 0; }
};

struct narrow {
    std::string text;
    virtual ~narrow() {}
};

struct derived : narrow {
    char more[5000];
};

static void usual_expressions()
{
    for (int i = 0; i < 200; i++) {
        std::unique_ptr<wide> one(new wide);
        std::unique_ptr<wide[]> many(new wide[7]);
        CHECK((uintptr_t)one.get() % 256 == 0 && (uintptr_t)many.get() % 256 == 0, "%p", one.get());
        std::unique_ptr<narrow> base(new derived);
        std::unique_ptr<narrow[]> array(new narrow[9]);
        auto shared = std::make_shared<derived>();
        std::map<int, std::string> map;
        std::list<std::vector<int>> list;
        for (int j = 0; j < 100; j++) {
            map[j * 7 % 31] += std::string((size_t)j, 'a');
            list.emplace_back((size_t)j * 10, j);
        }
        CHECK(map.size() == 31 && list.back().at(989) == 99, "%zu", map.size());
    }
}

static void containers_run_out()
{
    // A container that fails to grow is unchanged.
    std::vector<std::string> vector(1000, "some text that is too long to be inside");
    bool caught = false;
    try {
        vector.reserve(unknown(vector.max_size()));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && vector.size() == 1000 && vector[999].size() == 39, "%zu", vector.size());
}

MAIN(CASE(every_form), CASE(deleting_null), CASE(caught_in_the_caller), CASE(handler_gives_up),
     CASE(handler_throws), CASE(handler_helps), CASE(thrown_in_threads), CASE(usual_expressions),
     CASE(containers_run_out))
