/*
 * cpus.c - affinity and the CPU quota of control groups.
 */
#define _GNU_SOURCE

#include "cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t online(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 1 ? (size_t)n : 1;
}

#ifdef __linux__

crnn_cpus crnn_cpus_allowed(void)
{
    crnn_cpus cpus = {0};
    if (sched_getaffinity(0, sizeof cpus.mask, (cpu_set_t *)cpus.mask) == 0)
        cpus.count = (size_t)CPU_COUNT_S(sizeof cpus.mask, (cpu_set_t *)cpus.mask);
    if (cpus.count == 0)
        cpus.count = online();
    return cpus;
}

int crnn_cpus_current(void) { return sched_getcpu(); }

void crnn_cpus_avoid(pthread_t like, const int *taken, size_t n)
{
    crnn_cpus left = {0};
    cpu_set_t *mask = (cpu_set_t *)left.mask;
    if (pthread_getaffinity_np(like, sizeof left.mask, mask) != 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (taken[i] >= 0)
            CPU_CLR_S((size_t)taken[i], sizeof left.mask, mask);
    if (CPU_COUNT_S(sizeof left.mask, mask) > 0)
        crnn_cpus_pin(pthread_self(), &left);
}

void crnn_cpus_pin(pthread_t thread, const crnn_cpus *cpus)
{
    pthread_setaffinity_np(thread, sizeof cpus->mask, (const cpu_set_t *)cpus->mask);
}

/* The text of a file, cut to size-1 characters; false if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 &&
           (got = read(file, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    text[length] = '\0';
    return length > 0;
}

/* Append to a path; false if it would not fit. */
static bool append(char *path, size_t size, const char *piece, size_t length)
{
    const size_t end = strlen(path);
    if (length >= size - end)
        return false;
    memcpy(path + end, piece, length);
    path[end + length] = '\0';
    return true;
}

/* quota / period, rounded up; SIZE_MAX for "max", -1 or anything odd. */
static size_t rounded_up(const char *quota, const char *period)
{
    const long long q = strtoll(quota, NULL, 10), p = strtoll(period, NULL, 10);
    return q > 0 && p > 0 ? (size_t)((q - 1) / p + 1) : SIZE_MAX;
}

/* The quota that the files in one directory state. */
static size_t quota_in(char *path, size_t size)
{
    char text[64], period[64];
    const size_t end = strlen(path);
    size_t quota = SIZE_MAX;
    if (append(path, size, "/cpu.max", 8) && read_text(path, text, sizeof text)) {
        const char *space = strchr(text, ' ');
        quota = space ? rounded_up(text, space) : SIZE_MAX;
    }
    path[end] = '\0';
    if (quota == SIZE_MAX && append(path, size, "/cpu.cfs_quota_us", 17) &&
        read_text(path, text, sizeof text)) {
        path[end] = '\0';
        if (append(path, size, "/cpu.cfs_period_us", 18) &&
            read_text(path, period, sizeof period))
            quota = rounded_up(text, period);
    }
    path[end] = '\0';
    return quota;
}

/* The least quota of a group and of those above it.  A container may see its own group
 * as the root of the mount while its name is still the host's: levels that do not exist
 * are skipped. */
static size_t quota_of_group(const char *root, const char *mount, const char *group,
                             size_t length)
{
    char path[4096] = "";
    if (!append(path, sizeof path, root, strlen(root)) ||
        !append(path, sizeof path, mount, strlen(mount)))
        return SIZE_MAX;
    const size_t top = strlen(path);
    if (!append(path, sizeof path, group, length) || strstr(path + top, "/.."))
        path[top] = '\0';
    size_t least = SIZE_MAX;
    for (;;) {
        const size_t quota = quota_in(path, sizeof path);
        least = quota < least ? quota : least;
        if (path[top] == '\0')
            return least;
        *strrchr(path + top, '/') = '\0';
    }
}

/* Whether a comma-separated list of controllers has "cpu". */
static bool names_cpu(const char *list, const char *end)
{
    for (const char *name = list; name < end; name = strchr(name, ',') + 1) {
        const size_t length = strcspn(name, ",:");
        if (length == 3 && memcmp(name, "cpu", 3) == 0)
            return true;
        if (name + length >= end)
            break;
    }
    return false;
}

/* Lines "0::/group" (version 2) and "4:cpu,cpuacct:/group" (version 1). */
size_t crnn_cpus_quota(const char *root)
{
    char text[4096], path[512] = "";
    size_t least = SIZE_MAX;
    if (!append(path, sizeof path, root, strlen(root)) ||
        !append(path, sizeof path, "/proc/self/cgroup", 17) ||
        !read_text(path, text, sizeof text))
        return SIZE_MAX;
    for (char *line = text; *line;) {
        char *end = line + strcspn(line, "\n");
        char *list = memchr(line, ':', (size_t)(end - line));
        char *group = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        const char *mount = !group                       ? NULL
                            : group == list + 1          ? "/sys/fs/cgroup"
                            : names_cpu(list + 1, group) ? "/sys/fs/cgroup/cpu"
                                                         : NULL;
        if (mount && group[1] == '/') {
            const size_t length = end == group + 2 ? 0 : (size_t)(end - group - 1);
            const size_t quota = quota_of_group(root, mount, group + 1, length);
            least = quota < least ? quota : least;
        }
        line = *end ? end + 1 : end;
    }
    return least;
}

#else

crnn_cpus crnn_cpus_allowed(void) { return (crnn_cpus){.count = online()}; }

int crnn_cpus_current(void) { return -1; }

void crnn_cpus_avoid(pthread_t like, const int *taken, size_t n)
{
    (void)like, (void)taken, (void)n;
}

void crnn_cpus_pin(pthread_t thread, const crnn_cpus *cpus)
{
    (void)thread, (void)cpus;
}

size_t crnn_cpus_quota(const char *root)
{
    (void)root;
    return SIZE_MAX;
}

#endif
