/* The witness: reads /proc and streams it as a ustar archive through a serial port. */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { BLOCK = 512, MOST = 1 << 20, MOST_PIDS = 4096, MOST_TIDS = 256 };

/* All of it static: the memory of process 1 must not change while it looks. */
static char content[MOST];
static char outgoing[1 << 16];
static size_t waiting;
static int port = -1;
static int failed;

static void flush(void)
{
    size_t done = 0;
    while (done < waiting && !failed) {
        ssize_t wrote = write(port, outgoing + done, waiting - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote < 0 && errno != EINTR)
            failed = errno;
    }
    waiting = 0;
}

static void send_bytes(const char *bytes, size_t length)
{
    while (length > 0) {
        size_t part = sizeof outgoing - waiting;
        if (part > length)
            part = length;
        memcpy(outgoing + waiting, bytes, part);
        waiting += part;
        bytes += part;
        length -= part;
        if (waiting == sizeof outgoing)
            flush();
    }
}

static void send_padding(uint64_t size)
{
    static const char zeros[BLOCK];
    if (size % BLOCK != 0)
        send_bytes(zeros, BLOCK - (size_t)(size % BLOCK));
}

static void send_header(const char *name, uint64_t size)
{
    char header[BLOCK];
    memset(header, 0, sizeof header);
    snprintf(header, 100, "%s", name);
    strcpy(header + 100, "0000644");
    strcpy(header + 108, "0000000");
    strcpy(header + 116, "0000000");
    snprintf(header + 124, 12, "%011" PRIo64, size);
    strcpy(header + 136, "00000000000");
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof header; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    send_bytes(header, sizeof header);
}

static void send_file(const char *name, const char *bytes, size_t length)
{
    send_header(name, length);
    send_bytes(bytes, length);
    send_padding(length);
}

