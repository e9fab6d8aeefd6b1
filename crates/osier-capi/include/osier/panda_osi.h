/* PANDA's OSI over a snapshot: the types of its osi_types.h and the functions of its osi_ext.h, for
 * programs that were written against PANDA's plugin.
 *
 *     #include <osier/panda_osi.h>
 *     if (!panda_osi_open("snapshot.elf", NULL)) { fprintf(stderr, "%s\n", panda_osi_error()); exit(1); }
 *     GArray *ps = get_processes(panda_osi_cpu(0));
 *
 * TARGET_LONG_BITS is the guest's width, 32 or 64 (64 unless it is defined), as PANDA fixes it when it is
 * built; panda_osi_open() refuses a guest of another. A CPUState stands for a processor of the snapshot.
 * GArrays are made by the program's own GLib. One snapshot is open at a time; several threads may ask it.
 *
 * Where PANDA leaves memory as it was (the pgd of a Windows process) there is 0 here. A list of which
 * something could not be read is as long as it could be read; panda_osi_complete() says so.
 *
 * Source: panda-re/panda at c3634879, panda/plugins/osi. */

#ifndef OSIER_PANDA_OSI_H
#define OSIER_PANDA_OSI_H

#include <ctype.h>
#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "osier.h"

#ifndef TARGET_LONG_BITS
#define TARGET_LONG_BITS 64
#endif

#if TARGET_LONG_BITS == 64
typedef uint64_t target_ulong;
#define TARGET_FMT_lx "%016" PRIx64
#define TARGET_FMT_ld "%" PRId64
#define TARGET_FMT_lu "%" PRIu64
#else
typedef uint32_t target_ulong;
#define TARGET_FMT_lx "%08x"
#define TARGET_FMT_ld "%d"
#define TARGET_FMT_lu "%u"
#endif

typedef target_ulong target_ptr_t;
typedef int32_t target_pid_t;
#define TARGET_PTR_FMT TARGET_FMT_lx
#define TARGET_PID_FMT "%u"

/* A processor of the snapshot. */
typedef struct CPUState {
    int cpu_index;
} CPUState;

typedef struct osi_page_struct {
    target_ptr_t start;
    target_ulong len;
} OsiPage;

typedef struct osi_proc_mem {
    target_ptr_t start_brk;
    target_ptr_t brk;
} OsiProcMem;

typedef struct osi_module_struct {
    target_ptr_t modd;
    target_ptr_t base;
    target_ptr_t size;
    char *file;
    char *name;
    unsigned long offset;
    unsigned long flags;
} OsiModule;

typedef struct osi_proc_handle_struct {
    target_ptr_t taskd;
    target_ptr_t asid;
} OsiProcHandle;

typedef struct osi_thread_struct {
    target_pid_t pid;
    target_pid_t tid;
} OsiThread;

typedef struct osi_proc_struct {
    target_ptr_t taskd;
    target_ptr_t pgd;
    target_ptr_t asid;
    target_pid_t pid;
    target_pid_t ppid;
    char *name;
    OsiPage *pages;
    uint64_t create_time;
} OsiProc;

/* The snapshot that is open. */
struct panda_osi_state {
    osier_guest *guest;
    bool lost;
    char error[1024];
};

/* One for the whole program, whichever of its files includes this header. */
__attribute__((weak)) struct panda_osi_state panda_osi_state;

static inline void panda_osi_fail(osier_error *error) {
    panda_osi_state.lost = true;
    if (error) {
        strncpy(panda_osi_state.error, osier_error_message(error), sizeof panda_osi_state.error - 1);
        osier_error_free(error);
    }
}

/* Opens the snapshot that the functions below are about. Options may be NULL. */
static inline bool panda_osi_open(const char *path, const osier_options *options) {
    osier_error *error = NULL;
    osier_guest *guest = osier_open(path, options, &error);
    if (!guest) {
        panda_osi_fail(error);
        return false;
    }
    if (osier_guest_pointer_bytes(guest) * 8 != TARGET_LONG_BITS) {
        osier_guest_free(guest);
        strcpy(panda_osi_state.error, TARGET_LONG_BITS == 64
            ? "the guest is one of 32 bits: compile with -DTARGET_LONG_BITS=32"
            : "the guest is one of 64 bits: compile with -DTARGET_LONG_BITS=64");
        return false;
    }
    osier_guest_free(panda_osi_state.guest);
    panda_osi_state.guest = guest;
    panda_osi_state.lost = false;
    panda_osi_state.error[0] = '\0';
    return true;
}

