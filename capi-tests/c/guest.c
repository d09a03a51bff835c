// A process does not notice the allocator but by its speed: no task that it did not start, no
// descriptor taken, no privilege kept, no code of its own run where it does not expect it.

#include "exercise.h"

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#ifdef LARGE_TLS
// As much static thread-local storage as some programs have.
static __thread char large[LARGE_TLS];
#endif

static int tasks(void)
{
    DIR *folder = opendir("/proc/self/task");
    CHECK(folder != NULL, "%d", errno);
    int count = -2;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0)
        ;
}

enum { BLOCKS = 20000 };
static char *blocks[BLOCKS];

static void fill_all(size_t size)
{
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size);
        memset(blocks[i], 1, size);
    }
}

static void drop_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

// A process with one task keeps one, and gives memory back without another.
static void one_task(void)
{
    size_t before = resident();
    fill_all(8000);
    size_t peak = resident();
    CHECK(peak > before + 150 * MIB, "%zu", peak);
    drop_all();
    if (ours)
        CHECK(resident() < before + 40 * MIB, "%zu", resident());
    CHECK(tasks() == 1, "%d", tasks());
    CHECK(__libc_single_threaded, "threaded");
    CHECK(unshare(CLONE_NEWUSER) == 0 || errno == EPERM || errno == ENOSPC, "%d", errno);
}

static volatile int forks;

static void fork_here(int signal)
{
    (void)signal;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0) {
        waitpid(child, NULL, 0);
        forks++;
    }
}

// A program with one thread may fork in a signal handler while it allocates or forks.
static void forks_in_handlers(void)
{
    struct sigaction action = {.sa_handler = fork_here};
    sigaction(SIGALRM, &action, NULL);
    fill_all(3000);
    drop_all();
    memset(blocks, 0, sizeof blocks);
    struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    time_t end = time(NULL) + 3;
    unsigned random = 1;
    while (time(NULL) < end)
        for (int i = 0; i < 1000; i++) {
            random = random * 1664525 + 1013904223;
            int at = random >> 20;
            free(blocks[at]);
            blocks[at] = malloc(1 + (random >> 5) % 6000);
            if (i % 250 == 0) {
                pid_t child = fork();
                if (child == 0) {
                    free(malloc(5000));
                    _exit(0);
                }
                if (child > 0)
                    waitpid(child, NULL, 0);
            }
        }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(forks > 20, "%d", forks);
}

static void *churn(void *rounds)
{
    unsigned random = 7;
    static __thread char *held[4096];
    for (intptr_t n = (intptr_t)rounds * 2000; n > 0; n--) {
        random = random * 1664525 + 1013904223;
        int at = random >> 20;
        free(held[at]);
        held[at] = malloc(1 + (random >> 6) % 60000);
        *held[at] = 1;
    }
    for (int i = 0; i < 4096; i++)
        free(held[i]);
    return NULL;
}

// The lowest free descriptor is always the next one.
static void no_descriptors(void)
{
    pthread_t threads[2];
    int next = dup(0);
    close(next);
    for (int i = 0; i < 2; i++)
        threads[i] = start(churn, (void *)(intptr_t)100);
    for (int i = 0; i < 30000; i++) {
        int got = dup(0);
        CHECK(got == next, "%d, not %d", got, next);
        close(got);
        if (i % 100 == 0)
            sleep_ms(10);
    }
    for (int i = 0; i < 2; i++)
        join(threads[i]);
}

static pthread_barrier_t barrier;

static void *wait_for_end(void *unused)
{
    (void)unused;
    free(malloc(100));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

// Starts a second thread and frees so much that the allocator has something to do.
static pthread_t with_two_threads(void)
{
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t other = start(wait_for_end, NULL);
    pthread_barrier_wait(&barrier);
    fill_all(8000);
    drop_all();
    if (ours)
        for (int i = 0; tasks() != 3; i++) {
            CHECK(i < 1000, "%d tasks", tasks());
            sleep_ms(1);
        }
    return other;
}

// When the other threads have ended, the process soon has one task again.
static void one_task_again(void)
{
    pthread_t other = with_two_threads();
    pthread_barrier_wait(&barrier);
    join(other);
    for (int i = 0; tasks() != 1; i++) {
        CHECK(i < 1000, "%d tasks", tasks());
        sleep_ms(1);
    }
}

// What `/proc/self/task/ID/status` says.
static bool status_of(const char *task, const char *name, char *value)
{
    char path[300], line[500];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    bool found = false;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && (found = true))
            strcpy(value, line + strlen(name));
    fclose(file);
    return found;
}

// Whether no task has a value of `name` that contains `what`.
static bool nobody_has(const char *name, const char *what)
{
    DIR *folder = opendir("/proc/self/task");
    bool none = true;
    for (struct dirent *task; (task = readdir(folder)) != NULL;) {
        char value[500];
        if (task->d_name[0] != '.' && status_of(task->d_name, name, value))
            none &= strstr(value, what) == NULL;
    }
    closedir(folder);
    return none;
}

// Whether all tasks have the same value of `name`, within two seconds.
static bool all_agree(const char *name)
{
    for (int i = 0; i < 2000; i++) {
        char id[30], wanted[500], value[500];
        snprintf(id, sizeof id, "%d", getpid());
        CHECK(status_of(id, name, wanted), "%s", name);
        DIR *folder = opendir("/proc/self/task");
        bool agree = true;
        for (struct dirent *task; (task = readdir(folder)) != NULL;)
            if (task->d_name[0] != '.' && status_of(task->d_name, name, value))
                agree &= strcmp(value, wanted) == 0;
        closedir(folder);
        if (agree)
            return true;
        sleep_ms(1);
    }
    return false;
}

