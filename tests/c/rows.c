/* Every row of every question, one line each: the question, then each number and text of the row. */
#include <inttypes.h>
#include <stdio.h>

#include <osier/osier.h>

static osier_answer *list;

static void number(const void *row, uint64_t present, unsigned field, uint64_t value) {
    (void)row;
    if (present >> field & 1) {
        printf("\t%" PRIu64, value);
    } else {
        printf("\t-");
    }
}

static void text(uint64_t present, unsigned field, osier_bytes bytes) {
    printf("\t");
    if (!(present >> field & 1)) {
        printf("-");
        return;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", (unsigned char)bytes.data[i]);
    }
}

#define N(name, FIELD) number(row, row->present, FIELD, (uint64_t)row->name)
#define T(name, FIELD) text(row->present, FIELD, row->name)

int main(int argc, char **argv) {
    osier_error *error = NULL;
    osier_guest *guest = argc == 2 ? osier_open(argv[1], NULL, &error) : NULL;
    if (!guest) {
        fprintf(stderr, "%s\n", error ? osier_error_message(error) : "usage: rows SNAPSHOT");
        return 1;
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_PROCESSES, 0, NULL);
        const osier_process *row;
        while ((row = osier_next_process(list))) {
            printf("ps");
            N(pid, OSIER_PROCESS_PID), N(ppid, OSIER_PROCESS_PPID), T(name, OSIER_PROCESS_NAME);
            N(taskd, OSIER_PROCESS_TASKD), N(asid, OSIER_PROCESS_ASID), N(start, OSIER_PROCESS_START);
            T(exe, OSIER_PROCESS_EXE), T(cmdline, OSIER_PROCESS_CMDLINE);
            T(found_by, OSIER_PROCESS_FOUND_BY);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_HANDLES, 0, NULL);
        const osier_handle *row;
        while ((row = osier_next_handle(list))) {
            printf("handles");
            N(taskd, OSIER_HANDLE_TASKD), N(asid, OSIER_HANDLE_ASID);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_CURRENT, 0, NULL);
        const osier_current *row;
        while ((row = osier_next_current(list))) {
            printf("current");
            N(cpu, OSIER_CURRENT_CPU), N(pid, OSIER_CURRENT_PID), N(tid, OSIER_CURRENT_TID);
            T(name, OSIER_CURRENT_NAME), T(state, OSIER_CURRENT_STATE), N(task, OSIER_CURRENT_TASK);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_THREADS, 0, NULL);
        const osier_thread *row;
        while ((row = osier_next_thread(list))) {
            printf("threads");
            N(pid, OSIER_THREAD_PID), N(tid, OSIER_THREAD_TID), T(name, OSIER_THREAD_NAME);
            N(task, OSIER_THREAD_TASK), T(state, OSIER_THREAD_STATE);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_MODULES, 0, NULL);
        const osier_module *row;
        while ((row = osier_next_module(list))) {
            printf("modules");
            T(name, OSIER_MODULE_NAME), N(base, OSIER_MODULE_BASE), N(size, OSIER_MODULE_SIZE);
            T(file, OSIER_MODULE_FILE), N(modd, OSIER_MODULE_MODD);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_MAPPINGS, 0, NULL);
        const osier_mapping *row;
        while ((row = osier_next_mapping(list))) {
            printf("maps");
            N(pid, OSIER_MAPPING_PID), N(base, OSIER_MAPPING_BASE), N(size, OSIER_MAPPING_SIZE);
            T(name, OSIER_MAPPING_NAME), T(file, OSIER_MAPPING_FILE), N(offset, OSIER_MAPPING_OFFSET);
            T(perms, OSIER_MAPPING_PERMS), T(kind, OSIER_MAPPING_KIND);
            printf("\n");
        }
        osier_answer_free(list);
    }
    {
        list = osier_ask(guest, OSIER_QUESTION_PAGES, 0, NULL);
        const osier_page_range *row;
        while ((row = osier_next_page_range(list))) {
            printf("pages");
            N(pid, OSIER_PAGE_RANGE_PID), N(start, OSIER_PAGE_RANGE_START), N(len, OSIER_PAGE_RANGE_LEN);
            N(phys, OSIER_PAGE_RANGE_PHYS), T(flags, OSIER_PAGE_RANGE_FLAGS);
            printf("\n");
        }
        osier_answer_free(list);
    }
    osier_guest_free(guest);
    return 0;
}
