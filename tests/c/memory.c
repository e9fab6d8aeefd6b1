/* Reads the kernel's banner at its symbol, and shows what is refused. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <osier/osier.h>

static void refused(const char *what, osier_error *error) {
    printf("%s: %" PRIu32 " %s\n", what, osier_error_get_kind(error),
           error ? osier_error_message(error) : "no error");
    osier_error_free(error);
}

int main(int argc, char **argv) {
    osier_error *error = NULL;
    struct {
        osier_options known;
        uint64_t later;
    } more = { .known = { .struct_size = sizeof more }, .later = 0 };
    /* A larger struct of a later version serves, as long as it asks for nothing unknown. */
    osier_guest *guest = argc == 2 ? osier_open(argv[1], &more.known, &error) : NULL;
    if (!guest) {
        refused("open", error);
        return 1;
    }
    uint64_t at = 0;
    char text[64] = "";
    if (!osier_symbol(guest, "linux_banner", &at)
        || !osier_read(guest, 0, at, (uint8_t *)text, sizeof text - 1, &error)) {
        refused("banner", error);
        return 1;
    }
    printf("%s\n", strncmp(text, osier_guest_kernel(guest), sizeof text - 1) ? "another" : "the banner");

    more.later = 1;
    osier_open(argv[1], &more.known, &error);
    refused("an unknown option", error);
    osier_open(NULL, NULL, &error);
    refused("no path", error);
    osier_read(guest, 0, 16, (uint8_t *)text, 8, &error);
    refused("a page that is not mapped", error);
    osier_ask(guest, 99, 0, &error);
    refused("no such question", error);
    osier_ask(guest, OSIER_QUESTION_PROCESSES, at, &error);
    refused("a question that is not of a process", error);
    osier_answer *list = osier_ask(guest, OSIER_QUESTION_THREADS, 0, NULL);
    printf("%s\n", osier_next_process(list) ? "a row" : "no row of another question");
    osier_guest_free(guest);
    /* The answer lives on. */
    const osier_thread *thread = osier_next_thread(list);
    printf("%s\n", thread && thread->struct_size == sizeof *thread ? "a thread" : "no thread");
    osier_answer_free(list);
    osier_answer_free(NULL);
    osier_guest_free(NULL);
    osier_error_free(NULL);
    return 0;
}
