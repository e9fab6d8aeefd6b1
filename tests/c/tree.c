/* Prints the process tree of a snapshot. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <osier/osier.h>

struct process {
    uint64_t pid, ppid;
    char *name;
    bool shown;
};

static struct process *all;
static size_t count;

static void show(struct process *process, int depth) {
    process->shown = true;
    printf("%*s%s %" PRIu64 "\n", depth * 3, "", process->name, process->pid);
    for (size_t i = 0; i < count; i++) {
        if (!all[i].shown && all[i].ppid == process->pid) show(&all[i], depth + 1);
    }
}

int main(int argc, char **argv) {
    osier_error *error = NULL;
    osier_guest *guest = osier_open(argc > 1 ? argv[1] : "", NULL, &error);
    if (!guest) {
        fprintf(stderr, "%s\n", osier_error_message(error));
        osier_error_free(error);
        return 1;
    }
    osier_answer *list = osier_ask(guest, OSIER_QUESTION_PROCESSES, 0, NULL);
    const osier_process *row;
    while ((row = osier_next_process(list))) {
        all = realloc(all, (count + 1) * sizeof *all);
        if (!all) abort();
        all[count++] = (struct process){ row->pid, row->ppid, strdup(row->name.data ? row->name.data : "?"), false };
    }
    /* What has no parent in the list begins a tree. */
    for (size_t i = 0; i < count; i++) {
        bool child = false;
        for (size_t j = 0; j < count; j++) {
            child |= j != i && all[j].pid == all[i].ppid && all[j].pid != all[i].pid;
        }
        if (!child) show(&all[i], 0);
    }
    fprintf(stderr, "%s", osier_answer_is_complete(list) ? "" : "the list is incomplete\n");
    for (size_t i = 0; i < count; i++) free(all[i].name);
    free(all);
    osier_answer_free(list);
    osier_guest_free(guest);
    return 0;
}