static inline void panda_osi_close(void) {
    osier_guest_free(panda_osi_state.guest);
    panda_osi_state.guest = NULL;
}

/* Why panda_osi_open() failed, or the last list could not be made; empty when nothing did. */
static inline const char *panda_osi_error(void) { return panda_osi_state.error; }

/* Whether nothing that was asked so far was lost on the way. */
static inline bool panda_osi_complete(void) { return !panda_osi_state.lost; }

/* A processor of the snapshot, by its index. */
static inline CPUState *panda_osi_cpu(int index) {
    static CPUState cpus[1024];
    if (index < 0 || index >= 1024) {
        return NULL;
    }
    cpus[index].cpu_index = index;
    return &cpus[index];
}

static inline char *panda_osi_text(const char *text) { return text ? g_strdup(text) : NULL; }

/* The list, or NULL; notes what was lost. */
static inline osier_panda_list *panda_osi_list(osier_panda_list *list, osier_error *error) {
    if (!list) {
        panda_osi_fail(error);
    } else if (!osier_panda_list_is_complete(list)) {
        panda_osi_state.lost = true;
    }
    return list;
}

/* What frees, as osi_types.h has it. */

static inline void free_osiprochandle(OsiProcHandle *h) { g_free(h); }
static inline void free_osithread(OsiThread *t) { g_free(t); }
static inline void free_osipage(OsiPage *p) { g_free(p); }

static inline void free_osimodule_contents(OsiModule *m) {
    if (m) {
        g_free(m->file);
        g_free(m->name);
    }
}

static inline void free_osimodule(OsiModule *m) {
    free_osimodule_contents(m);
    g_free(m);
}

static inline void free_osiproc_contents(OsiProc *p) {
    if (p) {
        g_free(p->name);
        g_free(p->pages);
    }
}

static inline void free_osiproc(OsiProc *p) {
    free_osiproc_contents(p);
    g_free(p);
}

/* What copies: into `to`, or into new memory when it is NULL. */

static inline OsiProcHandle *copy_osiprochandle(OsiProcHandle *from, OsiProcHandle *to) {
    if (!from) return NULL;
    if (!to) to = g_new0(OsiProcHandle, 1);
    *to = *from;
    return to;
}

static inline OsiThread *copy_osithread(OsiThread *from, OsiThread *to) {
    if (!from) return NULL;
    if (!to) to = g_new0(OsiThread, 1);
    *to = *from;
    return to;
}

static inline OsiModule *copy_osimod(OsiModule *from, OsiModule *to) {
    if (!from) return NULL;
    if (!to) to = g_new0(OsiModule, 1);
    *to = *from;
    to->file = panda_osi_text(from->file);
    to->name = panda_osi_text(from->name);
    return to;
}

static inline OsiProc *copy_osiproc(OsiProc *from, OsiProc *to) {
    if (!from) return NULL;
    if (!to) to = g_new0(OsiProc, 1);
    *to = *from;
    to->name = panda_osi_text(from->name);
    to->pages = NULL;
    return to;
}

/* How the library's rows become PANDA's. */

static inline void panda_osi_fill_proc(OsiProc *to, const osier_panda_process *from) {
    to->taskd = (target_ptr_t)from->taskd;
    to->pgd = (target_ptr_t)from->pgd;
    to->asid = (target_ptr_t)from->asid;
    to->pid = (target_pid_t)from->pid;
    to->ppid = (target_pid_t)from->ppid;
    to->name = panda_osi_text(from->name);
    to->pages = NULL;
    to->create_time = from->create_time;
}

static inline GArray *panda_osi_modules(osier_panda_list *list) {
    size_t count = 0;
    const osier_panda_module *rows = osier_panda_list_modules(list, &count);
    GArray *all = NULL;
    /* PANDA gives NULL where it has no list. */
    if (count) {
        all = g_array_sized_new(false, false, sizeof(OsiModule), (guint)count);
        g_array_set_clear_func(all, (GDestroyNotify)free_osimodule_contents);
    }
    for (size_t i = 0; i < count; i++) {
        OsiModule one = {
            .modd = (target_ptr_t)rows[i].modd,
            .base = (target_ptr_t)rows[i].base,
            .size = (target_ptr_t)rows[i].size,
            .file = panda_osi_text(rows[i].file),
            .name = panda_osi_text(rows[i].name),
            .offset = (unsigned long)rows[i].offset,
            .flags = (unsigned long)rows[i].flags,
        };
        g_array_append_val(all, one);
    }
    osier_panda_list_free(list);
    return all;
}

