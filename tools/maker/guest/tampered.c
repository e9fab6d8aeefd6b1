/* What somebody leaves on a machine that they tampered with: programs that rules find, and modules that hide and hook.
 * All of it is put into a throw-away guest, and none of it does anything there. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char record[4096];
static size_t recorded;

/* A line of what was done, for the truth. */
static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(record + recorded, sizeof record - recorded, format, arguments);
    va_end(arguments);
    if (length > 0 && recorded + (size_t)length < sizeof record)
        recorded += (size_t)length;
}

static void copy_file(const char *from, int to)
{
    static char block[65536];
    ssize_t got;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (got = read(fd, block, sizeof block)) > 0)
        if (write(to, block, (size_t)got) != got)
            break;
    if (fd < 0)
        say("cannot copy %s: %s", from, strerror(errno));
    else
        close(fd);
}

static void copy_to(const char *from, const char *to)
{
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (fd < 0) {
        say("cannot write %s: %s", to, strerror(errno));
        return;
    }
    copy_file(from, fd);
    close(fd);
}

/* Code that was put into a process: executable memory that begins as a program does. */
static void injected(void)
{
    char *where = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/init", O_RDONLY | O_CLOEXEC);
    if (where == MAP_FAILED || fd < 0 || read(fd, where, 4096) != 4096)
        say("cannot inject: %s", strerror(errno));
}

/* The same without a head: instructions alone. */
static void shellcode(void)
{
    static const unsigned char code[] = {0x48, 0x31, 0xff, 0x6a, 0x3c, 0x58, 0x0f, 0x05};
    char *where = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (where == MAP_FAILED)
        return;
    memcpy(where, code, sizeof code);
    if (mprotect(where, 4096, PROT_READ | PROT_EXEC) != 0)
        say("cannot protect: %s", strerror(errno));
}

static void deleted(void)
{
    char *arguments[] = {"/tmp/.deleted", NULL};
    execv(arguments[0], arguments);
    say("cannot execute: %s", strerror(errno));
}

static void from_memory(void)
{
    char *arguments[] = {"memfd-program", NULL}, *none[] = {NULL};
    int fd = (int)syscall(SYS_memfd_create, "payload", 1);
    copy_file("/init", fd);
    fexecve(fd, arguments, none);
    say("cannot execute a memfd: %s", strerror(errno));
}

static void dynamic(char *preload)
{
    char *arguments[] = {"/usr/bin/dynprog", NULL}, *environment[] = {preload, NULL};
    execve(arguments[0], arguments, environment);
    say("cannot execute: %s", strerror(errno));
}

static void preloaded(void) { dynamic("LD_PRELOAD=/tmp/libpreload.so"); }
static void preloaded_by_file(void) { dynamic(NULL); }

static void disguised(void)
{
    char *arguments[] = {"[kworker/0:7]", NULL};
    execv("/bin/workload-copy", arguments);
    say("cannot execute: %s", strerror(errno));
}

/* A thread tells its number through a pipe, and stays. */
static int ends[2];
static void *second(void *nothing)
{
    int own = (int)syscall(SYS_gettid);
    (void)nothing;
    call_me("hidden-second");
    if (write(ends[1], &own, sizeof own) != (ssize_t)sizeof own)
        say("cannot tell a thread's number");
    stay();
}
static void threads(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, second, NULL) != 0)
        say("cannot start a thread");
}

static int start(const char *name, void (*role)(void))
{
    int pid = fork();
    if (pid == 0) {
        call_me(name);
        if (role != NULL)
            role();
        stay();
    }
    if (pid < 0)
        say("cannot fork %s: %s", name, strerror(errno));
    else
        note("process %s %d\n", name, pid);
    return pid;
}

static void load(const char *name, const char *parameters)
{
    char path[128];
    snprintf(path, sizeof path, "/lib/modules/%s.ko", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0) != 0)
        say("cannot load module %s: %s", name, strerror(errno));
    else
        note("module %s\n", name);
    if (fd >= 0)
        close(fd);
}

const char *tamper(void)
{
    char parameters[256];
    int thread = 0;

    mkdir("/tmp", 01777);
    copy_to("/init", "/tmp/.deleted");
    copy_to("/init", "/bin/workload-copy");
    copy_to("/lib/libplugin.so", "/tmp/libpreload.so");
    start("injected", injected);
    start("shellcode", shellcode);
    start("deleted", deleted);
    start("memfd", from_memory);
    start("disguised", disguised);
    start("preloaded", preloaded);
    sleep(2);
    unlink("/tmp/.deleted");
    int fd = open("/etc/ld.so.preload", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "/lib/libplugin.so\n", 18) != 18)
        say("cannot write /etc/ld.so.preload: %s", strerror(errno));
    close(fd);
    start("preloaded-by-file", preloaded_by_file);

    int list = start("hidden-list", NULL), table = start("hidden-table", NULL),
        both = start("hidden-both", NULL), detached = start("hidden-detached", NULL),
        credentials = start("credentials", NULL);
    if (pipe(ends) != 0)
        say("no pipe: %s", strerror(errno));
    start("hidden-thread", threads);
    if (read(ends[0], &thread, sizeof thread) == (ssize_t)sizeof thread)
        note("thread hidden-second %d\n", thread);
    close(ends[0]);
    close(ends[1]);
    sleep(1);

    load("tamper_list", "");
    load("tamper_sysfs", "");
    snprintf(parameters, sizeof parameters,
             "list=%d table=%d both=%d detached=%d thread=%d credentials=%d", list, table, both,
             detached, thread, credentials);
    load("tamper_task", parameters);
    load("tamper_tables", "");
    load("tamper_listed", "");
    load("tamper_unlisted", "");
    load("tamper_patch", "");
    load("tamper_inline", "");
    load("tamper_terminal", "");
    load("tamper_format", "");
    return record;
}
