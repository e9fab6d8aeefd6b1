/* The crowd: many small processes, each odd in one way, all of them still. */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

enum { STACK = 16384 };

static void ready(void)
{
    if (write(READY_FD, "r", 1) != 1)
        return;
    close(READY_FD);
}

static void settle(void)
{
    ready();
    stay();
}

/* Starts a child with a name and something to do; a child that returns stays. */
static pid_t child(const char *name, void (*role)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        call_me(name);
        if (role != NULL)
            role();
        settle();
    }
    if (pid < 0)
        say("cannot fork %s: %s", name, strerror(errno));
    return pid;
}

static void delta(void) {}
static void gamma_(void) { child("delta", delta); }
static void beta(void) { child("gamma", gamma_); }
static void alpha(void) { child("beta", beta); }

static void *named_thread(void *name)
{
    call_me(name);
    stay();
}

static void threader(void)
{
    static char *const names[] = {"worker-a", "worker-b", "thread\xff\xfe", "thr ead", "",
                                  "fifteen-bytes-t", "new\nline", "last)"};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    for (size_t i = 0; i < 8; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, named_thread, names[i]) != 0)
            say("cannot start a thread");
    }
    sleep(1);
}

static void *survivor(void *nothing)
{
    (void)nothing;
    call_me("survivor");
    sleep(1);
    settle();
    return NULL;
}

static void leaderless(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, survivor, NULL);
    syscall(SYS_exit, 0);
}

static void zombie_parent(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        call_me("zombie");
        close(READY_FD);
        _exit(7);
    }
    siginfo_t information;
    waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT);
}

static void user1000(void)
{
    if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1001, 1002) != 0)
        say("cannot change the user");
}

static void touch(void *where, size_t size)
{
    if (where == MAP_FAILED) {
        say("cannot map: %s", strerror(errno));
        return;
    }
    for (size_t at = 0; at < size; at += 4096)
        ((volatile char *)where)[at] = (char)(at >> 12);
}

static void map_file(const char *path, size_t size, int protection, int flags, off_t offset)
{
    int fd = open(path, ((flags & MAP_SHARED) && (protection & PROT_WRITE)) ? O_RDWR : O_RDONLY);
    if (fd < 0) {
        say("cannot open %s: %s", path, strerror(errno));
        return;
    }
    void *where = mmap(NULL, size, protection, flags, fd, offset);
    if (where == MAP_FAILED)
        say("cannot map %s: %s", path, strerror(errno));
    else
        for (size_t at = 0; at < size; at += 4096)
            (void)((volatile char *)where)[at];
    close(fd);
}

