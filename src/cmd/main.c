/*
 * dragoman COMMAND ..., or dragoman PROGRAM ... for `run`. Each command is a file of this folder.
 */
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *doc;
} commands[] = {
    {"run", cmd_run, "run a program of another architecture (the word may be left out)"},
    {"sysroot", cmd_sysroot, "create and change trees of Debian packages for guests"},
    {"cache", cmd_cache, "show, check or remove the translations that are kept between runs"},
    {"binfmt", cmd_binfmt, "let the kernel start guest programs under dragoman, in chroots and containers too"},
    {"memtrace", cmd_memtrace, "read what `run --tool=memtrace` wrote"},
    {"dev", cmd_dev, "show what becomes of instructions at each stage"},
};

#define NCOMMANDS (sizeof commands / sizeof commands[0])

void cmd_list(FILE *f)
{
    for (unsigned i = 0; i < NCOMMANDS; i++)
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].doc);
}

int cmd_exit_status(const Status *st)
{
    switch (st->code) {
    case STATUS_OK:
        return 0;
    case STATUS_USAGE:
        return EXIT_USAGE;
    case STATUS_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case STATUS_NOT_RUN:
        return EXIT_NOT_RUN;
    case STATUS_HOST:
        break;
    }
    return EXIT_HOST;
}

int cmd_fail(const Status *st)
{
    fprintf(stderr, "dragoman: %s\n", st->text);
    return cmd_exit_status(st);
}

int main(int argc, char **argv)
{
    if (binfmt_started())
        return binfmt_run(argc, argv);
    if (argc > 1) {
        for (unsigned i = 0; i < NCOMMANDS; i++) {
            if (!strcmp(argv[1], commands[i].name))
                return commands[i].fn(argc - 1, argv + 1);
        }
    }
    return cmd_run(argc, argv);
}
