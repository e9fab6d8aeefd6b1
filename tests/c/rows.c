/* Every row of every question, one line each: the question, then each field of the row, or why it is absent.
 * questions.h, which the test makes of the structs, has a BEGIN for each question, a FIELD for each field, an END. */
#include <inttypes.h>
#include <stdio.h>

#include <osier/osier.h>

static osier_answer *list;

static bool there(uint64_t present, unsigned field) {
    printf("\t");
    if (!(present >> field & 1)) {
        printf("-%s", osier_absence(list, field));
        return false;
    }
    return osier_absence(list, field) == NULL;
}

static void number(uint64_t present, unsigned field, uint64_t value) {
    if (there(present, field)) printf("%" PRIu64, value);
}

static void whole(uint64_t present, unsigned field, int64_t value) {
    if (there(present, field)) printf("%" PRId64, value);
}

static void flag(uint64_t present, unsigned field, bool value) {
    if (there(present, field)) printf("%s", value ? "true" : "false");
}

static void bytes(uint64_t present, unsigned field, osier_bytes value) {
    if (!there(present, field)) return;
    for (size_t i = 0; i < value.len; i++) {
        printf("%02x", (unsigned char)value.data[i]);
    }
    if (value.data[value.len] != 0) printf("?");
}

#define BEGIN(word, question, kind)                                                                 \
    {                                                                                               \
        list = osier_ask(guest, question, 0, NULL);                                                 \
        const osier_##kind *row;                                                                    \
        while ((row = osier_next_##kind(list))) {                                                   \
            printf("%s", word);                                                                     \
            if (row->struct_size != sizeof *row) return 1;
#define FIELD(name, field)                                                                          \
    _Generic((row->name), osier_bytes: bytes, bool: flag, int64_t: whole, uint64_t: number)(        \
        row->present, field, row->name);
#define END                                                                                         \
        printf("\n");                                                                               \
        }                                                                                           \
        printf("%zu lost\n", osier_answer_losses(list));                                            \
        osier_answer_free(list);                                                                    \
    }

int main(int argc, char **argv) {
    osier_error *error = NULL;
    osier_guest *guest = argc == 2 ? osier_open(argv[1], NULL, &error) : NULL;
    if (!guest) {
        fprintf(stderr, "%s\n", error ? osier_error_message(error) : "usage: rows SNAPSHOT");
        return 1;
    }
#include "questions.h"
    osier_guest_free(guest);
    return 0;
}