static void mapper(void)
{
    const int both = PROT_READ | PROT_WRITE;
    map_file("/data/dir/mapped.bin", 65536, PROT_READ, MAP_PRIVATE, 0);
    map_file("/data/dir/mapped.bin", 16384, both, MAP_SHARED, 0x20000);
    map_file("/data/dir/odd name\n\xff.bin", 8192, PROT_READ, MAP_PRIVATE, 0);
    map_file("/mnt/tmp/on-tmpfs.dat", 16384, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
    touch(mmap(NULL, 131072, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 131072);
    touch(mmap(NULL, 32768, both, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 32768);
    mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    int fd = (int)syscall(SYS_memfd_create, "my-memfd", 0);
    if (fd >= 0 && ftruncate(fd, 8192) == 0)
        touch(mmap(NULL, 8192, both, MAP_SHARED, fd, 0), 8192);

    fd = open("/data/gone.bin", O_RDWR | O_CREAT, 0600);
    if (fd >= 0 && ftruncate(fd, 8192) == 0)
        map_file("/data/gone.bin", 8192, PROT_READ, MAP_PRIVATE, 0);
    unlink("/data/gone.bin");

    int segment = shmget(IPC_PRIVATE, 16384, IPC_CREAT | 0600);
    void *attached = shmat(segment, NULL, 0);
    if (attached != (void *)-1)
        touch(attached, 16384);
    shmctl(segment, IPC_RMID, NULL);

    void *named = mmap(NULL, 12288, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    touch(named, 12288);
    /* Kernels before 5.17, and those built without it, refuse the name. */
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, 12288, "osier rows");

    void *heap = sbrk(65536);
    if (heap != (void *)-1)
        touch(heap, 65536);
}

static void huge_pages(void)
{
    void *where = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (where != MAP_FAILED)
        touch(where, 2 << 20);
}

static void manymaps(void)
{
    for (int i = 0; i < 2000; i++) {
        int protection = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            say("cannot map the %dth time", i);
    }
}

static void thp(void)
{
    const size_t huge = 4 << 20;
    char *where = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (where == MAP_FAILED)
        return;
    where = (char *)(((unsigned long)where + huge - 1) & ~(huge - 1));
    madvise(where, huge, MADV_HUGEPAGE);
    touch(where, huge);
}

static void chrooted(void)
{
    if (chroot("/jail") != 0 || chdir("/lib") != 0)
        say("cannot enter the jail");
    map_file("/lib/inside.so", 32768, PROT_READ, MAP_PRIVATE, 0);
}

/* Keeps one end, whatever it is, and opens what it can. */
static void files(void)
{
    int ends[2];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0)
        say("cannot make a pipe");
    eventfd(1, 0);
    epoll_create1(0);
    timerfd_create(CLOCK_MONOTONIC, 0);
    signalfd(-1, &set, 0);
    int watch = inotify_init();
    inotify_add_watch(watch, "/data", IN_CREATE);
    syscall(SYS_pidfd_open, 1, 0);
    socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    socket(AF_INET6, SOCK_DGRAM, 0);
    open("/proc/self/status", O_RDONLY);
    open("/data", O_RDONLY | O_DIRECTORY);
    open("/data", O_PATH);
    open("/mnt/bound/mapped.bin", O_RDONLY);
    open("/mnt/single", O_RDONLY);
    open("/mnt/merged/below.bin", O_RDONLY);
    open("/mnt/merged/changed.bin", O_RDWR);
    open("/dev/zero", O_RDWR);
    int fd = open("/data/dir/mapped.bin", O_RDONLY);
    lseek(fd, 12345, SEEK_SET);
    dup2(fd, 70);
    dup2(fd, 300);
    fd = open("/data/dropped", O_RDWR | O_CREAT, 0600);
    unlink("/data/dropped");
    mkdir("/data/lost", 0755);
    if (chdir("/data/lost") != 0 || rmdir("/data/lost") != 0)
        say("cannot lose the directory");
}

static void sockets(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/data/unix.sock"};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(tcp, (struct sockaddr *)&at, sizeof at) != 0 || listen(tcp, 5) != 0)
        say("cannot listen: %s", strerror(errno));
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(local, (struct sockaddr *)&path, sizeof path) != 0 || listen(local, 5) != 0)
        say("cannot listen: %s", strerror(errno));
    at.sin_port = htons(5353);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(udp, (struct sockaddr *)&at, sizeof at) != 0)
        say("cannot bind: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        call_me("tcpclient");
        close(tcp);
        close(local);
        at.sin_port = htons(8080);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (struct sockaddr *)&at, sizeof at) != 0)
            say("cannot connect: %s", strerror(errno));
        settle();
    }
    accept(tcp, NULL, NULL);
}

static char namespace_stack[STACK] __attribute__((aligned(16)));

static int namespace_init(void *nothing)
{
    (void)nothing;
    call_me("ns-init");
    child("ns-child", NULL);
    settle();
    return 0;
}

static void new_namespace(void)
{
    if (clone(namespace_init, namespace_stack + STACK, CLONE_NEWPID | SIGCHLD, NULL) < 0)
        say("no pid namespace: %s", strerror(errno));
}

