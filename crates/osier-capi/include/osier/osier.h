/* libosier: Osier's questions for programs in C. docs/c.md has a complete program.
 *
 * Strings are UTF-8 and end with a NUL. A function that can fail takes a place for an error, which may be NULL.
 * Addresses and sizes are the guest's; times are as docs/rows.md says. */

#ifndef OSIER_H
#define OSIER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};

#endif /* ARROW_C_STREAM_INTERFACE */

/**
 * A question that has rows for an answer.
 */
typedef enum {
  /**
   * Processes: rows are `osier_process`.
   */
  OSIER_QUESTION_PROCESSES = 0,
  /**
   * Process handles: rows are `osier_handle`.
   */
  OSIER_QUESTION_HANDLES = 1,
  /**
   * What runs on each processor: rows are `osier_current`.
   */
  OSIER_QUESTION_CURRENT = 2,
  /**
   * Threads: rows are `osier_thread`.
   */
  OSIER_QUESTION_THREADS = 3,
  /**
   * Kernel modules: rows are `osier_module`.
   */
  OSIER_QUESTION_MODULES = 4,
  /**
   * Mappings: rows are `osier_mapping`.
   */
  OSIER_QUESTION_MAPPINGS = 5,
  /**
   * Present pages: rows are `osier_page_range`.
   */
  OSIER_QUESTION_PAGES = 6,
  /**
   * Open files: rows are `osier_open_file`.
   */
  OSIER_QUESTION_FILES = 7,
  /**
   * Environment variables: rows are `osier_variable`.
   */
  OSIER_QUESTION_ENVIRONMENT = 8,
  /**
   * The kernel's log: rows are `osier_log_line`.
   */
  OSIER_QUESTION_LOG = 9,
  /**
   * Processes with all that is known of them: rows are `osier_wide_process`.
   */
  OSIER_QUESTION_WIDE = 10,
  /**
   * Mounts: rows are `osier_mount`.
   */
  OSIER_QUESTION_MOUNTS = 11,
  /**
   * Sockets: rows are `osier_socket`.
   */
  OSIER_QUESTION_SOCKETS = 12,
  /**
   * Network interfaces: rows are `osier_interface`.
   */
  OSIER_QUESTION_INTERFACES = 13,
  /**
   * Tasks and modules by their own bytes: rows are `osier_scanned`.
   */
  OSIER_QUESTION_SCAN = 14,
  /**
   * What does not fit: rows are `osier_finding`.
   */
  OSIER_QUESTION_FINDINGS = 15,
} osier_question;

/**
 * What sort of error.
 */
typedef enum {
  /**
   * An argument that no program should pass: NULL, a number that names nothing.
   */
  OSIER_ERROR_KIND_ARGUMENT = 1,
  /**
   * A file that was named is not there.
   */
  OSIER_ERROR_KIND_NOT_FOUND = 2,
  /**
   * The file is no snapshot.
   */
  OSIER_ERROR_KIND_NOT_A_SNAPSHOT = 3,
  /**
   * The file contradicts its own format.
   */
  OSIER_ERROR_KIND_DAMAGED = 4,
  /**
   * The format, or what was asked of it, is known and not read here.
   */
  OSIER_ERROR_KIND_UNSUPPORTED = 5,
  /**
   * No kernel was found.
   */
  OSIER_ERROR_KIND_NO_KERNEL = 6,
  /**
   * A kernel was found, but not its types or symbols.
   */
  OSIER_ERROR_KIND_SYMBOLS_MISSING = 7,
  /**
   * What was said is not what the snapshot shows.
   */
  OSIER_ERROR_KIND_CONTRADICTION = 8,
  /**
   * What was said cannot be understood.
   */
  OSIER_ERROR_KIND_USAGE = 9,
  /**
   * The operating system refused.
   */
  OSIER_ERROR_KIND_IO = 10,
  /**
   * Guest memory that could not be read.
   */
  OSIER_ERROR_KIND_FAULT = 11,
  /**
   * A fault of Osier itself, which is worth a report.
   */
  OSIER_ERROR_KIND_INTERNAL = 12,
} osier_error_kind;

/**
 * The rows of a question.
 */
typedef struct osier_answer osier_answer;

/**
 * Why something could not be done.
 */
typedef struct osier_error osier_error;

/**
 * A snapshot whose kernel was found.
 */
typedef struct osier_guest osier_guest;

/**
 * A list of PANDA's. What its rows point to lives as long as the list.
 */
typedef struct osier_panda_list osier_panda_list;

/**
 * What is known of a snapshot before it is opened. All zeros, but for `struct_size`, is nothing.
 */
typedef struct {
  /**
   * `sizeof(osier_options)`, as the program was compiled with it.
   */
  size_t struct_size;
  /**
   * The kernel's profile or symbols: a file; or NULL.
   */
  const char *profile;
  /**
   * A folder with profiles; or NULL.
   */
  const char *profiles;
  /**
   * The operating system, as PANDA's `-os` names it; or NULL.
   */
  const char *os;
  /**
   * A folder for what is kept between runs; or NULL, and nothing is kept.
   */
  const char *cache;
  /**
   * A file with registers; or NULL.
   */
  const char *registers;
  /**
   * Physical address of a page-table root, when `has_table_root`.
   */
  uint64_t table_root;
  /**
   * Not 0 when `table_root` is said.
   */
  uint8_t has_table_root;
  /**
   * Not 0 to leave aside the profiles that come with Osier.
   */
  uint8_t no_shipped;
  /**
   * Not 0 to infer the structures of a Linux kernel that has neither types nor a profile. What its memory
   * does not prove is absent.
   */
  uint8_t infer;
  /**
   * Not 0 to read a snapshot behind an address to its end where that is needed.
   */
  uint8_t search;
} osier_options;