// No task keeps a user or a group that the program dropped.
static void privileges(void)
{
    if (geteuid() != 0)
        return;
    pthread_t other = with_two_threads();
    gid_t groups[2] = {0, 42};
    CHECK(setgroups(2, groups) == 0 && setgroups(0, NULL) == 0, "%d", errno);
    CHECK(setgid(1234) == 0 && setuid(1234) == 0, "%d", errno);
    CHECK(nobody_has("Uid:", "\t0"), "a task is still root's");
    CHECK(nobody_has("Gid:", "\t0"), "a task has the root's group");
    CHECK(nobody_has("Groups:", "42"), "a task has a group");
    CHECK(all_agree("Uid:") && all_agree("Gid:") && all_agree("CapEff:"), "tasks differ");
    pthread_barrier_wait(&barrier);
    join(other);
}

// Nor a capability: none but the program's own threads had any.
static void capabilities(void)
{
    if (geteuid() != 0)
        return;
    pthread_t other = with_two_threads();
    CHECK(prctl(PR_GET_DUMPABLE) == 1, "not dumpable");
    pthread_barrier_wait(&barrier);
    join(other);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    CHECK(syscall(SYS_capset, &header, none) == 0, "%d", errno);
    CHECK(nobody_has("CapEff:", "f") && nobody_has("CapPrm:", "f"), "a task has capabilities");
}

// A filter that the program installs for all of its tasks.
static void filters(void)
{
    pthread_t other = with_two_threads();
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &all};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "%d", errno);
    long answer = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    CHECK(answer == 0, "%ld %d", answer, errno);
    CHECK(nobody_has("Seccomp:", "0"), "a task has no filter");
    pthread_barrier_wait(&barrier);
    join(other);
}

// A pipe that the program closes has no other writer.
static void pipes_end(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "%d", errno);
    pthread_t other = with_two_threads();
    close(ends[1]);
    char byte;
    CHECK(read(ends[0], &byte, 1) == 0, "%d", errno);
    close(ends[0]);
    pthread_barrier_wait(&barrier);
    join(other);
}

static void expect_own_stack(void)
{
    char here;
    pthread_attr_t attributes;
    void *stack;
    size_t size;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0, "no thread of the program");
    pthread_attr_getstack(&attributes, &stack, &size);
    CHECK(&here > (char *)stack && &here < (char *)stack + size, "a foreign stack");
    dprintf(1, "ok\n");
    _exit(0);
}

static void *last(void *unused)
{
    (void)unused;
    fill_all(8000);
    drop_all();
    sleep_ms(100);
    return NULL;
}

// The process ends with its last thread, on whose stack the handlers run.
static void main_ends_first(void)
{
    atexit(expect_own_stack);
    alarm(2);
    start(last, NULL);
    pthread_exit(NULL);
}

// The last thread may leave by a bare system call: nobody keeps the process.
static void raw_ends(void)
{
    pid_t child = fork();
    if (child == 0) {
        pthread_t other = with_two_threads();
        pthread_barrier_wait(&barrier);
        join(other);
        alarm(3);
        syscall(SYS_exit, 0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "%d", errno);
    CHECK(WIFEXITED(status), "%x", status);
}

// With a real-time thread pinned to one processor, the allocator's task is neither.
static void real_time(void)
{
    cpu_set_t one, all;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    struct sched_param priority = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_RR, &priority) != 0)
        return;
    sched_setaffinity(0, sizeof one, &one);
    pthread_t other = with_two_threads();
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(folder)) != NULL;) {
        char name[500];
        if (task->d_name[0] == '.' || !status_of(task->d_name, "Name:\t", name))
            continue;
        if (strcmp(name, "strata\n") == 0) {
            cpu_set_t its;
            CHECK(sched_getscheduler(atoi(task->d_name)) == SCHED_OTHER, "real time");
            CHECK(sched_getaffinity(atoi(task->d_name), sizeof its, &its) > 0 || errno == 0,
                  "%d", errno);
            CHECK(CPU_EQUAL(&its, &all), "%d processors", CPU_COUNT(&its));
        }
    }
    closedir(folder);
    pthread_barrier_wait(&barrier);
    join(other);
}

// A child of a fork has one task, too, and gives memory back.
static void child_has_one_task(void)
{
    pthread_t other = with_two_threads();
    pid_t child = fork();
    if (child == 0) {
        size_t before = resident();
        fill_all(8000);
        drop_all();
        if (ours)
            CHECK(resident() < before + 45 * MIB, "%zu", resident());
        CHECK(tasks() == 1, "%d", tasks());
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "%d", errno);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
    pthread_barrier_wait(&barrier);
    join(other);
}

// The same with a thread block that is large.
static void two_threads(void)
{
#ifdef LARGE_TLS
    ((volatile char *)large)[LARGE_TLS - 1] = 1;
#endif
    size_t before = resident();
    pthread_t other = with_two_threads();
    if (ours)
        for (int i = 0; resident() > before + 12 * MIB; i++) {
            CHECK(i < 300, "%zu", resident());
            sleep_ms(20);
        }
    pthread_barrier_wait(&barrier);
    join(other);
}

MAIN(CASE(one_task), CASE(forks_in_handlers), CASE(no_descriptors), CASE(one_task_again),
     CASE(privileges), CASE(capabilities), CASE(filters), CASE(pipes_end), CASE(main_ends_first),
     CASE(raw_ends), CASE(real_time), CASE(child_has_one_task), CASE(two_threads))
