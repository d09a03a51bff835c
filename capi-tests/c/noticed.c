// One misuse: `noticed KIND SIZE WARMTH`. Prints "then" when the call returned, and "end"
// when the blocks have left the thread's cache.

#include "case.h"

static size_t size;

static void say(const char *word) { CHECK(write(1, word, strlen(word)) > 0, "%d", errno); }

// Told by a pipe: to start a thread takes memory, which might be that of the block.
static int told[2];

static void *free_when_told(void *p)
{
    char byte;
    CHECK(read(told[0], &byte, 1) == 1, "%d", errno);
    free(opaque(p));
    return NULL;
}

// Allocates and frees enough blocks that magazines are flushed.
static void *flush(void *argument)
{
    enum { MANY = 20000 };
    static void *blocks[MANY];
    (void)argument;
    int many = size > 32 * KIB ? 50 : MANY;
    for (int i = 0; i < many; i++)
        blocks[i] = malloc(size);
    for (int i = 0; i < many; i++)
        free(blocks[i]);
    malloc_trim(0);
    return NULL;
}

static char global[4096];

static void commit(const char *kind)
{
    char *p = malloc(size), *other = malloc(size), *third = malloc(size);
    char local[64];
    if (strcmp(kind, "twice") == 0) {
        free(p);
        free(opaque(p));
    } else if (strcmp(kind, "twice-with-another-between") == 0) {
        free(p);
        free(other);
        free(opaque(p));
    } else if (strcmp(kind, "twice-in-two-threads") == 0) {
        CHECK(pipe(told) == 0, "%d", errno);
        pthread_t thread = start(free_when_told, p);
        free(p);
        CHECK(write(told[1], "", 1) == 1, "%d", errno);
        join(thread);
    } else if (strcmp(kind, "twice-after-reuse") == 0) {
        free(p);
        third = malloc(size);
        free(opaque(p));
    } else if (strcmp(kind, "plus-1") == 0) {
        free(opaque(p + 1));
    } else if (strcmp(kind, "plus-16") == 0) {
        free(opaque(p + 16));
    } else if (strcmp(kind, "stack") == 0) {
        free(opaque(local + 16));
    } else if (strcmp(kind, "global") == 0) {
        free(opaque(global + 2048));
    } else if (strcmp(kind, "mapping") == 0) {
        free(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    } else if (strcmp(kind, "size") == 0) {
        ((void (*)(void *, size_t))function("free_sized"))(p, 2 * size + 4096);
    } else if (strcmp(kind, "overflow") == 0) {
        memset(opaque(p), 1, malloc_usable_size(p) + 16);
        free(p);
    } else if (strcmp(kind, "use-after-free") == 0) {
        free(p);
        memset(opaque(p), 1, 64);
    } else {
        CHECK(false, "%s?", kind);
    }
    say("then\n");
    (void)other, (void)third;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4, "%d", argc);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    alarm(60);
    size = strcmp(argv[2], "small") == 0 ? 100 : strcmp(argv[2], "medium") == 0 ? 200000 : 5 * MIB;
    if (strcmp(argv[3], "warm") == 0)
        flush(NULL);
    // The magazine is neither empty nor full.
    static void *blocks[50];
    for (int i = 0; i < 10 && strcmp(argv[3], "warm") == 0; i++) {
        for (int j = 0; j < 50; j++)
            blocks[j] = malloc(size);
        for (int j = 0; j < 50; j++)
            free(blocks[j]);
    }
    for (int j = 0; j < 10; j++)
        blocks[j] = malloc(size);
    commit(argv[1]);
    flush(NULL);
    join(start(flush, NULL));
    say("end\n");
    return 0;
}