/**
 * Bytes of the guest. They need not be UTF-8 and may hold NULs; one more NUL stands behind them.
 */
typedef struct {
  /**
   * The first byte; NULL when the field is absent.
   */
  const char *data;
  /**
   * How many, without the NUL behind them.
   */
  size_t len;
} osier_bytes;

/**
 * A process.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Its id.
   */
  uint64_t pid;
  /**
   * Its parent's id.
   */
  uint64_t ppid;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
   */
  uint64_t taskd;
  /**
   * Physical address of its page-table root.
   */
  uint64_t asid;
  /**
   * Linux: virtual address of the page-table root, `mm->pgd`.
   */
  uint64_t pgd;
  /**
   * Linux: nanoseconds since boot. Windows: FILETIME.
   */
  uint64_t create_time;
  /**
   * The same on the wall clock: nanoseconds since 1970-01-01 UTC.
   */
  int64_t start;
  /**
   * Linux: real user id.
   */
  uint64_t uid;
  /**
   * Linux: real group id.
   */
  uint64_t gid;
  /**
   * Linux: the leader's state, one letter.
   */
  osier_bytes state;
  /**
   * Linux: number of threads.
   */
  uint64_t threads;
  /**
   * Linux: path of the executable.
   */
  osier_bytes exe;
  /**
   * Arguments. Linux: each ended by a NUL.
   */
  osier_bytes cmdline;
  /**
   * Linux: whether it is a thread of the kernel.
   */
  bool kernel_thread;
  /**
   * Windows: FILETIME of its end.
   */
  uint64_t exit_time;
  /**
   * Windows: session id.
   */
  uint64_t session;
  /**
   * Windows: whether it is a 32-bit process of a 64-bit kernel.
   */
  bool wow64;
  /**
   * Windows: address of its `_PEB`.
   */
  uint64_t peb;
  /**
   * Windows: path of its image.
   */
  osier_bytes path;
  /**
   * Which source found it.
   */
  osier_bytes found_by;
} osier_process;

/**
 * What names a process.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
   */
  uint64_t taskd;
  /**
   * Physical address of its page-table root.
   */
  uint64_t asid;
} osier_handle;

/**
 * What runs on a processor.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * The processor's index.
   */
  uint64_t cpu;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * Id of its thread.
   */
  uint64_t tid;
  /**
   * Name of what runs.
   */
  osier_bytes name;
  /**
   * What names its process; see `osier_process`.
   */
  uint64_t taskd;
  /**
   * Physical address of the process's page-table root.
   */
  uint64_t asid;
  /**
   * Address of the thread: `task_struct` or `_ETHREAD`.
   */
  uint64_t task;
  /**
   * The thread's state, one letter.
   */
  osier_bytes state;
  /**
   * Id of the process's parent.
   */
  uint64_t ppid;
  /**
   * The process's name.
   */
  osier_bytes process_name;
  /**
   * Linux: virtual address of the page-table root.
   */
  uint64_t pgd;
  /**
   * When the process started; see `osier_process`.
   */
  uint64_t create_time;
  /**
   * The same on the wall clock.
   */
  int64_t start;
  /**
   * Path of the process's executable.
   */
  osier_bytes exe;
} osier_current;

/**
 * A thread.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * Its id.
   */
  uint64_t tid;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * Its address: `task_struct` or `_ETHREAD`.
   */
  uint64_t task;
  /**
   * Its state, one letter.
   */
  osier_bytes state;
} osier_thread;

/**
 * A kernel module or driver.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * First address of its code.
   */
  uint64_t base;
  /**
   * Bytes.
   */
  uint64_t size;
  /**
   * Path of its file.
   */
  osier_bytes file;
  /**
   * Address of its `struct module` or loader entry.
   */
  uint64_t modd;
} osier_module;

/**
 * A mapping of a process.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * First address.
   */
  uint64_t base;
  /**
   * Bytes.
   */
  uint64_t size;
  /**
   * The file's base name, or a name in brackets.
   */
  osier_bytes name;
  /**
   * The file's path.
   */
  osier_bytes file;
  /**
   * Where in the file it starts, in bytes.
   */
  uint64_t offset;
  /**
   * The kernel's own flags.
   */
  uint64_t flags;
  /**
   * Rights, as `/proc/PID/maps` shows them.
   */
  osier_bytes perms;
  /**
   * What it is for, in a word.
   */
  osier_bytes kind;
  /**
   * Address of its `vm_area_struct`, loader entry or VAD.
   */
  uint64_t modd;
} osier_mapping;

/**
 * A range of present pages of a process.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * First virtual address.
   */
  uint64_t start;
  /**
   * Bytes.
   */
  uint64_t len;
  /**
   * Physical address of the first byte.
   */
  uint64_t phys;
  /**
   * Bytes of each page.
   */
  uint64_t page_size;
  /**
   * Rights and marks of the page-table entries, in words.
   */
  osier_bytes flags;
  /**
   * What the mapping around it is called.
   */
  osier_bytes backing;
} osier_page_range;

