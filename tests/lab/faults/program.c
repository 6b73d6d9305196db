/* program ACTION...: the program that runs under an init while system calls of that fail. It says on stdout
 * what it was given, does one action after the other, and exits with 3. To loadline it is a Go program. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What Go's linker writes (debug/buildinfo): a magic text, the size of pointers, a flag for strings that
 * follow inline, and the version with its length. There is no list of modules. */
__attribute__((used, section(".go.buildinfo"), aligned(16))) static char buildinfo[48] =
    "\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06go1.24";

static void sleep_for(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) == -1)
        ;
}

/* Leaves a process behind that SIGTERM does not end. */
static void leave_orphan(void)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_IGN);
        if (fork() == 0) {
            close(1);
            close(2);
            sleep_for(20000);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(int count, char **arguments)
{
    const char *memory = getenv("GOMEMLIMIT"), *cpus = getenv("GOMAXPROCS");
    sigset_t set, blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    dprintf(1, "ran GOMEMLIMIT=%s GOMAXPROCS=%s%s\n", memory ? memory : "", cpus ? cpus : "",
            sigismember(&blocked, SIGTERM) ? " blocked" : "");
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    for (int i = 1; i < count; i++) {
        char *action = arguments[i], *value = strchr(action, '=');
        if (value)
            *value++ = 0;
        if (!strcmp(action, "ask")) {
            /* Sends SIGTERM to the init, and waits for what it forwards. */
            struct timespec patience = {1, 0};
            sigprocmask(SIG_BLOCK, &set, NULL);
            kill(getppid(), SIGTERM);
            dprintf(1, "got %d\n", sigtimedwait(&set, NULL, &patience));
        } else if (!strcmp(action, "stay")) {
            /* Sends it too, and does not exit. */
            signal(SIGTERM, SIG_IGN);
            kill(getppid(), SIGTERM);
            sleep_for(20000);
        } else if (!strcmp(action, "orphan")) {
            leave_orphan();
        } else if (!strcmp(action, "sleep")) {
            sleep_for(atol(value));
        } else if (!strcmp(action, "die")) {
            kill(getpid(), SIGKILL);
        } else if (!strcmp(action, "write")) {
            /* write=FILE=TEXT, which is as long as what is there: the kernel's files are never empty. */
            char *text = strchr(value, '=');
            *text++ = 0;
            int file = open(value, O_WRONLY);
            if (file == -1 || write(file, text, strlen(text)) == -1)
                _exit(98);
            close(file);
        }
    }
    return 3;
}