static void own_mounts(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        say("no mount namespace: %s", strerror(errno));
        return;
    }
    mkdir("/mnt/private", 0755);
    if (mount("own", "/mnt/private", "tmpfs", 0, NULL) != 0)
        say("no private mount: %s", strerror(errno));
    mkdir("/mnt/follows", 0755);
    mkdir("/mnt/cannot", 0755);
    if (mount(NULL, "/mnt/private", NULL, MS_SHARED, NULL) != 0 ||
        mount("/mnt/private", "/mnt/follows", NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, "/mnt/follows", NULL, MS_SLAVE, NULL) != 0 ||
        mount("cannot", "/mnt/cannot", "tmpfs", MS_RDONLY | MS_NOEXEC | MS_DIRSYNC, NULL) != 0 ||
        mount(NULL, "/mnt/cannot", NULL, MS_UNBINDABLE, NULL) != 0)
        say("no propagation: %s", strerror(errno));
    int fd = open("/mnt/private/mine.bin", O_RDWR | O_CREAT, 0600);
    if (fd >= 0 && ftruncate(fd, 8192) == 0)
        touch(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), 8192);
}

/* Sockets of IPv6 and of the kinds that need a right, and both ends of a connection. */
static void sockets6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(9090)};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0osier\0abstract"};
    struct sockaddr_nl netlink = {.nl_family = AF_NETLINK, .nl_groups = 0x11};
    at.sin6_addr = in6addr_loopback;
    int tcp = socket(AF_INET6, SOCK_STREAM, 0);
    if (bind(tcp, (struct sockaddr *)&at, sizeof at) != 0 || listen(tcp, 7) != 0)
        say("cannot listen: %s", strerror(errno));
    int client = socket(AF_INET6, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&at, sizeof at) != 0)
        say("cannot connect: %s", strerror(errno));
    int other = accept(tcp, NULL, NULL);
    if (other < 0 || write(client, "unread", 6) != 6)
        say("cannot write: %s", strerror(errno));
    at.sin6_port = htons(5454);
    int udp = socket(AF_INET6, SOCK_DGRAM, 0);
    if (bind(udp, (struct sockaddr *)&at, sizeof at) != 0 ||
        sendto(udp, "datagram", 8, 0, (struct sockaddr *)&at, sizeof at) != 8)
        say("cannot bind: %s", strerror(errno));
    int local = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (bind(local, (struct sockaddr *)&abstract, sizeof abstract.sun_family + 15) != 0)
        say("cannot bind: %s", strerror(errno));
    int route = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (bind(route, (struct sockaddr *)&netlink, sizeof netlink) != 0)
        say("cannot bind netlink: %s", strerror(errno));
    if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ||
        socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) < 0)
        say("no raw socket: %s", strerror(errno));
    if (socket(AF_PACKET, SOCK_RAW, htons(0x0003)) < 0 ||
        socket(AF_PACKET, SOCK_DGRAM, htons(0x0800)) < 0)
        say("no packet socket: %s", strerror(errno));
    struct sockaddr_vm machine = {.svm_family = AF_VSOCK, .svm_port = (unsigned)getpid() + 1024, .svm_cid = VMADDR_CID_ANY};
    int vsock = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (vsock < 0 || bind(vsock, (struct sockaddr *)&machine, sizeof machine) != 0 ||
        listen(vsock, 1) != 0)
        say("no vsock: %s", strerror(errno));
}

/* A connection to a listener of this process; what `accept` gives goes to `other` when that is wanted. */
static int connection(int port, int *listener, int *other)
{
    const int one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(*listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (other == NULL)
        setsockopt(*listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){600}, sizeof(int));
    if (bind(*listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(*listener, 3) != 0)
        say("cannot listen: %s", strerror(errno));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&at, sizeof at) != 0)
        say("cannot connect: %s", strerror(errno));
    if (other != NULL)
        *other = accept(*listener, NULL, NULL);
    return client;
}