static inline OsiProc *panda_osi_one_proc(osier_panda_list *list) {
    size_t count = 0;
    const osier_panda_process *rows = osier_panda_list_processes(list, &count);
    OsiProc *one = NULL;
    if (count) {
        one = g_new0(OsiProc, 1);
        panda_osi_fill_proc(one, rows);
    }
    osier_panda_list_free(list);
    return one;
}

/* The functions of osi_ext.h. */

static inline GArray *get_processes(CPUState *cpu) {
    (void)cpu;
    osier_error *error = NULL;
    osier_panda_list *list = osier_panda_processes(panda_osi_state.guest, &error);
    list = panda_osi_list(list, error);
    size_t count = 0;
    const osier_panda_process *rows = osier_panda_list_processes(list, &count);
    GArray *all = NULL;
    if (count) {
        all = g_array_sized_new(false, false, sizeof(OsiProc), (guint)count);
        g_array_set_clear_func(all, (GDestroyNotify)free_osiproc_contents);
    }
    for (size_t i = 0; i < count; i++) {
        OsiProc one;
        panda_osi_fill_proc(&one, &rows[i]);
        g_array_append_val(all, one);
    }
    osier_panda_list_free(list);
    return all;
}

static inline GArray *get_process_handles(CPUState *cpu) {
    (void)cpu;
    osier_error *error = NULL;
    osier_panda_list *list = osier_panda_processes(panda_osi_state.guest, &error);
    list = panda_osi_list(list, error);
    size_t count = 0;
    const osier_panda_process *rows = osier_panda_list_processes(list, &count);
    GArray *all = NULL;
    if (count) {
        all = g_array_sized_new(false, false, sizeof(OsiProcHandle), (guint)count);
    }
    for (size_t i = 0; i < count; i++) {
        OsiProcHandle one = { (target_ptr_t)rows[i].taskd, (target_ptr_t)rows[i].asid };
        g_array_append_val(all, one);
    }
    osier_panda_list_free(list);
    return all;
}

static inline OsiProc *get_current_process(CPUState *cpu) {
    osier_error *error = NULL;
    uint32_t index = cpu ? (uint32_t)cpu->cpu_index : 0;
    osier_panda_list *list = osier_panda_current_process(panda_osi_state.guest, index, &error);
    return panda_osi_one_proc(panda_osi_list(list, error));
}

static inline OsiProcHandle *get_current_process_handle(CPUState *cpu) {
    OsiProc *process = get_current_process(cpu);
    if (!process) return NULL;
    OsiProcHandle *handle = g_new0(OsiProcHandle, 1);
    handle->taskd = process->taskd;
    handle->asid = process->asid;
    free_osiproc(process);
    return handle;
}

static inline OsiProc *get_process(CPUState *cpu, const OsiProcHandle *h) {
    (void)cpu;
    if (!h) return NULL;
    osier_error *error = NULL;
    osier_panda_list *list = osier_panda_process_of(panda_osi_state.guest, h->taskd, &error);
    return panda_osi_one_proc(panda_osi_list(list, error));
}

/* -1 where there is no such process, which PANDA leaves to chance. */
static inline target_pid_t get_process_pid(CPUState *cpu, const OsiProcHandle *h) {
    OsiProc *process = get_process(cpu, h);
    target_pid_t pid = process ? process->pid : -1;
    free_osiproc(process);
    return pid;
}

static inline target_pid_t get_process_ppid(CPUState *cpu, const OsiProcHandle *h) {
    OsiProc *process = get_process(cpu, h);
    target_pid_t pid = process ? process->ppid : -1;
    free_osiproc(process);
    return pid;
}

static inline OsiThread *get_current_thread(CPUState *cpu) {
    osier_panda_thread found;
    uint32_t index = cpu ? (uint32_t)cpu->cpu_index : 0;
    if (!osier_panda_current_thread(panda_osi_state.guest, index, &found)) {
        return NULL;
    }
    OsiThread *thread = g_new0(OsiThread, 1);
    thread->pid = (target_pid_t)found.pid;
    thread->tid = (target_pid_t)found.tid;
    return thread;
}

static inline GArray *get_modules(CPUState *cpu) {
    (void)cpu;
    osier_error *error = NULL;
    osier_panda_list *list = osier_panda_modules(panda_osi_state.guest, &error);
    return panda_osi_modules(panda_osi_list(list, error));
}