/**
 * An open file of a process, of Windows a handle.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * Linux: the descriptor.
   */
  uint64_t fd;
  /**
   * Linux: the path, as the link in `/proc/PID/fd` shows it.
   */
  osier_bytes path;
  /**
   * What it leads to, in a word. Windows: the type of the object.
   */
  osier_bytes kind;
  /**
   * Linux: the flags of `open`.
   */
  uint64_t flags;
  /**
   * Linux: the position in it, in bytes.
   */
  uint64_t pos;
  /**
   * Linux: number of the inode.
   */
  uint64_t inode;
  /**
   * Linux: the file system's device, `MAJOR:MINOR`.
   */
  osier_bytes device;
  /**
   * Linux: address of its `struct sock`, of a socket.
   */
  uint64_t socket;
  /**
   * Linux: address of its `struct file`.
   */
  uint64_t filed;
  /**
   * Windows: the handle.
   */
  uint64_t handle;
  /**
   * Windows: address of the object.
   */
  uint64_t object;
  /**
   * Windows: the rights, an `ACCESS_MASK`.
   */
  uint64_t access;
  /**
   * Windows: what the object is called.
   */
  osier_bytes name;
} osier_open_file;

/**
 * A variable of a process's environment.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * What stands before the `=`.
   */
  osier_bytes name;
  /**
   * What stands behind it.
   */
  osier_bytes value;
  /**
   * Where it stands in the process's memory.
   */
  uint64_t address;
} osier_variable;

/**
 * A record of the kernel's log.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Nanoseconds since boot.
   */
  uint64_t time;
  /**
   * How grave it is, in a word.
   */
  osier_bytes level;
  /**
   * Who speaks, in a word.
   */
  osier_bytes facility;
  /**
   * Who wrote it: `T` and a thread's id, or `C` and a processor's number.
   */
  osier_bytes caller;
  /**
   * The text.
   */
  osier_bytes text;
  /**
   * Its number since boot.
   */
  uint64_t seq;
  /**
   * Address of its descriptor or record.
   */
  uint64_t address;
} osier_log_line;

/**
 * A process with all that is known of it: fields that are not marked otherwise are those of Linux, but for what
 * names the process.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Its id.
   */
  uint64_t pid;
  /**
   * Its parent's id.
   */
  uint64_t ppid;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
   */
  uint64_t taskd;
  /**
   * Physical address of its page-table root.
   */
  uint64_t asid;
  /**
   * Linux: the same, virtual.
   */
  uint64_t pgd;
  /**
   * Linux: nanoseconds since boot. Windows: FILETIME.
   */
  uint64_t create_time;
  /**
   * The same on the wall clock: nanoseconds since 1970-01-01 UTC.
   */
  int64_t start;
  /**
   * Real user id.
   */
  uint64_t uid;
  /**
   * Real group id.
   */
  uint64_t gid;
  /**
   * The leader's state, one letter.
   */
  osier_bytes state;
  /**
   * Number of threads.
   */
  uint64_t threads;
  /**
   * Path of the executable.
   */
  osier_bytes exe;
  /**
   * Arguments. Linux: each ended by a NUL.
   */
  osier_bytes cmdline;
  /**
   * Whether it is a thread of the kernel.
   */
  bool kernel_thread;
  /**
   * Which source found it.
   */
  osier_bytes found_by;
  /**
   * Effective user id.
   */
  uint64_t euid;
  /**
   * Saved user id.
   */
  uint64_t suid;
  /**
   * User id for access to files.
   */
  uint64_t fsuid;
  /**
   * Effective group id.
   */
  uint64_t egid;
  /**
   * Supplementary groups, parted by blanks. Windows: SIDs of the groups.
   */
  osier_bytes groups;
  /**
   * Effective capabilities, a bit each.
   */
  uint64_t caps;
  /**
   * The user who logged in.
   */
  uint64_t loginuid;
  /**
   * How system calls are filtered, in a word.
   */
  osier_bytes seccomp;
  /**
   * Path of its control group.
   */
  osier_bytes cgroup;
  /**
   * The container's id.
   */
  osier_bytes container;
  /**
   * `KIND:NUMBER` of its namespaces, parted by blanks.
   */
  osier_bytes ns;
  /**
   * Its id in its own pid namespace.
   */
  uint64_t ns_pid;
  /**
   * Its session.
   */
  uint64_t session_id;
  /**
   * Its process group.
   */
  uint64_t pgid;
  /**
   * Its controlling terminal.
   */
  osier_bytes tty;
  /**
   * The thread that traces it.
   */
  uint64_t tracer;
  /**
   * -20 to 19.
   */
  int64_t nice;
  /**
   * How it is scheduled, in a word.
   */
  osier_bytes policy;
  /**
   * Nanoseconds in user mode.
   */
  uint64_t utime;
  /**
   * Nanoseconds in the kernel.
   */
  uint64_t stime;
  /**
   * Bytes of all mappings.
   */
  uint64_t vsize;
  /**
   * Bytes in memory.
   */
  uint64_t rss;
  /**
   * The working directory.
   */
  osier_bytes cwd;
  /**
   * The root directory.
   */
  osier_bytes root;
  /**
   * Windows: FILETIME of its end.
   */
  uint64_t exit_time;
  /**
   * Windows: session id.
   */
  uint64_t session;
  /**
   * Windows: whether it is a 32-bit process of a 64-bit kernel.
   */
  bool wow64;
  /**
   * Windows: address of its `_PEB`.
   */
  uint64_t peb;
  /**
   * Windows: path of its image.
   */
  osier_bytes path;
  /**
   * Windows: address of its `_TOKEN`.
   */
  uint64_t token;
  /**
   * Windows: the user's SID, `S-1-5-18`.
   */
  osier_bytes user;
  /**
   * Windows: privileges by name, parted by blanks.
   */
  osier_bytes privileges;
  /**
   * Windows: the integrity level, in a word.
   */
  osier_bytes integrity;
  /**
   * Windows: number of the logon.
   */
  uint64_t logon;
} osier_wide_process;