/* Sends a descriptor into a socket that nobody reads, and closes it. */
static void in_flight(int through, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = "s", .iov_len = 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (sendmsg(through, &message, 0) != 1)
        say("cannot send a descriptor: %s", strerror(errno));
    close(fd);
}

/* Sockets that no descriptor shows, and states that do not last. */
static void nobodys(void)
{
    int listener, other, pair[2];
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(7373)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7373)};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/data/unix.sock"};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    /* The listener is in a queue of a socket pair, and nowhere else. */
    int client = connection(7070, &listener, &other);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        say("no socket pair: %s", strerror(errno));
    in_flight(pair[0], listener);
    /* Half closed: the client waits for the other's end. */
    close(client);
    client = connection(7171, &listener, &other);
    /* Closed by both, the client first: it waits for stray packets. */
    close(client);
    usleep(100000);
    close(other);
    /* The listener waits for data before it believes in the connection. */
    connection(7272, &listener, NULL);
    /* IPv4 by way of an IPv6 socket, which nobody accepts. */
    int both = socket(AF_INET6, SOCK_STREAM, 0);
    if (bind(both, (struct sockaddr *)&any, sizeof any) != 0 || listen(both, 3) != 0)
        say("cannot listen: %s", strerror(errno));
    client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&at, sizeof at) != 0)
        say("cannot connect: %s", strerror(errno));
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(udp, (struct sockaddr *)&at, sizeof at) != 0)
        say("cannot connect: %s", strerror(errno));
    int lite = socket(AF_INET, SOCK_DGRAM, 136 /* IPPROTO_UDPLITE */);
    if (lite >= 0)
        bind(lite, (struct sockaddr *)&at, sizeof at);
    /* Waits to be accepted. */
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int tries = 0; connect(client, (struct sockaddr *)&path, sizeof path) != 0; tries++) {
        if (tries == 50) {
            say("cannot connect: %s", strerror(errno));
            break;
        }
        usleep(100000);
    }
}

static void own_network(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        say("no network namespace: %s", strerror(errno));
        return;
    }
    loopback_up();
    sockets6();
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        say("cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* As a container's engine does it: every namespace, a control group with a long name, an own root. */
static int container_init(void *nothing)
{
    (void)nothing;
    call_me("container-init");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("/jail", "/jail", NULL, MS_BIND, NULL) != 0 || chroot("/jail") != 0 ||
        chdir("/") != 0 || sethostname("container", 9) != 0)
        say("cannot be a container: %s", strerror(errno));
    loopback_up();
    child("container-app", NULL);
    settle();
    return 0;
}

static void container(void)
{
    static char stack[STACK] __attribute__((aligned(16)));
    char number[16];
    snprintf(number, sizeof number, "%d", getpid());
    put("/sys/fs/cgroup/docker/" CONTAINER "/cgroup.procs", number);
    if (clone(container_init, stack + STACK,
              CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET |
                  0x02000000 /* CLONE_NEWCGROUP */ | SIGCHLD,
              NULL) < 0)
        say("no container: %s", strerror(errno));
}

