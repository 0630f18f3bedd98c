/* A guest for binfmt.py: prints its arguments and rights; "again" runs itself once more by its path. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "again") == 0) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            char *const v[] = { "second", argv[2], NULL }, *const e[] = { NULL };
            execve(argv[2], v, e);
            _exit(99);
        }
        waitpid(pid, &status, 0);
        printf("status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    for (int i = 0; i < argc; i++)
        printf("%s%s", i ? "|" : "", argv[i]);
    printf(" secure %lu next fd %d\n", getauxval(AT_SECURE), dup(0));
    return 7;
}