/**
 * A mount, as a process sees it.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * Its number.
   */
  uint64_t id;
  /**
   * The number of the mount that it stands on.
   */
  uint64_t parent;
  /**
   * The file system's device, `MAJOR:MINOR`.
   */
  osier_bytes device;
  /**
   * What was mounted.
   */
  osier_bytes source;
  /**
   * Which folder or file of the file system is its root.
   */
  osier_bytes root;
  /**
   * Where it stands, from the root directory of the process.
   */
  osier_bytes point;
  /**
   * The type of the file system.
   */
  osier_bytes type;
  /**
   * The mount's own options.
   */
  osier_bytes options;
  /**
   * Options of the file system that are not of its type alone.
   */
  osier_bytes super_options;
  /**
   * Where mounts on it go and come from.
   */
  osier_bytes propagation;
  /**
   * Address of its `struct mount`.
   */
  uint64_t address;
} osier_mount;

/**
 * A socket, by one of the descriptors that lead to it, or by none.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Id of the process that has a descriptor of it.
   */
  uint64_t pid;
  /**
   * The descriptor.
   */
  uint64_t fd;
  /**
   * Family of its protocol, in a word.
   */
  osier_bytes family;
  /**
   * Its type, in a word.
   */
  osier_bytes type;
  /**
   * Its protocol, in a word.
   */
  osier_bytes protocol;
  /**
   * Its own address.
   */
  osier_bytes local;
  /**
   * Its own port.
   */
  uint64_t local_port;
  /**
   * The other end's address.
   */
  osier_bytes remote;
  /**
   * The other end's port.
   */
  uint64_t remote_port;
  /**
   * Its state, in a word.
   */
  osier_bytes state;
  /**
   * Number of its inode; 0 when it has none.
   */
  uint64_t inode;
  /**
   * The name of a UNIX socket.
   */
  osier_bytes path;
  /**
   * Number of its network namespace.
   */
  uint64_t netns;
  /**
   * Address of its `struct sock`.
   */
  uint64_t address;
  /**
   * What waits to be received.
   */
  uint64_t recv_queue;
  /**
   * What waits to be sent or acknowledged.
   */
  uint64_t send_queue;
  /**
   * Number of the interface that it is bound to.
   */
  uint64_t interface;
  /**
   * What leads to it: descriptor, table, or both.
   */
  osier_bytes found_by;
} osier_socket;

/**
 * A network interface.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * Number of its network namespace.
   */
  uint64_t netns;
  /**
   * Its number.
   */
  uint64_t index;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * What it is and does, in words.
   */
  osier_bytes flags;
  /**
   * Its address on the wire.
   */
  osier_bytes mac;
  /**
   * Its addresses, each with the length of its prefix.
   */
  osier_bytes addresses;
  /**
   * The longest packet that it sends.
   */
  uint64_t mtu;
  /**
   * Address of its `net_device`.
   */
  uint64_t address;
} osier_interface;

/**
 * A task or a module, found by its own bytes or named by a list.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * What it is, in a word.
   */
  osier_bytes kind;
  /**
   * Address of its `task_struct` or `struct module`.
   */
  uint64_t address;
  /**
   * The same, physical.
   */
  uint64_t phys;
  /**
   * The process's id.
   */
  uint64_t pid;
  /**
   * The thread's own id.
   */
  uint64_t tid;
  /**
   * Its name.
   */
  osier_bytes name;
  /**
   * Whether the kernel's own list leads to it.
   */
  bool linked;
  /**
   * Whether its memory was given back.
   */
  bool freed;
  /**
   * Whether it says that it has begun to exit.
   */
  bool exited;
  /**
   * What found it, words with commas between.
   */
  osier_bytes found_by;
} osier_scanned;

/**
 * Something that does not fit.
 */
typedef struct {
  /**
   * Bytes of this struct in the library that made it; later versions add fields at the end.
   */
  size_t struct_size;
  /**
   * A bit for each field below, in their order, from the least significant on: whether it has a value.
   */
  uint64_t present;
  /**
   * The rule's name.
   */
  osier_bytes rule;
  /**
   * How much it says: `note`, `medium` or `high`.
   */
  osier_bytes severity;
  /**
   * What it is about.
   */
  osier_bytes subject;
  /**
   * What is found, in words.
   */
  osier_bytes text;
  /**
   * What was read to find it, and where.
   */
  osier_bytes evidence;
  /**
   * The process's id.
   */
  uint64_t pid;
  /**
   * The object in memory.
   */
  uint64_t address;
  /**
   * What would be normal.
   */
  osier_bytes normal;
  /**
   * What else could explain it.
   */
  osier_bytes otherwise;
} osier_finding;

/**
 * A process as PANDA's `OsiProc` has it.
 */
