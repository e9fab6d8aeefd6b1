/* What PANDA's plugin osi_test prints, by the functions that it calls, over a snapshot. */
#include <stdio.h>

#include <osier/panda_osi.h>

static void print_modules(GArray *list) {
    for (guint i = 0; i < list->len; i++) {
        OsiModule *m = &g_array_index(list, OsiModule, i);
        printf("\t0x" TARGET_FMT_lx "\t" TARGET_FMT_ld "\t%-24s %s\n", m->base, m->size,
               m->name ? m->name : "(null)", m->file ? m->file : "(null)");
    }
}

int main(int argc, char **argv) {
    if (argc != 2 || !panda_osi_open(argv[1], NULL)) {
        fprintf(stderr, "%s\n", argc == 2 ? panda_osi_error() : "usage: osi_test SNAPSHOT");
        return 1;
    }
    CPUState *cpu = panda_osi_cpu(0);
    OsiProc *current = get_current_process(cpu);
    if (current) {
        printf("Current process: %s PID:" TARGET_PID_FMT " PPID:" TARGET_PID_FMT "\n",
               current->pid > 0 ? current->name : "N/A", current->pid, current->ppid);
    } else {
        printf("Cannot get current process details.\n");
    }
    printf("\n");
    GArray *processes = get_processes(cpu);
    if (processes) {
        printf("Process list (%d procs):\n", processes->len);
        for (guint i = 0; i < processes->len; i++) {
            OsiProc *p = &g_array_index(processes, OsiProc, i);
            printf("  %-16s\t" TARGET_PID_FMT "\t" TARGET_PID_FMT "\n", p->name ? p->name : "(null)",
                   p->pid, p->ppid);
        }
        g_array_free(processes, true);
    } else {
        printf("Process list not available.\n");
    }
    printf("\n-------------------------------------------------\n\n");
    GArray *libraries = get_mappings(cpu, current);
    if (libraries) {
        printf("Dynamic libraries list (%d libs):\n", libraries->len);
        print_modules(libraries);
        g_array_free(libraries, true);
    } else {
        printf("No mapped dynamic libraries.\n");
    }
    printf("\n");
    GArray *modules = get_modules(cpu);
    if (modules) {
        printf("Kernel module list (%d modules):\n", modules->len);
        print_modules(modules);
        g_array_free(modules, true);
    } else {
        printf("No mapped kernel modules.\n");
    }
    printf("\n-------------------------------------------------\n\n");
    free_osiproc(current);
    bool complete = panda_osi_complete();
    panda_osi_close();
    return complete ? 0 : 3;
}
