/* Prints the process tree's raw material: pid, parent, name; then what is missing. */
#include <inttypes.h>
#include <stdio.h>

#include <osier/osier.h>

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s SNAPSHOT\n", argv[0]);
        return 2;
    }
    osier_error *error = NULL;
    osier_guest *guest = osier_open(argv[1], NULL, &error);
    if (!guest) {
        fprintf(stderr, "%s\n", osier_error_message(error));
        osier_error_free(error);
        return 1;
    }
    osier_answer *list = osier_ask(guest, OSIER_QUESTION_PROCESSES, 0, &error);
    const osier_process *row;
    while ((row = osier_next_process(list))) {
        if (!OSIER_HAS(row, OSIER_PROCESS_PID)) {
            printf("? (%s)\n", osier_absence(list, OSIER_PROCESS_PID));
            continue;
        }
        printf("%" PRIu64 " %" PRIu64 " %.*s\n", row->pid, row->ppid, (int)row->name.len,
               row->name.data ? row->name.data : "");
    }
    bool complete = osier_answer_is_complete(list) && osier_answer_losses(list) == 0;
    if (!complete) {
        fprintf(stderr, "%zu values could not be read; %s\n", osier_answer_losses(list),
                osier_answer_ends(list));
    }
    osier_answer_free(list);
    osier_guest_free(guest);
    return complete ? 0 : 3;
}