typedef struct {
  /**
   * Linux: `task_struct` of the leader. Windows: `_EPROCESS`.
   */
  uint64_t taskd;
  /**
   * Linux: `mm->pgd`, virtual. Windows: 0.
   */
  uint64_t pgd;
  /**
   * Physical address of the page-table root; all ones where PANDA cannot translate it.
   */
  uint64_t asid;
  /**
   * Its id.
   */
  uint64_t pid;
  /**
   * Its parent's id.
   */
  uint64_t ppid;
  /**
   * Its name; NULL when it could not be read.
   */
  const char *name;
  /**
   * When it started, in the kernel's own unit.
   */
  uint64_t create_time;
} osier_panda_process;

/**
 * A mapping or kernel module as PANDA's `OsiModule` has it.
 */
typedef struct {
  /**
   * Linux: `vm_area_struct`. Windows: the loader entry.
   */
  uint64_t modd;
  /**
   * First address.
   */
  uint64_t base;
  /**
   * Bytes.
   */
  uint64_t size;
  /**
   * The whole path; NULL where PANDA has none.
   */
  const char *file;
  /**
   * The name; NULL where PANDA has none.
   */
  const char *name;
  /**
   * Bytes into the file.
   */
  uint64_t offset;
  /**
   * `vm_flags`.
   */
  uint64_t flags;
} osier_panda_module;

/**
 * A thread as PANDA's `OsiThread` has it.
 */
typedef struct {
  /**
   * Id of its process.
   */
  uint64_t pid;
  /**
   * Its id.
   */
  uint64_t tid;
} osier_panda_thread;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens the snapshot at `path`, a file or an `http://` or `https://` address, and finds its kernel. `options`
 * may be NULL. Where it cannot be done,
 * NULL comes back and `*error`, unless `error` is NULL, says why; free it by `osier_error_free`.
 *
 * A guest may be asked by several threads at once. Free it by `osier_guest_free`; answers live on.
 */
osier_guest *osier_open(const char *path,
                        const osier_options *options,
                        osier_error **error);

/**
 * The same guest once more, for another owner; NULL of NULL.
 */
osier_guest *osier_guest_clone(const osier_guest *guest);

/**
 * Frees a guest; does nothing with NULL.
 */
void osier_guest_free(osier_guest *guest);

/**
 * The kernel's banner or build string, empty where it is not known. It lives as long as the guest.
 */
const char *osier_guest_kernel(const osier_guest *guest);

/**
 * Whether the guest runs Windows; otherwise it runs Linux.
 */
bool osier_guest_is_windows(const osier_guest *guest);

/**
 * Bytes of the guest kernel's pointers: 4 or 8; 0 of NULL.
 */
uint32_t osier_guest_pointer_bytes(const osier_guest *guest);

/**
 * Reads `len` bytes of guest memory at the virtual `address` into `into`: as the process at `taskd`
 * sees it, or as the kernel does when `taskd` is 0. All or nothing: where a byte cannot be read, the
 * error says which and why, and what `into` holds means nothing.
 */
bool osier_read(const osier_guest *guest,
                uint64_t taskd,
                uint64_t address,
                uint8_t *into,
                size_t len,
                osier_error **error);

/**
 * Puts the running kernel's address of the symbol `name` into `*address`; false when its profile has no
 * such symbol.
 */
bool osier_symbol(const osier_guest *guest,
                  const char *name,
                  uint64_t *address);

/**
 * Asks a question: an `osier_question`. `taskd` names the one process whose threads, mappings or pages
 * are asked for; 0 asks for those of every process. Rows come by the `osier_next_` function of
 * the question. Free the answer by `osier_answer_free`. One thread at a time may use it.
 */
osier_answer *osier_ask(const osier_guest *guest,
                        uint32_t question,
                        uint64_t taskd,
                        osier_error **error);

/**
 * The next process; NULL after the last, and of an answer to another question. The row and what it
 * points to live until the next row is asked for, or the answer freed.
 */
const osier_process *osier_next_process(osier_answer *answer);

/**
 * As `osier_next_process`, of process handles.
 */
const osier_handle *osier_next_handle(osier_answer *answer);

/**
 * As `osier_next_process`, of what runs on each processor.
 */
const osier_current *osier_next_current(osier_answer *answer);

/**
 * As `osier_next_process`, of threads.
 */
const osier_thread *osier_next_thread(osier_answer *answer);

/**
 * As `osier_next_process`, of kernel modules.
 */
const osier_module *osier_next_module(osier_answer *answer);

/**
 * As `osier_next_process`, of mappings.
 */
const osier_mapping *osier_next_mapping(osier_answer *answer);

/**
 * As `osier_next_process`, of ranges of present pages.
 */
const osier_page_range *osier_next_page_range(osier_answer *answer);

/**
 * As `osier_next_process`, of open files.
 */
const osier_open_file *osier_next_open_file(osier_answer *answer);

/**
 * As `osier_next_process`, of environment variables.
 */
const osier_variable *osier_next_variable(osier_answer *answer);

/**
 * As `osier_next_process`, of records of the kernel's log.
 */
const osier_log_line *osier_next_log_line(osier_answer *answer);

/**
 * As `osier_next_process`, of processes with all that is known of them.
 */
const osier_wide_process *osier_next_wide_process(osier_answer *answer);

/**
 * As `osier_next_process`, of mounts.
 */
const osier_mount *osier_next_mount(osier_answer *answer);

/**
 * As `osier_next_process`, of sockets.
 */
const osier_socket *osier_next_socket(osier_answer *answer);

/**
 * As `osier_next_process`, of network interfaces.
 */