/* A terminal session with a foreground group, odd rights, and a filter of system calls. */
static void session(void)
{
    static struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog filter = {.len = 1, .filter = allow};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    struct sched_param parameters = {.sched_priority = 0};
    const gid_t groups[] = {4, 24, 1000, 70000};
    memset(&caps, 0, sizeof caps);
    setsid();
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    char path[64];
    unsigned index = 0;
    int unlocked = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) != 0 ||
        ioctl(master, TIOCGPTN, &index) != 0)
        say("no terminal: %s", strerror(errno));
    snprintf(path, sizeof path, "/dev/pts/%u", index);
    int slave = open(path, O_RDWR);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) != 0)
        say("no controlling terminal: %s", strerror(errno));
    put("/proc/self/loginuid", "1234");
    if (sched_setscheduler(0, SCHED_BATCH, &parameters) != 0 ||
        setpriority(PRIO_PROCESS, 0, 5) != 0 || setgroups(4, groups) != 0)
        say("cannot be odd: %s", strerror(errno));
    caps[0].effective = 1u << 13;                  /* CAP_NET_RAW */
    caps[0].permitted = (1u << 13) | (1u << 10);   /* and CAP_NET_BIND_SERVICE */
    caps[1].permitted = 1u << (39 - 32);           /* CAP_BPF */
    caps[0].inheritable = 1u << 13;
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (syscall(SYS_capset, &header, caps) != 0)
        say("cannot set capabilities: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        say("no filter: %s", strerror(errno));
    umask(027);
    if (chdir("/data/dir") != 0)
        say("cannot change the folder: %s", strerror(errno));
}

/* A thousand descriptors, with holes between them. */
static void many_files(void)
{
    struct rlimit limit = {2048, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    int fd = open("/data/dir/mapped.bin", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 1000; i++) {
        int at = 10 + i + (i / 100);
        int copy = i % 3 == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, at) : fcntl(fd, F_DUPFD, at);
        if (copy < 0)
            say("only %d descriptors: %s", i, strerror(errno));
    }
}

