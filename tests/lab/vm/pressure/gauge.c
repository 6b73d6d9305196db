/* Reads the memory files of a v2 cgroup. `gauge CGROUP MILLISECONDS SECONDS` prints a line when
 * memory.events changes, and after this many milliseconds without a change; with 0, only at changes. With a
 * fourth argument, `afresh`, it opens all files except memory.events again each time.
 * `gauge polls CGROUP FILE` prints how poll(2) behaves with memory.events: it moves children into
 * CGROUP/in, which has a small limit, and they read FILE, which is larger. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const NAMES[] = {"memory.events", "memory.stat", "memory.current", "memory.max"};
/* The columns, in this order. tests/lab/vm/threshold.py finds them by name. */
static const char *const EVENTS[] = {"max", "oom", "oom_kill"};
static const char *const STAT[] = {
    "anon", "file", "shmem", "kernel", "kernel_stack", "pagetables", "sec_pagetables", "percpu",
    "sock", "vmalloc", "unevictable", "slab_reclaimable", "slab_unreclaimable", "file_dirty",
    "anon_thp"};
enum { SIZE = 16384 };

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int file_in(const char *directory, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* What a file holds now, read through a descriptor that stays open. */
static int content(int fd, char *text) {
    ssize_t length = pread(fd, text, SIZE - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? -errno : 0;
}

/* The value of a line `name value`, or -1. */
static long field(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, length) && line[length] == ' ')
            return atol(line + length + 1);
    }
    return -1;
}

static void heads(void) {
    printf("kind ms revents current limit");
    for (size_t n = 0; n < sizeof EVENTS / sizeof *EVENTS; n++)
        printf(" %s", EVENTS[n]);
    for (size_t n = 0; n < sizeof STAT / sizeof *STAT; n++)
        printf(" %s", STAT[n]);
    printf("\n");
}

static int watch(const char *cgroup, int pause, int seconds, int afresh) {
    static char events[SIZE], stat[SIZE], current[SIZE], limit[SIZE], line[SIZE];
    int fds[4];
    for (int n = 0; n < 4; n++)
        fds[n] = file_in(cgroup, NAMES[n]);
    char *texts[] = {events, stat, current, limit};
    heads();
    fflush(stdout);
    long end = milliseconds() + seconds * 1000L;
    struct pollfd polled = {.fd = fds[0], .events = POLLPRI};
    int ready = 0;
    while (milliseconds() < end) {
        for (int n = 0; n < 4; n++) {
            if (n && afresh)
                fds[n] = file_in(cgroup, NAMES[n]);
            if (content(fds[n], texts[n]))
                return 0;
            if (n && afresh)
                close(fds[n]);
        }
        int at = snprintf(line, sizeof line, "%c %ld %x %ld %ld", ready ? 'e' : 's', milliseconds(),
                          (unsigned)polled.revents, atol(current), atol(limit));
        for (size_t n = 0; n < sizeof EVENTS / sizeof *EVENTS; n++)
            at += snprintf(line + at, sizeof line - at, " %ld", field(events, EVENTS[n]));
        for (size_t n = 0; n < sizeof STAT / sizeof *STAT; n++)
            at += snprintf(line + at, sizeof line - at, " %ld", field(stat, STAT[n]));
        line[at++] = '\n';
        if (write(1, line, at) != at)
            return 1;
        ready = poll(&polled, 1, pause ? pause : 1000);
        while (!ready && !pause && milliseconds() < end)
            ready = poll(&polled, 1, 1000);
        if (ready < 0)
            return 1;
    }
    return 0;
}

/* A child in the cgroup reads a file to its end. */
static void press(const char *cgroup, const char *file) {
    pid_t child = fork();
    if (!child) {
        static char buffer[65536];
        char procs[4096];
        snprintf(procs, sizeof procs, "%s/cgroup.procs", cgroup);
        int fd = open(procs, O_WRONLY), data = open(file, O_RDONLY);
        if (write(fd, "0", 1) != 1)
            _exit(1);
        while (read(data, buffer, sizeof buffer) > 0)
            ;
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status)
        printf("the child ended with %x\n", (unsigned)status);
}