/* Reads a file into `content`; an unreadable one is empty. */
static size_t slurp(const char *path)
{
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (length < sizeof content) {
        ssize_t got = read(fd, content + length, sizeof content - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(fd);
    return length;
}

static void copy_file(const char *name, const char *path)
{
    send_file(name, content, slurp(path));
}

/* A file too large to hold is read twice: for its length, and for its bytes. */
static void copy_large(const char *name, const char *path)
{
    uint64_t size = 0, sent = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while ((got = read(fd, content, sizeof content)) > 0)
        size += (uint64_t)got;
    send_header(name, size);
    lseek(fd, 0, SEEK_SET);
    while (sent < size && (got = read(fd, content, sizeof content)) > 0) {
        uint64_t part = (uint64_t)got < size - sent ? (uint64_t)got : size - sent;
        send_bytes(content, (size_t)part);
        sent += part;
    }
    for (; sent < size; sent++)
        send_bytes("\n", 1);
    send_padding(size);
    close(fd);
}

/* A symbolic link as its target and a newline; an unreadable one is empty. */
static void copy_link(const char *name, const char *path)
{
    ssize_t length = readlink(path, content, sizeof content - 1);
    if (length < 0)
        length = 0;
    else
        content[length++] = '\n';
    send_file(name, content, (size_t)length);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* One line in the form of `ls -la`: mode, links, owner, group, size, date, name. */
static size_t list_line(size_t at, const struct stat *status, const char *name, const char *target)
{
    static const char letters[] = "rwxrwxrwx";
    char mode[11];
    mode[0] = S_ISLNK(status->st_mode) ? 'l' : S_ISDIR(status->st_mode) ? 'd' : '-';
    for (int bit = 0; bit < 9; bit++)
        mode[bit + 1] = (status->st_mode & (0400u >> bit)) ? letters[bit] : '-';
    mode[10] = '\0';
    int length = snprintf(content + at, sizeof content - at,
                          "%s %4lu %-8u %-8u %8lld Jan  1 00:00 %s%s%s\n", mode,
                          (unsigned long)status->st_nlink, status->st_uid, status->st_gid,
                          (long long)status->st_size, name, target ? " -> " : "",
                          target ? target : "");
    return length > 0 && at + (size_t)length < sizeof content ? at + (size_t)length : at;
}

static void list_directory(const char *name, const char *path)
{
    static char *names[2048];
    static char heap[1 << 15];
    size_t count = 0, used = 0;
    size_t at = (size_t)sprintf(content, "total 0\n");
    DIR *directory = opendir(path);
    if (directory != NULL) {
        struct dirent *entry;
        char own[16];
        snprintf(own, sizeof own, "%d", dirfd(directory));
        int mine = strcmp(path, "/proc/1/fd") == 0;
        while ((entry = readdir(directory)) != NULL && count < 2048) {
            size_t length = strlen(entry->d_name) + 1;
            if (used + length > sizeof heap || (mine && strcmp(entry->d_name, own) == 0))
                continue;
            memcpy(heap + used, entry->d_name, length);
            names[count++] = heap + used;
            used += length;
        }
        closedir(directory);
    }
    qsort(names, count, sizeof names[0], by_name);
    for (size_t i = 0; i < count; i++) {
        char full[512];
        static char target[4097];
        struct stat status;
        snprintf(full, sizeof full, "%s/%s", path, names[i]);
        if (lstat(full, &status) != 0)
            continue;
        ssize_t length = readlink(full, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        at = list_line(at, &status, names[i], length > 0 ? target : NULL);
    }
    send_file(name, content, at);
}

/* What the page table holds: lines of START-END PHYSICAL, one for each run contiguous in both. */
static void copy_present(const char *name, const char *process)
{
    static char maps[1 << 18];
    static uint64_t entries[512];
    char path[64];
    size_t out = 0;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t run_start = 0, run_end = 0, run_physical = 0;

    snprintf(path, sizeof path, "%s/maps", process);
    size_t length = slurp(path);
    if (length >= sizeof maps)
        length = sizeof maps - 1;
    memcpy(maps, content, length);
    maps[length] = '\0';
    snprintf(path, sizeof path, "%s/pagemap", process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (char *line = maps; fd >= 0 && line != NULL && *line != '\0';) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
            break;
        for (uint64_t at = start; at < end;) {
            uint64_t pages = (end - at) / page < 512 ? (end - at) / page : 512;
            ssize_t got = pread(fd, entries, (size_t)pages * 8, (off_t)(at / page * 8));
            if (got < 8)
                break;
            for (ssize_t i = 0; i < got / 8; i++, at += page) {
                uint64_t physical = (entries[i] & ((1ull << 55) - 1)) * page;
                if (!(entries[i] >> 63))
                    continue;
                if (run_end == at && run_physical + (run_end - run_start) == physical) {
                    run_end += page;
                    continue;
                }
                if (run_end != 0)
                    out += (size_t)snprintf(content + out, 64,
                                            "%" PRIx64 "-%" PRIx64 " %" PRIx64 "\n", run_start,
                                            run_end, run_physical);
                run_start = at;
                run_end = at + page;
                run_physical = physical;
                if (out + 128 > sizeof content)
                    goto full;
            }
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
full:
    if (run_end != 0)
        out += (size_t)snprintf(content + out, 64, "%" PRIx64 "-%" PRIx64 " %" PRIx64 "\n",
                                run_start, run_end, run_physical);
    if (fd >= 0)
        close(fd);
    send_file(name, content, out);
}

/* The numbered entries of a directory, in its order. */
static size_t numbers(const char *path, int *list, size_t most)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL && count < most)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            list[count++] = atoi(entry->d_name);
    closedir(directory);
    return count;
}

/* What fdinfo says of every descriptor: after a line `fd N` the file's own lines. */
static void copy_fdinfo(const char *name, const char *process)
{
    static int fds[2048];
    static char text[4096];
    char path[64], own[96];
    size_t at = 0;

    snprintf(path, sizeof path, "%s/fdinfo", process);
    DIR *directory = opendir(path);
    size_t count = 0;
    if (directory != NULL) {
        struct dirent *entry;
        int mine = strcmp(process, "/proc/1") == 0;
        while ((entry = readdir(directory)) != NULL && count < 2048) {
            int fd = atoi(entry->d_name);
            int is_number = entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
            if (is_number && !(mine && fd == dirfd(directory)))
                fds[count++] = fd;
        }
        closedir(directory);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(own, sizeof own, "%s/%d", path, fds[i]);
        int fd = open(own, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t got = read(fd, text, sizeof text);
        close(fd);
        if (at + 64 + sizeof text > sizeof content)
            break;
        at += (size_t)sprintf(content + at, "fd %d\n", fds[i]);
        memcpy(content + at, text, got > 0 ? (size_t)got : 0);
        at += got > 0 ? (size_t)got : 0;
    }
    send_file(name, content, at);
}

/* The kernel's log, a record a line as /dev/kmsg gives it, and its text as syslog(2) does: kernels
 * before 3.5 have that alone. */
static void copy_log(void)
{
    size_t at = 0;
    int text = klogctl(3, content, sizeof content);
    send_file("dmesg", content, text > 0 ? (size_t)text : 0);
    int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && at + 9000 < sizeof content) {
        ssize_t got = read(fd, content + at, 9000);
        if (got > 0)
            at += (size_t)got;
        else if (got == 0 || errno != EPIPE)
            break;
    }
    if (fd >= 0)
        close(fd);
    send_file("kmsg", content, at);
}

/* Interfaces and addresses, a line each, as the kernel tells them by netlink. */
static void copy_addresses(const char *name)
{
    size_t at = 0;
    struct ifaddrs *all = NULL, *one;
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (one = all; one != NULL && at + 512 < sizeof content; one = one->ifa_next) {
        char address[INET6_ADDRSTRLEN] = "", mask[INET6_ADDRSTRLEN] = "";
        int family = one->ifa_addr ? one->ifa_addr->sa_family : 0;
        const void *bytes = NULL, *bits = NULL;
        if (family == AF_INET) {
            bytes = &((struct sockaddr_in *)one->ifa_addr)->sin_addr;
            bits = &((struct sockaddr_in *)one->ifa_netmask)->sin_addr;
        } else if (family == AF_INET6) {
            bytes = &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
            bits = &((struct sockaddr_in6 *)one->ifa_netmask)->sin6_addr;
        }
        if (bytes != NULL) {
            inet_ntop(family, bytes, address, sizeof address);
            inet_ntop(family, bits, mask, sizeof mask);
        } else if (family == AF_PACKET) {
            struct sockaddr_ll *link = (struct sockaddr_ll *)one->ifa_addr;
            size_t out = 0;
            for (int i = 0; i < link->sll_halen && i < 8; i++)
                out += (size_t)sprintf(address + out, i ? ":%02x" : "%02x", link->sll_addr[i]);
            snprintf(mask, sizeof mask, "%d", link->sll_ifindex);
        }
        at += (size_t)sprintf(content + at, "%s %d %x %s %s\n", one->ifa_name, family,
                              one->ifa_flags, address, mask);
    }
    if (all != NULL)
        freeifaddrs(all);
    send_file(name, content, at);
}

/* What /proc/net says, to a reader in the network namespace of `process`. */
static void copy_network(const char *prefix, const char *process)
{
    static const char *const files[] = {"tcp",     "tcp6",   "udp",    "udp6", "udplite",
                                        "raw",     "raw6",   "icmp",   "unix", "netlink",
                                        "packet",  "dev",    "if_inet6", "fib_trie", "route",
                                        "arp",     "sockstat"};
    char name[96], path[96];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", prefix, files[i]);
        snprintf(path, sizeof path, "%s/net/%s", process, files[i]);
        copy_file(name, path);
    }
}

static void copy_process(int pid)
{
    static const char *const files[] = {"stat",    "status",    "maps",   "cmdline", "environ",
                                        "mountinfo", "mounts", "cgroup", "comm", "auxv", "statm",
                                        "loginuid", "sessionid"};
    static const char *const links[] = {"exe", "cwd", "root"};
    static int tids[MOST_TIDS];
    char name[96], path[96], process[32];

    snprintf(process, sizeof process, "/proc/%d", pid);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(name, sizeof name, "p/%d/%s", pid, files[i]);
        snprintf(path, sizeof path, "%s/%s", process, files[i]);
        copy_file(name, path);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(name, sizeof name, "p/%d/%s", pid, links[i]);
        snprintf(path, sizeof path, "%s/%s", process, links[i]);
        copy_link(name, path);
    }
    snprintf(name, sizeof name, "p/%d/fd", pid);
    snprintf(path, sizeof path, "%s/fd", process);
    list_directory(name, path);
    snprintf(name, sizeof name, "p/%d/ns", pid);
    snprintf(path, sizeof path, "%s/ns", process);
    list_directory(name, path);
    snprintf(name, sizeof name, "p/%d/fdinfo", pid);
    copy_fdinfo(name, process);
    {
        static char own[64], first[64];
        snprintf(path, sizeof path, "%s/ns/net", process);
        ssize_t a = readlink(path, own, sizeof own), b = readlink("/proc/1/ns/net", first, sizeof first);
        if (a > 0 && (a != b || memcmp(own, first, (size_t)a) != 0)) {
            snprintf(name, sizeof name, "p/%d/net", pid);
            copy_network(name, process);
            int there = open(path, O_RDONLY | O_CLOEXEC), back = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC);
            if (there >= 0 && back >= 0 && setns(there, CLONE_NEWNET) == 0) {
                snprintf(name, sizeof name, "p/%d/addresses", pid);
                copy_addresses(name);
                if (setns(back, CLONE_NEWNET) != 0)
                    failed = errno;
            }
            close(there);
            close(back);
        }
    }
    snprintf(name, sizeof name, "p/%d/present", pid);
    copy_present(name, process);

    snprintf(path, sizeof path, "%s/task", process);
    size_t count = numbers(path, tids, MOST_TIDS);
    for (size_t i = 0; i < count; i++) {
        static const char *const thread_files[] = {"comm", "stat", "status"};
        for (size_t j = 0; j < 3; j++) {
            snprintf(name, sizeof name, "p/%d/task/%d/%s", pid, tids[i], thread_files[j]);
            snprintf(path, sizeof path, "%s/task/%d/%s", process, tids[i], thread_files[j]);
            copy_file(name, path);
        }
    }
}

int port_open(const char *path, int flags)
{
    struct termios line;
    int fd = open(path, flags | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (tcgetattr(fd, &line) == 0) {
        cfmakeraw(&line);
        line.c_cflag |= CLOCAL | CREAD;
        cfsetspeed(&line, B115200);
        tcsetattr(fd, TCSANOW, &line);
    }
    return fd;
}

int truth_write(const char *path, const char *events, const char *tampered, int symbols)
{
    static int pids[MOST_PIDS];
    static const char end[2 * BLOCK];

    failed = 0;
    port = port_open(path, O_WRONLY);
    if (port < 0)
        return -1;
    /* What does not change comes first, the processes last. */
    if (symbols)
        copy_large("kallsyms", "/proc/kallsyms");
    copy_file("version", "/proc/version");
    copy_file("cmdline", "/proc/cmdline");
    copy_file("cpuinfo", "/proc/cpuinfo");
    copy_file("iomem", "/proc/iomem");
    copy_file("notes", "/sys/kernel/notes");
    copy_file("vmcoreinfo", "/sys/kernel/vmcoreinfo");
    copy_file("mounts", "/proc/mounts");
    copy_file("tcp", "/proc/net/tcp");
    copy_file("udp", "/proc/net/udp");
    copy_file("unix", "/proc/net/unix");
    copy_addresses("addresses");
    copy_network("net", "/proc/1");
    copy_log();
    list_directory("sysmodule", "/sys/module");
    send_file("init.pid", "1\n", 2);
    if (events != NULL)
        send_file("events", events, strlen(events));
    if (tampered != NULL)
        send_file("tampered", tampered, strlen(tampered));
    copy_file("modules", "/proc/modules");
    size_t count = numbers("/proc", pids, MOST_PIDS);
    for (size_t i = 0; i < count; i++)
        copy_process(pids[i]);
    copy_file("meminfo", "/proc/meminfo");
    copy_file("stat", "/proc/stat");
    copy_file("uptime", "/proc/uptime");
    send_bytes(end, sizeof end);
    flush();
    tcdrain(port);
    close(port);
    port = -1;
    if (failed) {
        errno = failed;
        return -1;
    }
    return 0;
}