static inline GArray *get_mappings(CPUState *cpu, OsiProc *p) {
    (void)cpu;
    if (!p) return NULL;
    osier_error *error = NULL;
    osier_panda_list *list = osier_panda_mappings(panda_osi_state.guest, p->taskd, &error);
    return panda_osi_modules(panda_osi_list(list, error));
}

/* Which of a process's mappings are wanted. */
enum panda_osi_kind { PANDA_OSI_FILE, PANDA_OSI_HEAP, PANDA_OSI_STACK, PANDA_OSI_UNKNOWN };

static inline GArray *panda_osi_mappings_of(CPUState *cpu, OsiProc *p, enum panda_osi_kind kind) {
    GArray *all = get_mappings(cpu, p);
    bool windows = osier_guest_is_windows(panda_osi_state.guest);
    /* wintrospection knows files alone, which all of its mappings are. */
    if (all && windows && kind == PANDA_OSI_FILE) return all;
    for (guint i = 0; all && i < all->len;) {
        OsiModule *one = &g_array_index(all, OsiModule, i);
        bool is = !windows && (kind == PANDA_OSI_FILE ? one->file != NULL
            : !one->file && one->name && !strcmp(one->name, kind == PANDA_OSI_HEAP ? "[heap]"
                : kind == PANDA_OSI_STACK ? "[stack]" : "[???]"));
        if (is) {
            i++;
        } else {
            g_array_remove_index(all, i);
        }
    }
    if (all && !all->len) {
        g_array_free(all, true);
        return NULL;
    }
    return all;
}

static inline GArray *get_file_mappings(CPUState *cpu, OsiProc *p) {
    return panda_osi_mappings_of(cpu, p, PANDA_OSI_FILE);
}
static inline GArray *get_heap_mappings(CPUState *cpu, OsiProc *p) {
    return panda_osi_mappings_of(cpu, p, PANDA_OSI_HEAP);
}
static inline GArray *get_stack_mappings(CPUState *cpu, OsiProc *p) {
    return panda_osi_mappings_of(cpu, p, PANDA_OSI_STACK);
}
static inline GArray *get_unknown_mappings(CPUState *cpu, OsiProc *p) {
    return panda_osi_mappings_of(cpu, p, PANDA_OSI_UNKNOWN);
}

static inline OsiModule *get_mapping_by_addr(CPUState *cpu, OsiProc *p, const target_ptr_t addr) {
    GArray *all = get_mappings(cpu, p);
    OsiModule *found = NULL;
    for (guint i = 0; all && !found && i < all->len; i++) {
        OsiModule *one = &g_array_index(all, OsiModule, i);
        if (addr >= one->base && addr - one->base < one->size) {
            found = copy_osimod(one, NULL);
        }
    }
    if (all) g_array_free(all, true);
    return found;
}

/* 0 where no mapping has the name. */
static inline target_ptr_t get_mapping_base_address_by_name(CPUState *cpu, OsiProc *p, const char *name) {
    GArray *all = get_mappings(cpu, p);
    target_ptr_t base = 0;
    for (guint i = 0; all && name && !base && i < all->len; i++) {
        OsiModule *one = &g_array_index(all, OsiModule, i);
        if (one->name && !strcmp(one->name, name)) base = one->base;
    }
    if (all) g_array_free(all, true);
    return base;
}

static inline bool has_mapping_prefix(CPUState *cpu, OsiProc *p, const char *prefix) {
    GArray *all = get_mappings(cpu, p);
    bool has = false;
    for (guint i = 0; all && prefix && !has && i < all->len; i++) {
        OsiModule *one = &g_array_index(all, OsiModule, i);
        has = one->name && !strncmp(one->name, prefix, strlen(prefix));
    }
    if (all) g_array_free(all, true);
    return has;
}

/* Of Linux; free it by g_free(). */
static inline OsiProcMem *get_proc_mem(CPUState *cpu, const OsiProc *p) {
    (void)cpu;
    uint64_t start_brk, brk;
    if (!p || !osier_heap_bounds(panda_osi_state.guest, p->taskd, &start_brk, &brk)) {
        return NULL;
    }
    OsiProcMem *mem = g_new0(OsiProcMem, 1);
    mem->start_brk = (target_ptr_t)start_brk;
    mem->brk = (target_ptr_t)brk;
    return mem;
}

static inline OsiModule *get_one_module(GArray *list, unsigned int i) {
    return &g_array_index(list, OsiModule, i);
}
static inline OsiProc *get_one_proc(GArray *list, unsigned int i) {
    return &g_array_index(list, OsiProc, i);
}
static inline void cleanup_garray(GArray *list) { g_array_free(list, true); }

#endif
