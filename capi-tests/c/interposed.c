// Programs whose C library is replaced in part, by interposer.c and others.

#include "exercise.h"

static void *churn(void *argument)
{
    for (int i = 0; i < 10; i++)
        exercise();
    return argument;
}

// Memory that the helper returns while the program sleeps.
static void free_much(void)
{
    enum { COUNT = 2000 };
    static char *blocks[COUNT];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = malloc(40000);
            CHECK(blocks[i] != NULL, "%d", i);
            memset(blocks[i], 1, 40000);
        }
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
        usleep(150000);
    }
}

static void everything(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = start(churn, NULL);
    free_much();
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    malloc_trim(0);
    pid_t pid = fork();
    if (pid == 0) {
        exercise();
        join(start(churn, NULL));
        _exit(0);
    }
    wait_for(pid, "child");
    exercise();
}

static void note_abort(int signal)
{
    (void)signal;
    // Blocks that were there before still are.
    free(opaque(malloc(100)));
    static const char text[] = "handled\n";
    if (write(2, text, sizeof text - 1) < 0)
        _exit(4);
}

// A block that is freed twice ends the process; a handler sees it.
static void misuse(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "%d", errno);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 2);
        signal(SIGABRT, note_abort);
        void *block = malloc(5 * MIB);
        free(block);
        free(opaque(block));
        _exit(0);
    }
    close(ends[1]);
    char text[1000] = {0};
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], text + length, sizeof text - 1 - length)) > 0)
        length += got;
    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "%d", errno);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x: %s", status, text);
    CHECK(strstr(text, "handled") != NULL, "%s", text);
}

MAIN(CASE(everything), CASE(misuse))