const osier_interface *osier_next_interface(osier_answer *answer);

/**
 * As `osier_next_process`, of what was scanned.
 */
const osier_scanned *osier_next_scanned(osier_answer *answer);

/**
 * As `osier_next_process`, of findings.
 */
const osier_finding *osier_next_finding(osier_answer *answer);

/**
 * Why a field of the row that is shown is absent: a sentence; NULL when the field has a value. `field` is
 * its number, such as `OSIER_PROCESS_PPID`. The sentence lives as long as the row.
 */
const char *osier_absence(const osier_answer *answer,
                          uint32_t field);

/**
 * Whether every row was given and every walk closed: nothing is missing from the list.
 */
bool osier_answer_is_complete(const osier_answer *answer);

/**
 * Number of values of the rows so far that exist in the guest and could not be read.
 */
size_t osier_answer_losses(const osier_answer *answer);

/**
 * How the walks so far ended, in words. They live until this function is called again, or the
 * answer freed.
 */
const char *osier_answer_ends(osier_answer *answer);

/**
 * Gives the rows of an answer that were not taken yet as a table: Arrow's C stream, in batches, with the columns of
 * `docs/tables.md`. They are walked before this returns, so that `osier_answer_is_complete`, `osier_answer_losses` and
 * `osier_answer_ends` tell of all of them; `osier_next_` functions find no row afterwards. The stream is the caller's,
 * by its `release`, and lives on after the answer. Where it cannot be done, false comes back and `*into` was not
 * touched.
 */
bool osier_answer_arrow(osier_answer *answer,
                        struct ArrowArrayStream *into,
                        osier_error **error);

/**
 * Frees an answer; does nothing with NULL.
 */
void osier_answer_free(osier_answer *answer);

/**
 * What sort of error; an `osier_error_kind`, or 0 of NULL.
 */
uint32_t osier_error_get_kind(const osier_error *error);

/**
 * The error as a sentence for people: the place, the cause, and the way out. It lives as long as the error.
 */
const char *osier_error_message(const osier_error *error);

/**
 * Frees an error; does nothing with NULL.
 */
void osier_error_free(osier_error *error);

/**
 * The processes that PANDA lists, in its order. Free the list by `osier_panda_list_free`.
 */
osier_panda_list *osier_panda_processes(const osier_guest *guest, osier_error **error);

/**
 * The process that runs on processor `cpu` as PANDA has it, alone in its list.
 */
osier_panda_list *osier_panda_current_process(const osier_guest *guest,
                                              uint32_t cpu,
                                              osier_error **error);

/**
 * The process that `taskd` names as PANDA has it, alone in its list.
 */
osier_panda_list *osier_panda_process_of(const osier_guest *guest,
                                         uint64_t taskd,
                                         osier_error **error);

/**
 * The mappings that PANDA lists of the process at `taskd`, in its order and by its names.
 */
osier_panda_list *osier_panda_mappings(const osier_guest *guest,
                                       uint64_t taskd,
                                       osier_error **error);

/**
 * The kernel modules that PANDA lists: none of Linux; of Windows, the head of their list the last.
 */
osier_panda_list *osier_panda_modules(const osier_guest *guest, osier_error **error);

/**
 * The list's processes, and how many in `*count`. They live as long as the list.
 */
const osier_panda_process *osier_panda_list_processes(const osier_panda_list *list, size_t *count);

/**
 * The list's mappings or modules, and how many in `*count`. They live as long as the list.
 */
const osier_panda_module *osier_panda_list_modules(const osier_panda_list *list, size_t *count);

/**
 * Whether nothing of the list was lost on the way.
 */
bool osier_panda_list_is_complete(const osier_panda_list *list);

/**
 * Frees a list; does nothing with NULL.
 */
void osier_panda_list_free(osier_panda_list *list);

/**
 * Puts the thread that runs on processor `cpu` into `*thread`; false where it is not known.
 */
bool osier_panda_current_thread(const osier_guest *guest, uint32_t cpu, osier_panda_thread *thread);

/**
 * Puts the bounds of the heap of the process at `taskd` into `*start_brk` and `*brk`; false where they
 * are not known.
 */
bool osier_heap_bounds(const osier_guest *guest,
                       uint64_t taskd,
                       uint64_t *start_brk,
                       uint64_t *brk);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* The numbers of fields, for `present` and osier_absence(). */
enum osier_process_field {
  OSIER_PROCESS_PID = 0,
  OSIER_PROCESS_PPID = 1,
  OSIER_PROCESS_NAME = 2,
  OSIER_PROCESS_TASKD = 3,
  OSIER_PROCESS_ASID = 4,
  OSIER_PROCESS_PGD = 5,
  OSIER_PROCESS_CREATE_TIME = 6,
  OSIER_PROCESS_START = 7,
  OSIER_PROCESS_UID = 8,
  OSIER_PROCESS_GID = 9,
  OSIER_PROCESS_STATE = 10,
  OSIER_PROCESS_THREADS = 11,
  OSIER_PROCESS_EXE = 12,
  OSIER_PROCESS_CMDLINE = 13,
  OSIER_PROCESS_KERNEL_THREAD = 14,
  OSIER_PROCESS_EXIT_TIME = 15,
  OSIER_PROCESS_SESSION = 16,
  OSIER_PROCESS_WOW64 = 17,
  OSIER_PROCESS_PEB = 18,
  OSIER_PROCESS_PATH = 19,
  OSIER_PROCESS_FOUND_BY = 20,
};

