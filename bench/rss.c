/* Run a command with its output thrown away and print its peak memory in KiB. A small program does this, because the figure that
 * the kernel reports counts what the process had before it called exec. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage use;
    int status;
    pid_t pid = argc > 1 ? fork() : -1;

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &use) != pid || status != 0)
        return 1;
    printf("%ld\n", use.ru_maxrss);
    return 0;
}
