// Stepping through a part of a program, on x86-64.

#ifndef STEPPING_H
#define STEPPING_H

#include "case.h"

// While the trap flag is set, SIGTRAP is raised after every instruction.
HELPER __attribute__((noinline)) void trace(bool on)
{
    if (on)
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}

HELPER void on_every_instruction(void (*handler)(int))
{
    // The dynamic linker has found both functions when stepping begins.
    free(opaque(malloc(16)));
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0, "%d", errno);
}

#endif