enum osier_handle_field {
  OSIER_HANDLE_TASKD = 0,
  OSIER_HANDLE_ASID = 1,
};

enum osier_current_field {
  OSIER_CURRENT_CPU = 0,
  OSIER_CURRENT_PID = 1,
  OSIER_CURRENT_TID = 2,
  OSIER_CURRENT_NAME = 3,
  OSIER_CURRENT_TASKD = 4,
  OSIER_CURRENT_ASID = 5,
  OSIER_CURRENT_TASK = 6,
  OSIER_CURRENT_STATE = 7,
  OSIER_CURRENT_PPID = 8,
  OSIER_CURRENT_PROCESS_NAME = 9,
  OSIER_CURRENT_PGD = 10,
  OSIER_CURRENT_CREATE_TIME = 11,
  OSIER_CURRENT_START = 12,
  OSIER_CURRENT_EXE = 13,
};

enum osier_thread_field {
  OSIER_THREAD_PID = 0,
  OSIER_THREAD_TID = 1,
  OSIER_THREAD_NAME = 2,
  OSIER_THREAD_TASK = 3,
  OSIER_THREAD_STATE = 4,
};

enum osier_module_field {
  OSIER_MODULE_NAME = 0,
  OSIER_MODULE_BASE = 1,
  OSIER_MODULE_SIZE = 2,
  OSIER_MODULE_FILE = 3,
  OSIER_MODULE_MODD = 4,
};

enum osier_mapping_field {
  OSIER_MAPPING_PID = 0,
  OSIER_MAPPING_BASE = 1,
  OSIER_MAPPING_SIZE = 2,
  OSIER_MAPPING_NAME = 3,
  OSIER_MAPPING_FILE = 4,
  OSIER_MAPPING_OFFSET = 5,
  OSIER_MAPPING_FLAGS = 6,
  OSIER_MAPPING_PERMS = 7,
  OSIER_MAPPING_KIND = 8,
  OSIER_MAPPING_MODD = 9,
};

enum osier_page_range_field {
  OSIER_PAGE_RANGE_PID = 0,
  OSIER_PAGE_RANGE_START = 1,
  OSIER_PAGE_RANGE_LEN = 2,
  OSIER_PAGE_RANGE_PHYS = 3,
  OSIER_PAGE_RANGE_PAGE_SIZE = 4,
  OSIER_PAGE_RANGE_FLAGS = 5,
  OSIER_PAGE_RANGE_BACKING = 6,
};

enum osier_open_file_field {
  OSIER_OPEN_FILE_PID = 0,
  OSIER_OPEN_FILE_FD = 1,
  OSIER_OPEN_FILE_PATH = 2,
  OSIER_OPEN_FILE_KIND = 3,
  OSIER_OPEN_FILE_FLAGS = 4,
  OSIER_OPEN_FILE_POS = 5,
  OSIER_OPEN_FILE_INODE = 6,
  OSIER_OPEN_FILE_DEVICE = 7,
  OSIER_OPEN_FILE_SOCKET = 8,
  OSIER_OPEN_FILE_FILED = 9,
  OSIER_OPEN_FILE_HANDLE = 10,
  OSIER_OPEN_FILE_OBJECT = 11,
  OSIER_OPEN_FILE_ACCESS = 12,
  OSIER_OPEN_FILE_NAME = 13,
};

enum osier_variable_field {
  OSIER_VARIABLE_PID = 0,
  OSIER_VARIABLE_NAME = 1,
  OSIER_VARIABLE_VALUE = 2,
  OSIER_VARIABLE_ADDRESS = 3,
};

enum osier_log_line_field {
  OSIER_LOG_LINE_TIME = 0,
  OSIER_LOG_LINE_LEVEL = 1,
  OSIER_LOG_LINE_FACILITY = 2,
  OSIER_LOG_LINE_CALLER = 3,
  OSIER_LOG_LINE_TEXT = 4,
  OSIER_LOG_LINE_SEQ = 5,
  OSIER_LOG_LINE_ADDRESS = 6,
};