/* Files that are in no directory, and places in files. */
static void nameless(void)
{
    int fd = (int)syscall(SYS_memfd_create, "kept open", 1);
    if (fd < 0 || write(fd, "memory", 6) != 6)
        say("no memfd: %s", strerror(errno));
    fd = open("/data", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        say("no nameless file: %s", strerror(errno));
    fd = open("/data/dir/log", O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0644);
    if (write(fd, "line\n", 5) != 5)
        say("cannot write the log");
    open("/proc/self/ns/net", O_RDONLY);
    open("/proc/self/ns/mnt", O_RDONLY);
    mkfifo("/data/fifo", 0600);
    open("/data/fifo", O_RDWR);
    open("/dev/loop0", O_RDONLY | O_DIRECT);
    if (link("/data/dir/log", "/data/dir/linked") != 0)
        say("cannot link");
    open("/data/dir/linked", O_RDONLY);
    unlink("/data/dir/linked");
}

static void own_user(void)
{
    if (unshare(CLONE_NEWUSER) != 0)
        say("no user namespace: %s", strerror(errno));
}

static void bound(void)
{
    map_file("/mnt/bound/mapped.bin", 16384, PROT_READ, MAP_PRIVATE, 0);
    map_file("/mnt/single", 4096, PROT_READ, MAP_PRIVATE, 0);
}

static void overlaid(void)
{
    map_file("/mnt/merged/below.bin", 16384, PROT_READ, MAP_PRIVATE, 0);
    map_file("/mnt/merged/changed.bin", 16384, PROT_READ, MAP_PRIVATE, 0);
    map_file("/mnt/merged/above.bin", 16384, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

static char sharer_stack[STACK] __attribute__((aligned(16)));

static int vm_sharer(void *nothing)
{
    (void)nothing;
    call_me("vm-sharer");
    settle();
    return 0;
}

static void shared_vm(void)
{
    if (clone(vm_sharer, sharer_stack + STACK, CLONE_VM | SIGCHLD, NULL) < 0)
        say("cannot share memory: %s", strerror(errno));
}

/* The parent of a vfork sleeps uninterruptibly, on the address space that its child uses. */
static void vforker(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        call_me("vforked");
        ready();
        for (;;)
            syscall(SYS_pause);
    }
}

static void stopped(void)
{
    ready();
    raise(SIGSTOP);
}

/* A traced process has another parent than its real one. */
static void tracer(void)
{
    int go[2];
    if (pipe(go) != 0)
        return;
    pid_t between = fork();
    if (between == 0) {
        call_me("trace-parent");
        pid_t traced = fork();
        if (traced == 0) {
            call_me("traced");
            /* It may be stopped before it could say that it is ready. */
            close(go[1]);
            close(READY_FD);
            stay();
        }
        if (write(go[1], &traced, sizeof traced) < 0)
            say("cannot tell whom to trace");
        settle();
    }
    pid_t traced = 0;
    if (read(go[0], &traced, sizeof traced) != (ssize_t)sizeof traced ||
        ptrace(PTRACE_ATTACH, traced, NULL, NULL) != 0)
        say("cannot trace: %s", strerror(errno));
    close(go[0]);
    close(go[1]);
}

static void subreaper(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            call_me("orphan");
            setsid();
            settle();
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void grower(void)
{
    volatile char large[300000];
    for (size_t at = sizeof large; at > 4096; at -= 4096)
        large[at - 1] = 1;
    settle();
}

static void locked(void)
{
    void *where = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    touch(where, 65536);
    mlock(where, 65536);
    mprotect((char *)where + 16384, 16384, PROT_READ);
    madvise((char *)where + 49152, 16384, MADV_DONTFORK);
}

/* Becomes another program. What it wrote to the pipe says that it is about to. */
static void become(const char *program, char *const *arguments, char *const *environment)
{
    fcntl(READY_FD, F_SETFD, FD_CLOEXEC);
    if (write(READY_FD, "r", 1) != 1)
        say("cannot say ready");
    execve(program, arguments, environment);
    say("cannot execute %s: %s", program, strerror(errno));
    stay();
}

static void long_arguments(void)
{
    enum { ARGUMENTS = 400, VARIABLES = 150 };
    static char texts[ARGUMENTS + VARIABLES][48];
    static char *arguments[ARGUMENTS + 2], *environment[VARIABLES + 1];
    arguments[0] = "/bin/a-name-longer-than-fifteen-bytes";
    for (int i = 0; i < ARGUMENTS; i++) {
        snprintf(texts[i], sizeof texts[0], "argument-%04d-with-some-more-text", i);
        arguments[i + 1] = i == 7 ? "" : texts[i];
    }
    for (int i = 0; i < VARIABLES; i++) {
        snprintf(texts[ARGUMENTS + i], sizeof texts[0], "VARIABLE_%03d=value %d", i, i * i);
        environment[i] = texts[ARGUMENTS + i];
    }
    become(arguments[0], arguments, environment);
}

static void odd_program(void)
{
    char *arguments[] = {"odd", "one\ntwo", "\xff\xfe", NULL};
    char *environment[] = {"A=1", NULL};
    become("/bin/odd name\n\xff", arguments, environment);
}

static void rewritten(void)
{
    char *arguments[] = {NULL, NULL};
    arguments[0] = "/bin/deleted-program";
    become(arguments[0], arguments, NULL);
}

static void dynamic(void)
{
    char *arguments[] = {"/usr/bin/dynprog", "one", "two words", NULL};
    char *environment[] = {"PATH=/usr/bin", "LD_BIND_NOW=1", NULL};
    become(arguments[0], arguments, environment);
}

static void one_of_many(void)
{
    volatile char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own != MAP_FAILED)
        own[0] = 1;
}

static void burn(void)
{
    volatile unsigned long turns = 0;
    for (;;)
        turns++;
}

static void be_nice(void)
{
    if (setpriority(PRIO_PROCESS, 0, 19) != 0)
        say("cannot be nice");
}

static void spin(void)
{
    be_nice();
    ready();
    burn();
}

static const struct {
    const char *name;
    void (*role)(void);
    int members; /* that will say that they are ready */
} roles[] = {
    {"alpha", alpha, 4},
    {"fifteen-bytes-x", NULL, 1},
    {"with space", NULL, 1},
    {"tab\tnl\nend", NULL, 1},
    {"bad\xff\xfe\x80", NULL, 1},
    {"", NULL, 1},
    {"(paren) S 1", NULL, 1},
    {"back\\slash\"", NULL, 1},
    {"\x1b[31m\x01\x7f\r\v", NULL, 1},
    {"threader", threader, 1},
    {"leaderless", leaderless, 1},
    {"zombie-parent", zombie_parent, 1},
    {"user1000", user1000, 1},
    {"mapper", mapper, 1},
    {"hugetlb", huge_pages, 1},
    {"manymaps", manymaps, 1},
    {"thp", thp, 1},
    {"chrooted", chrooted, 1},
    {"files", files, 1},
    {"sockets", sockets, 2},
    {"ns-parent", new_namespace, 3},
    {"own-mounts", own_mounts, 1},
    {"own-user", own_user, 1},
    {"sockets6", sockets6, 1},
    {"nobodys", nobodys, 1},
    {"own-network", own_network, 1},
    {"container", container, 3},
    {"session", session, 1},
    {"many-files", many_files, 1},
    {"nameless", nameless, 1},
    {"bound", bound, 1},
    {"overlaid", overlaid, 1},
    {"shared-vm", shared_vm, 2},
    {"vforker", vforker, 1},
    {"stopped", stopped, 1},
    {"tracer", tracer, 2},
    {"subreaper", subreaper, 2},
    {"grower", grower, 1},
    {"locked", locked, 1},
    {"longargs", long_arguments, 1},
    {"oddprogram", odd_program, 1},
    {"rewritten", rewritten, 1},
    {"dynamic", dynamic, 1},
};

enum { MANY = 24 };

void crowd(const struct settings *settings)
{
    int null = open("/dev/null", O_RDONLY);
    int expected = 0;
    dup2(null, 0);
    if (null > 2 && null != READY_FD)
        close(null);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        expected += roles[i].members;
    expected += MANY + settings->spinners;
    unsigned char count = (unsigned char)expected;
    if (write(READY_FD, &count, 1) != 1)
        say("cannot say how many");
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        child(roles[i].name, roles[i].role);
    sleep(2);
    unlink("/bin/deleted-program");
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "crowd-%02d", i);
        child(name, one_of_many);
    }
    for (int i = 0; i < settings->spinners; i++) {
        char name[32];
        snprintf(name, sizeof name, "spinner-%d", i);
        child(name, spin);
    }
    close(READY_FD);
    stay();
}

