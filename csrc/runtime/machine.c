/*
 * machine.c - CPU features, clock and floating-point environment.
 */
#define _POSIX_C_SOURCE 199309L

#include "machine.h"

#include <string.h>
#include <time.h>

bool crnn_machine_has(const char *isa)
{
#if defined(__x86_64__)
    /* The builtins ask the operating system too: XGETBV, not only CPUID. */
    __builtin_cpu_init();
    if (strcmp(isa, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(isa, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    if (strcmp(isa, "neon") == 0)
        return true;
#endif
    return strcmp(isa, "generic") == 0;
}

bool crnn_machine_loads_slowly(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_is("intel");
#else
    return false;
#endif
}

uint64_t crnn_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

/* All exceptions masked, rounding to nearest, subnormals kept. */
#define DEFAULT_MXCSR 0x1f80u

crnn_fpenv crnn_fpenv_enter(void)
{
    uint32_t callers, standard = DEFAULT_MXCSR;
    __asm__ volatile("stmxcsr %0" : "=m"(callers) : : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(standard) : "memory");
    return (crnn_fpenv){.control = callers};
}

void crnn_fpenv_leave(crnn_fpenv callers)
{
    uint32_t mxcsr = (uint32_t)callers.control;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

#elif defined(__aarch64__)

crnn_fpenv crnn_fpenv_enter(void)
{
    crnn_fpenv callers;
    const uint64_t standard = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(callers.control) : : "memory");
    __asm__ volatile("mrs %0, fpsr" : "=r"(callers.status) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(standard) : "memory");
    return callers;
}

void crnn_fpenv_leave(crnn_fpenv callers)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(callers.control) : "memory");
    __asm__ volatile("msr fpsr, %0" : : "r"(callers.status) : "memory");
}

#else

crnn_fpenv crnn_fpenv_enter(void) { return (crnn_fpenv){0}; }
void crnn_fpenv_leave(crnn_fpenv callers) { (void)callers; }

#endif