enum osier_wide_process_field {
  OSIER_WIDE_PROCESS_PID = 0,
  OSIER_WIDE_PROCESS_PPID = 1,
  OSIER_WIDE_PROCESS_NAME = 2,
  OSIER_WIDE_PROCESS_TASKD = 3,
  OSIER_WIDE_PROCESS_ASID = 4,
  OSIER_WIDE_PROCESS_PGD = 5,
  OSIER_WIDE_PROCESS_CREATE_TIME = 6,
  OSIER_WIDE_PROCESS_START = 7,
  OSIER_WIDE_PROCESS_UID = 8,
  OSIER_WIDE_PROCESS_GID = 9,
  OSIER_WIDE_PROCESS_STATE = 10,
  OSIER_WIDE_PROCESS_THREADS = 11,
  OSIER_WIDE_PROCESS_EXE = 12,
  OSIER_WIDE_PROCESS_CMDLINE = 13,
  OSIER_WIDE_PROCESS_KERNEL_THREAD = 14,
  OSIER_WIDE_PROCESS_FOUND_BY = 15,
  OSIER_WIDE_PROCESS_EUID = 16,
  OSIER_WIDE_PROCESS_SUID = 17,
  OSIER_WIDE_PROCESS_FSUID = 18,
  OSIER_WIDE_PROCESS_EGID = 19,
  OSIER_WIDE_PROCESS_GROUPS = 20,
  OSIER_WIDE_PROCESS_CAPS = 21,
  OSIER_WIDE_PROCESS_LOGINUID = 22,
  OSIER_WIDE_PROCESS_SECCOMP = 23,
  OSIER_WIDE_PROCESS_CGROUP = 24,
  OSIER_WIDE_PROCESS_CONTAINER = 25,
  OSIER_WIDE_PROCESS_NS = 26,
  OSIER_WIDE_PROCESS_NS_PID = 27,
  OSIER_WIDE_PROCESS_SESSION_ID = 28,
  OSIER_WIDE_PROCESS_PGID = 29,
  OSIER_WIDE_PROCESS_TTY = 30,
  OSIER_WIDE_PROCESS_TRACER = 31,
  OSIER_WIDE_PROCESS_NICE = 32,
  OSIER_WIDE_PROCESS_POLICY = 33,
  OSIER_WIDE_PROCESS_UTIME = 34,
  OSIER_WIDE_PROCESS_STIME = 35,
  OSIER_WIDE_PROCESS_VSIZE = 36,
  OSIER_WIDE_PROCESS_RSS = 37,
  OSIER_WIDE_PROCESS_CWD = 38,
  OSIER_WIDE_PROCESS_ROOT = 39,
  OSIER_WIDE_PROCESS_EXIT_TIME = 40,
  OSIER_WIDE_PROCESS_SESSION = 41,
  OSIER_WIDE_PROCESS_WOW64 = 42,
  OSIER_WIDE_PROCESS_PEB = 43,
  OSIER_WIDE_PROCESS_PATH = 44,
  OSIER_WIDE_PROCESS_TOKEN = 45,
  OSIER_WIDE_PROCESS_USER = 46,
  OSIER_WIDE_PROCESS_PRIVILEGES = 47,
  OSIER_WIDE_PROCESS_INTEGRITY = 48,
  OSIER_WIDE_PROCESS_LOGON = 49,
};

enum osier_mount_field {
  OSIER_MOUNT_PID = 0,
  OSIER_MOUNT_ID = 1,
  OSIER_MOUNT_PARENT = 2,
  OSIER_MOUNT_DEVICE = 3,
  OSIER_MOUNT_SOURCE = 4,
  OSIER_MOUNT_ROOT = 5,
  OSIER_MOUNT_POINT = 6,
  OSIER_MOUNT_TYPE = 7,
  OSIER_MOUNT_OPTIONS = 8,
  OSIER_MOUNT_SUPER_OPTIONS = 9,
  OSIER_MOUNT_PROPAGATION = 10,
  OSIER_MOUNT_ADDRESS = 11,
};

enum osier_socket_field {
  OSIER_SOCKET_PID = 0,
  OSIER_SOCKET_FD = 1,
  OSIER_SOCKET_FAMILY = 2,
  OSIER_SOCKET_TYPE = 3,
  OSIER_SOCKET_PROTOCOL = 4,
  OSIER_SOCKET_LOCAL = 5,
  OSIER_SOCKET_LOCAL_PORT = 6,
  OSIER_SOCKET_REMOTE = 7,
  OSIER_SOCKET_REMOTE_PORT = 8,
  OSIER_SOCKET_STATE = 9,
  OSIER_SOCKET_INODE = 10,
  OSIER_SOCKET_PATH = 11,
  OSIER_SOCKET_NETNS = 12,
  OSIER_SOCKET_ADDRESS = 13,
  OSIER_SOCKET_RECV_QUEUE = 14,
  OSIER_SOCKET_SEND_QUEUE = 15,
  OSIER_SOCKET_INTERFACE = 16,
  OSIER_SOCKET_FOUND_BY = 17,
};

enum osier_interface_field {
  OSIER_INTERFACE_NETNS = 0,
  OSIER_INTERFACE_INDEX = 1,
  OSIER_INTERFACE_NAME = 2,
  OSIER_INTERFACE_FLAGS = 3,
  OSIER_INTERFACE_MAC = 4,
  OSIER_INTERFACE_ADDRESSES = 5,
  OSIER_INTERFACE_MTU = 6,
  OSIER_INTERFACE_ADDRESS = 7,
};

enum osier_scanned_field {
  OSIER_SCANNED_KIND = 0,
  OSIER_SCANNED_ADDRESS = 1,
  OSIER_SCANNED_PHYS = 2,
  OSIER_SCANNED_PID = 3,
  OSIER_SCANNED_TID = 4,
  OSIER_SCANNED_NAME = 5,
  OSIER_SCANNED_LINKED = 6,
  OSIER_SCANNED_FREED = 7,
  OSIER_SCANNED_EXITED = 8,
  OSIER_SCANNED_FOUND_BY = 9,
};

enum osier_finding_field {
  OSIER_FINDING_RULE = 0,
  OSIER_FINDING_SEVERITY = 1,
  OSIER_FINDING_SUBJECT = 2,
  OSIER_FINDING_TEXT = 3,
  OSIER_FINDING_EVIDENCE = 4,
  OSIER_FINDING_PID = 5,
  OSIER_FINDING_ADDRESS = 6,
  OSIER_FINDING_NORMAL = 7,
  OSIER_FINDING_OTHERWISE = 8,
};

/* Whether a field of a row has a value: OSIER_HAS(process, OSIER_PROCESS_PPID). */
#define OSIER_HAS(row, field) (((row)->present >> (field)) & 1)

#endif  /* OSIER_H */
