/* The guest's side of the snapshot maker: one static program that is init, the crowd and the
 * witness. It runs no helper program while it bears witness, so that what it says stays true. */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>

/* The pipe end on which a role says that it is ready. */
enum { READY_FD = 3 };

/* Settings that the maker wrote into /etc/maker.conf. */
struct settings {
    int spinners;        /* busy processes */
    int crowd;           /* start the crowd at all */
    int events;          /* two snapshots with changes between them */
    int apart;           /* seconds that lie between the two, at least */
    int offline;         /* a processor that is taken offline; 0: none */
    int symbols;         /* the truth holds the kernel's list of symbols */
    int panic;           /* the kernel panics when the truth is written */
    int tampered;        /* programs and modules that rules find */
    char late_module[64]; /* loaded between the two snapshots; empty: none */
};

/* Builds the crowd as children of the calling process, and never returns. */
void crowd(const struct settings *settings) __attribute__((noreturn));

/* The process families that change between two snapshots. */
struct changing {
    int doomed;   /* is killed */
    int execs;    /* executes another program */
    int maps;     /* maps a file */
    int born;     /* is started */
};
void changing_start(struct changing *who);
void changing_change(struct changing *who);

/* Starts programs and loads modules that rules find, and tells in lines what it did. */
const char *tamper(void);

/* Writes everything that /proc says as a tar archive to the serial port, and waits until it is
 * out. `events` and `tampered`, when not null, become the files of these names. `symbols`: with the
 * kernel's own list of them. Returns 0, or -1 with errno. */
int truth_write(const char *port, const char *events, const char *tampered, int symbols);

/* Opens a serial port without line discipline. Returns the descriptor, or -1 with errno. */
int port_open(const char *port, int flags);

/* Brings up the loopback interface of the caller's network namespace. */
void loopback_up(void);

/* The name of the container that one process of the crowd is in: 64 digits, as engines give it. */
#define CONTAINER "4f0d1e2c3b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"

/* Prints one line on the console. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Names the calling thread. The name is bytes; at most 15 are kept. */
void call_me(const char *name);

/* Waits for ever without using the processor. */
void stay(void) __attribute__((noreturn));

#endif