/* The processes that change between two snapshots are children of process 1. */

static volatile sig_atomic_t told;
static void on_told(int number)
{
    (void)number;
    told = 1;
}

static pid_t waiting(const char *name, void (*then)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction action = {.sa_handler = on_told};
        sigset_t block, before;
        sigemptyset(&block);
        sigaddset(&block, SIGUSR1);
        sigprocmask(SIG_BLOCK, &block, &before);
        sigaction(SIGUSR1, &action, NULL);
        setpriority(PRIO_PROCESS, 0, 0);
        call_me(name);
        while (!told)
            sigsuspend(&before);
        then();
        stay();
    }
    return pid;
}

static void execute_now(void)
{
    char *arguments[] = {"after-exec", "was", "event-exec", NULL};
    execv("/bin/after-exec", arguments);
    say("cannot execute: %s", strerror(errno));
}

static void map_now(void) { map_file("/data/event.bin", 32768, PROT_READ, MAP_PRIVATE, 0); }

void changing_start(struct changing *who)
{
    memset(who, 0, sizeof *who);
    who->doomed = waiting("event-doomed", stay);
    who->execs = waiting("event-exec", execute_now);
    who->maps = waiting("event-map", map_now);
}

void changing_change(struct changing *who)
{
    kill(who->doomed, SIGKILL);
    waitpid(who->doomed, NULL, 0);
    kill(who->execs, SIGUSR1);
    kill(who->maps, SIGUSR1);
    who->born = fork();
    if (who->born == 0) {
        be_nice();
        call_me("event-born");
        burn();
    }
}