static void say(const char *what, struct pollfd *polled, int count, int timeout) {
    long begin = milliseconds();
    int ready = poll(polled, count, timeout);
    printf("%s: poll gives %d", what, ready);
    for (int n = 0; n < count; n++)
        printf(", revents %#x%s%s", (unsigned)polled[n].revents,
               polled[n].revents & POLLPRI ? " PRI" : "", polled[n].revents & POLLERR ? " ERR" : "");
    printf(" after %ld ms\n", milliseconds() - begin);
}

static int polls(const char *outer, const char *file) {
    static char text[SIZE];
    char inner[4000];
    snprintf(inner, sizeof inner, "%s/in", outer);
    struct pollfd polled = {.fd = file_in(inner, "memory.events"), .events = POLLPRI};
    say("before the first read", &polled, 1, 100);
    content(polled.fd, text);
    say("after a pread at 0", &polled, 1, 100);
    press(inner, file);
    say("after the limit was met", &polled, 1, 2000);
    say("again, without a read", &polled, 1, 100);
    usleep(20000);
    int length = read(polled.fd, text, SIZE);
    say("after a read that went on (from 0)", &polled, 1, 100);
    press(inner, file);
    say("met again", &polled, 1, 2000);
    length = read(polled.fd, text, SIZE);
    printf("a read at the end of the file: %d bytes\n", length);
    say("after it", &polled, 1, 100);
    content(polled.fd, text);
    say("after a pread at 0", &polled, 1, 100);
    struct pollfd in = {.fd = polled.fd, .events = POLLIN};
    say("for POLLIN, with no news", &in, 1, 100);

    /* A file that nobody has read since it was opened. */
    struct pollfd fresh = {.fd = file_in(inner, "memory.events"), .events = POLLPRI};
    say("a second file, opened after events and never read", &fresh, 1, 100);
    close(fresh.fd);

    struct pollfd three[3] = {{.fd = file_in(outer, "memory.events"), .events = POLLPRI},
                              {.fd = polled.fd, .events = POLLPRI},
                              {.fd = file_in(inner, "memory.events.local"), .events = POLLPRI}};
    for (int n = 0; n < 3; n++)
        content(three[n].fd, text);
    press(inner, file);
    say("limit of the inner: outer, inner, inner's local", three, 3, 2000);
    for (int n = 0; n < 3; n++)
        content(three[n].fd, text), printf("  max %ld\n", field(text, "max"));

    /* Now the outer cgroup has the limit. */
    char path[4096];
    snprintf(path, sizeof path, "%s/memory.max", inner);
    int fd = open(path, O_WRONLY);
    if (write(fd, "max", 3) != 3)
        return 1;
    close(fd);
    snprintf(path, sizeof path, "%s/memory.max", outer);
    fd = open(path, O_WRONLY);
    if (write(fd, "16M", 3) != 3)
        return 1;
    usleep(100000);
    for (int n = 0; n < 3; n++)
        content(three[n].fd, text);
    press(inner, file);
    say("limit of the outer: outer, inner, inner's local", three, 3, 2000);
    for (int n = 0; n < 3; n++)
        content(three[n].fd, text), printf("  max %ld\n", field(text, "max"));
    if (write(fd, "8M", 2) != 2)
        return 1;
    close(fd);
    usleep(100000);
    say("a limit lowered onto page cache: outer", three, 1, 200);
    content(three[0].fd, text), printf("  max %ld\n", field(text, "max"));

    /* Beside a signal. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct pollfd both[2] = {{.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN}, three[0]};
    content(three[0].fd, text);
    say("signalfd and memory.events, with no news", both, 2, 100);
    raise(SIGUSR1);
    say("signalfd and memory.events, a signal", both, 2, 100);
    press(inner, file);
    say("signalfd and memory.events, both", both, 2, 100);

    content(polled.fd, text);
    if (!fork()) {
        usleep(200000);
        _exit(rmdir(inner) ? 1 : 0);
    }
    say("while the cgroup is removed", &polled, 1, 2000);
    int status;
    wait(&status);
    printf("rmdir %s\n", status ? "failed" : "done");
    say("after the cgroup is removed", &polled, 1, 200);
    printf("pread: %s\n", strerror(-content(polled.fd, text)));
    say("after that pread", &polled, 1, 200);
    return 0;
}

int main(int count, char **args) {
    if (count == 4 && !strcmp(args[1], "polls")) {
        setvbuf(stdout, NULL, _IONBF, 0);
        return polls(args[2], args[3]);
    }
    return count >= 4 ? watch(args[1], atoi(args[2]), atoi(args[3]), count > 4) : 2;
}
