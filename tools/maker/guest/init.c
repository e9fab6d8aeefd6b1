/* Process 1: mounts, loads modules, starts the crowd, bears witness, and waits to be stopped. */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    if (write(2, line, (size_t)length) < 0)
        return;
}

void call_me(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

void stay(void)
{
    for (;;)
        pause();
}

/* Lines of the kernel's log that are odd in one way each. */
static void speak_to_log(void)
{
    static const char *const lines[] = {"<11>maker: a line of facility user, level err",
                                        "<30>maker: two\nlines in one record",
                                        "<6>maker: bytes \xff\xfe that are no text"};
    char longest[900];
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (write(fd, lines[i], strlen(lines[i])) < 0)
            say("cannot write to the log: %s", strerror(errno));
    memset(longest, 'l', sizeof longest);
    memcpy(longest, "<5>maker: ", 10);
    if (write(fd, longest, sizeof longest) < 0)
        say("cannot write to the log: %s", strerror(errno));
    close(fd);
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        say("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

static void take_offline(int cpu)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        say("cannot take processor %d offline: %s", cpu, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static int mount_on(const char *what, const char *where, const char *type, unsigned long flags,
                    const char *data)
{
    mkdir(where, 0755);
    if (mount(what, where, type, flags, data) == 0)
        return 1;
    say("cannot mount %s on %s: %s", what, where, strerror(errno));
    return 0;
}

static void load_module(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "/lib/modules/%s.ko", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int loaded = fd >= 0 && syscall(SYS_finit_module, fd, "", 0) == 0;
    /* Kernels before 3.8 take the bytes alone. */
    if (fd >= 0 && !loaded && errno == ENOSYS) {
        off_t size = lseek(fd, 0, SEEK_END);
        void *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            loaded = syscall(SYS_init_module, bytes, (size_t)size, "") == 0;
            munmap(bytes, (size_t)size);
        }
    }
    if (!loaded)
        say("cannot load module %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Where a kernel was built without devtmpfs, the few devices that are needed are made by hand. */
static void make_devices(void)
{
    static const struct {
        const char *path;
        int major, minor;
    } devices[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},   {"/dev/kmsg", 1, 11},
                   {"/dev/ptmx", 5, 2},   {"/dev/ttyS0", 4, 64}, {"/dev/ttyS1", 4, 65},
                   {"/dev/ttyS2", 4, 66}, {"/dev/ttyS3", 4, 67}};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (mknod(devices[i].path, S_IFCHR | 0666,
                  makedev((unsigned)devices[i].major, (unsigned)devices[i].minor)) != 0)
            say("cannot make %s: %s", devices[i].path, strerror(errno));
}

static void read_settings(struct settings *settings)
{
    char line[160];
    FILE *file = fopen("/etc/maker.conf", "re");
    if (file == NULL) {
        say("no /etc/maker.conf");
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char key[32], value[64];
        if (sscanf(line, "%31s %63s", key, value) != 2)
            continue;
        if (strcmp(key, "module") == 0)
            load_module(value);
        else if (strcmp(key, "spinners") == 0)
            settings->spinners = atoi(value);
        else if (strcmp(key, "crowd") == 0)
            settings->crowd = atoi(value);
        else if (strcmp(key, "events") == 0)
            settings->events = atoi(value);
        else if (strcmp(key, "apart") == 0)
            settings->apart = atoi(value);
        else if (strcmp(key, "offline") == 0)
            settings->offline = atoi(value);
        else if (strcmp(key, "symbols") == 0)
            settings->symbols = atoi(value);
        else if (strcmp(key, "panic") == 0)
            settings->panic = atoi(value);
        else if (strcmp(key, "tampered") == 0)
            settings->tampered = atoi(value);
        else if (strcmp(key, "late-module") == 0)
            snprintf(settings->late_module, sizeof settings->late_module, "%s", value);
    }
    fclose(file);
}

static void interface_up(const char *name, const char *label, const char *address, const char *mask)
{
    struct ifreq request;
    struct sockaddr_in *at = (struct sockaddr_in *)&request.ifr_addr;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        say("cannot bring %s up: %s", name, strerror(errno));
    if (label != NULL) {
        memset(&request, 0, sizeof request);
        strcpy(request.ifr_name, label);
        at->sin_family = AF_INET;
        inet_pton(AF_INET, address, &at->sin_addr);
        if (ioctl(fd, SIOCSIFADDR, &request) != 0)
            say("no address for %s: %s", label, strerror(errno));
        inet_pton(AF_INET, mask, &at->sin_addr);
        if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
            say("no mask for %s: %s", label, strerror(errno));
    }
    close(fd);
}

/* The layout of `struct in6_ifreq`, whose header does not go together with netinet/in.h. */
static void address6(int index, const char *address, unsigned prefix)
{
    struct {
        struct in6_addr address;
        unsigned prefix;
        int index;
    } request = {.prefix = prefix, .index = index};
    inet_pton(AF_INET6, address, &request.address);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFADDR, &request) != 0)
        say("no address %s: %s", address, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void loopback_up(void)
{
    interface_up("lo", "lo:1", "10.9.8.7", "255.255.240.0");
    address6(1, "fd00:1:2::3", 48);
}

static void fill(const char *path, char with, int size)
{
    char block[4096];
    memset(block, with, sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    for (int done = 0; done < size; done += (int)sizeof block)
        if (write(fd, block, sizeof block) < 0)
            break;
    close(fd);
}

static void prepare_files(void)
{
    mount_on("proc", "/proc", "proc", 0, NULL);
    mount_on("sys", "/sys", "sysfs", 0, NULL);
    if (!mount_on("dev", "/dev", "devtmpfs", 0, NULL))
        make_devices();
    mount_on("pts", "/dev/pts", "devpts", 0, "ptmxmode=0666");
    mount_on("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL);
    mkdir("/sys/fs/cgroup/docker", 0755);
    mkdir("/sys/fs/cgroup/docker/" CONTAINER, 0755);
    mkdir("/mnt", 0755);
    mount_on("none", "/mnt/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, NULL);
    mount_on("odd \t source\\", "/mnt/odd \n#place", "ramfs", MS_SYNCHRONOUS | MS_NODIRATIME, NULL);
    mount_on("over", "/mnt/odd \n#place", "tmpfs", MS_RDONLY, NULL);
    mkdir("/data", 0755);
    mkdir("/data/dir", 0755);
    mkdir("/jail", 0755);
    mkdir("/jail/lib", 0755);
    fill("/data/dir/mapped.bin", 'm', 262144);
    fill("/data/dir/odd name\n\xff.bin", 'o', 8192);
    fill("/data/event.bin", 'e', 32768);
    fill("/jail/lib/inside.so", 'i', 32768);
    mount_on("inner", "/jail/inner", "tmpfs", 0, NULL);
    fill("/mnt/tmp/on-tmpfs.dat", 't', 32768);

    mkdir("/mnt/bound", 0755);
    if (mount("/data/dir", "/mnt/bound", NULL, MS_BIND, NULL) != 0)
        say("cannot bind /mnt/bound: %s", strerror(errno));
    fill("/mnt/single", 's', 4096);
    if (mount("/data/event.bin", "/mnt/single", NULL, MS_BIND, NULL) != 0)
        say("cannot bind /mnt/single: %s", strerror(errno));

    mkdir("/data/lower", 0755);
    fill("/data/lower/below.bin", 'b', 16384);
    fill("/data/lower/changed.bin", 'c', 16384);
    mkdir("/mnt/tmp/upper", 0755);
    mkdir("/mnt/tmp/work", 0755);
    mount_on("overlay", "/mnt/merged", "overlay", 0,
             "lowerdir=/data/lower,upperdir=/mnt/tmp/upper,workdir=/mnt/tmp/work");
    fill("/mnt/merged/above.bin", 'a', 16384);
    int fd = open("/mnt/merged/changed.bin", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "C", 1) < 0)
            say("cannot change the overlay: %s", strerror(errno));
        close(fd);
    }
}

/* Starts the crowd in a child and waits until each of its members says it is ready. */
static void start_crowd(const struct settings *settings)
{
    int ends[2];
    if (pipe(ends) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        int kept = fcntl(ends[1], F_DUPFD, 100);
        close(ends[1]);
        dup2(kept, READY_FD);
        close(kept);
        char number[16];
        snprintf(number, sizeof number, "%d", settings->spinners);
        execl("/bin/workload", "/bin/workload", number, (char *)NULL);
        say("cannot execute the crowd: %s", strerror(errno));
        _exit(1);
    }
    close(ends[1]);
    char bytes[64];
    ssize_t got;
    int ready = 0, expected = -1;
    alarm(60);
    while ((got = read(ends[0], bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] == 'r')
                ready++;
            else
                expected = (unsigned char)bytes[i];
        }
        if (ready == expected)
            break;
    }
    alarm(0);
    if (ready != expected)
        say("only %d of %d are ready", ready, expected);
    close(ends[0]);
}

static void on_alarm(int number) { (void)number; }

int main(int count, char **arguments)
{
    struct settings settings = {.spinners = 1, .crowd = 1, .symbols = 1};
    if (getpid() != 1) {
        if (strcmp(arguments[0], "/bin/workload") != 0) {
            stay();
        }
        settings.spinners = count > 1 ? atoi(arguments[1]) : 1;
        crowd(&settings);
    }

    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    if (write(2, "maker: up\n", 10) < 0)
        return 1;
    read_settings(&settings);
    prepare_files();
    put_file("/proc/sys/kernel/kptr_restrict", "0");
    put_file("/proc/sys/kernel/printk", "1");
    put_file("/proc/sys/vm/nr_hugepages", "2");
    loopback_up();
    if (if_nametoindex("dummy0") != 0) {
        interface_up("dummy0", "dummy0", "192.0.2.5", "255.255.255.128");
        address6((int)if_nametoindex("dummy0"), "2001:db8::5", 64);
    }
    speak_to_log();
    if (settings.offline > 0)
        take_offline(settings.offline);
    /* The witness must find its own pages as it leaves them. */
    if (mlockall(MCL_CURRENT) != 0)
        say("cannot lock memory: %s", strerror(errno));
    setpriority(PRIO_PROCESS, 0, -20);

    if (settings.crowd)
        start_crowd(&settings);
    struct changing changing;
    int go = -1;
    const char *tampered = settings.tampered ? tamper() : NULL;
    if (settings.events) {
        changing_start(&changing);
        /* Opened late, the port would drop a word that has come already. */
        go = port_open("/dev/ttyS3", O_RDONLY);
    }
    sleep(3);
    say("maker: the crowd has settled");
    if (truth_write("/dev/ttyS1", NULL, tampered, settings.symbols) != 0)
        say("cannot write the truth: %s", strerror(errno));
    say("maker: ready 1");
    if (settings.panic) {
        put_file("/proc/sys/kernel/panic", "0");
        put_file("/proc/sysrq-trigger", "c");
    }
    if (settings.events) {
        char byte;
        if (go < 0 || read(go, &byte, 1) != 1)
            say("no word to go on: %s", strerror(errno));
        if (go >= 0)
            close(go);
        changing_change(&changing);
        if (settings.late_module[0] != '\0')
            load_module(settings.late_module);
        sleep((unsigned)settings.apart);
        char events[512];
        snprintf(events, sizeof events,
                 "killed %d\nexecuted %d\nmapped %d\nstarted %d\nmodule %s\n", changing.doomed,
                 changing.execs, changing.maps, changing.born, settings.late_module);
        if (truth_write("/dev/ttyS2", events, tampered, settings.symbols) != 0)
            say("cannot write the truth: %s", strerror(errno));
        say("maker: ready 2");
    }
    stay();
}
