// Thread-local and static objects: their destructors run late.

#include "exercise.h"

#include <map>
#include <string>
#include <vector>

static int destroyed;

struct late {
    std::map<int, std::string> map;
    std::vector<char *> blocks;

    void fill_up()
    {
        for (int i = 0; i < 50; i++) {
            map[i] = std::string((size_t)i * 20, 'x');
            blocks.push_back(new char[(size_t)i * 1000]);
        }
    }

    ~late()
    {
        exercise();
        for (char *block : blocks)
            delete[] block;
        map[1000] = "one more";
        __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
    }
};

static thread_local late of_thread;

// A destructor that creates another thread-local object.
struct later {
    ~later() { of_thread.fill_up(); }
};

static thread_local later of_thread_too;

static void *with_objects(void *argument)
{
    opaque(&of_thread_too);
    of_thread.fill_up();
    return argument;
}

static void objects_of_threads()
{
    size_t settled = 0;
    int count = ours ? 500 : 50;
    for (int i = 0; i < count; i++) {
        join(start(with_objects, NULL));
        if (i == count / 5)
            settled = resident();
    }
    CHECK(destroyed == count, "%d", destroyed);
    // Free memory may wait for the next look of a helper. What one thread leaves behind, 400
    // times, would be 400 MiB.
    size_t end = resident();
    CHECK(end < settled + 24 * MIB, "%zu, then %zu resident", settled, end);
}

static late of_program;

static void static_objects()
{
    of_program.fill_up();
    of_thread.fill_up();
}

MAIN(CASE(objects_of_threads), CASE(static_objects))
