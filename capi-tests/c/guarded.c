// Does with guarded blocks what it may, and what it may not. Each case first prints the address of
// the block, and where the functions start that allocate it and free it.

#include "case.h"

#define NOINLINE __attribute__((noinline))

// Its class has 112 bytes.
#define SIZE 100

static NOINLINE char *planted_allocation(size_t size)
{
    char *block = malloc(size);
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static NOINLINE void planted_free(char *block)
{
    free(block);
    __asm__ volatile("" : : : "memory");
}

// A guarded block: one that is not has all bytes of its class.
static char *guarded(size_t size)
{
    for (int i = 0; i < 1000; i++) {
        char *block = planted_allocation(size);
        if (malloc_usable_size(block) == size) {
            memset(block, 1, size);
            return block;
        }
    }
    CHECK(false, "no block is guarded");
}

static char *freed(void)
{
    char *block = guarded(SIZE);
    printf("%p %p %p\n", (void *)block, (void *)planted_allocation, (void *)planted_free);
    fflush(stdout);
    planted_free(block);
    return block;
}

static char *used(void)
{
    char *block = guarded(SIZE);
    printf("%p %p %p\n", (void *)block, (void *)planted_allocation, (void *)planted_free);
    fflush(stdout);
    return block;
}

// Nothing that a program may do is reported.
static void fine(void)
{
    for (size_t size = 1; size < 40000; size += size / 8 + 1) {
        char *block = planted_allocation(size);
        size_t usable = malloc_usable_size(block);
        CHECK(usable >= size, "%zu of %zu", usable, size);
        memset(block, 3, usable);
        block = realloc(block, size + 1);
        CHECK(block[0] == 3 && block[size - 1] == 3, "%zu", size);
        block = realloc(block, size / 2 + 1);
        CHECK(block[0] == 3 && block[size / 2] == 3, "%zu", size);
        free(block);
        char *zero = calloc(1, size);
        for (size_t i = 0; i < size; i++)
            CHECK(zero[i] == 0, "%zu: %zu", size, i);
        free(zero);
        for (size_t align = 8; align <= 8192; align *= 2) {
            void *aligned = NULL;
            CHECK(posix_memalign(&aligned, align, size) == 0, "%zu", align);
            CHECK((uintptr_t)aligned % align == 0, "%p", aligned);
            memset(aligned, 4, malloc_usable_size(aligned));
            free(aligned);
        }
    }
    free(guarded(SIZE));
    free(malloc(0));
    puts("ok");
}

int main(int count, char **arguments)
{
    CHECK(count == 2, "%d", count);
    const char *what = arguments[1];
    volatile char seen = 0;
    free(malloc(SIZE));
    if (!strcmp(what, "fine")) {
        fine();
        return 0;
    } else if (!strcmp(what, "read-after-free")) {
        seen = freed()[50];
    } else if (!strcmp(what, "write-after-free")) {
        freed()[50] = 2;
    } else if (!strcmp(what, "overflow")) {
        used()[112] = 2;
    } else if (!strcmp(what, "overflow-by-1")) {
        char *block = used();
        block[SIZE] = 2;
        planted_free(block);
    } else if (!strcmp(what, "written-before")) {
        char *block = used();
        block[-1] = 2;
        planted_free(block);
    } else if (!strcmp(what, "twice")) {
        planted_free(freed());
    } else if (!strcmp(what, "realloc-freed")) {
        (void)!realloc(freed(), 10);
    } else if (!strcmp(what, "middle")) {
        planted_free(used() + 16);
    }
    (void)seen;
    return 1;
}
