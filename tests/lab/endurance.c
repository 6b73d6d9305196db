/* The program of tests/lab/endurance.py. It checks the values of the realtime signals that it gets, which
 * count upwards, and leaves orphans behind when it is asked to. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORPHANS = 50 };

static void leave_orphans(void)
{
    for (int i = 0; i < ORPHANS; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (fork() == 0)
                usleep(rand() % 20000);
            _exit(0);
        }
        if (child > 0)
            waitpid(child, NULL, 0);
    }
}

int main(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int received = 0;
    puts("ready");
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(&all, &info);
        if (number == SIGRTMIN + 1) {
            if (info.si_value.sival_int != received)
                printf("wrong: %d instead of %d\n", info.si_value.sival_int, received);
            received++;
        } else if (number == SIGUSR1) {
            leave_orphans();
            puts("orphaned");
        } else if (number == SIGUSR2) {
            printf("received %d\n", received);
        } else if (number == SIGTERM) {
            return 7;
        }
    }
}
