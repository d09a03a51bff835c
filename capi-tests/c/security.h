// Shared by the programs of misuse. Each run commits one fault: `PROGRAM KIND BYTES cold|warm`.
// It prints "shown" if the fault had its effect: the call returned, or the access went through.
// A fault is caught if the process dies by a signal, at once or at its end, or ends without
// having shown it. Without arguments, a program lists its kinds.

#ifndef SECURITY_H
#define SECURITY_H

#include "case.h"

// Bytes of the blocks.
HELPER size_t size;

struct kind {
    const char *name;
    void (*commit)(void);
};

HELPER void shown(void) { CHECK(write(1, "shown\n", 6) == 6, "%d", errno); }

// A block of the size, which the compiler knows nothing of.
HELPER char *block(void)
{
    char *p = (char *)opaque(malloc(unknown(size)));
    CHECK(p != NULL, "%zu bytes", size);
    return p;
}

// Makes and frees 10,000 blocks, of which up to 100 live at a time.
HELPER void warm(void)
{
    enum { ROUNDS = 100, LIVE = 100 };
    static char *blocks[LIVE];
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < LIVE; j++)
            blocks[j] = block();
        for (int j = 0; j < LIVE; j++)
            free(blocks[j]);
    }
}

HELPER int run_kind(const struct kind *kinds, size_t count, int argc, char **argv)
{
    for (size_t i = 0; argc < 2 && i < count; i++)
        puts(kinds[i].name);
    if (argc < 2)
        return 0;
    CHECK(argc == 4, "usage: KIND BYTES cold|warm");
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    alarm(30);
    size = strtoul(argv[2], NULL, 10);
    if (strcmp(argv[3], "warm") == 0)
        warm();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(kinds[i].name, argv[1]) == 0) {
            kinds[i].commit();
            return 0;
        }
    }
    fail(__LINE__, "a kind", "no %s", argv[1]);
}

#define KIND(name)                                                                                 \
    {                                                                                              \
        #name, name                                                                                \
    }

#define KINDS(...)                                                                                 \
    static const struct kind kinds[] = {__VA_ARGS__};                                              \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return run_kind(kinds, sizeof kinds / sizeof kinds[0], argc, argv);                        \
    }

#endif
