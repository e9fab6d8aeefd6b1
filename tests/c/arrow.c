/* Every question's answer as an Arrow stream: the columns with their formats, the rows, and the sum of the column pid. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <osier/osier.h>

int main(int argc, char **argv) {
    osier_error *error = NULL;
    osier_guest *guest = argc == 2 ? osier_open(argv[1], NULL, &error) : NULL;
    if (!guest) {
        fprintf(stderr, "%s\n", error ? osier_error_message(error) : "usage: arrow SNAPSHOT");
        return 1;
    }
    osier_answer *answer;
    for (uint32_t question = 0; (answer = osier_ask(guest, question, 0, NULL)); question++) {
        struct ArrowArrayStream stream;
        if (!osier_answer_arrow(answer, &stream, &error)) {
            fprintf(stderr, "%s\n", osier_error_message(error));
            return 1;
        }
        size_t losses = osier_answer_losses(answer);
        osier_answer_free(answer);
        /* The stream lives on. */
        struct ArrowSchema schema;
        if (stream.get_schema(&stream, &schema)) return 1;
        int64_t pid = -1, rows = 0;
        printf("%" PRIu32, question);
        for (int64_t i = 0; i < schema.n_children; i++) {
            printf(" %s:%s", schema.children[i]->name, schema.children[i]->format);
            if (!strcmp(schema.children[i]->name, "pid")) pid = i;
        }
        schema.release(&schema);
        uint64_t sum = 0;
        for (;;) {
            struct ArrowArray batch;
            if (stream.get_next(&stream, &batch)) return 1;
            if (!batch.release) break;
            rows += batch.length;
            if (pid >= 0) {
                const struct ArrowArray *column = batch.children[pid];
                const uint8_t *valid = column->buffers[0];
                const uint64_t *values = column->buffers[1];
                for (int64_t i = column->offset; i < column->offset + column->length; i++) {
                    if (!valid || valid[i / 8] >> (i % 8) & 1) sum += values[i];
                }
            }
            batch.release(&batch);
        }
        stream.release(&stream);
        printf("\n%" PRId64 " rows, pids %" PRIu64 ", %zu lost\n", rows, sum, losses);
    }
    osier_guest_free(guest);
    struct ArrowArrayStream none = { .release = NULL };
    if (osier_answer_arrow(NULL, &none, &error) || none.release) return 1;
    printf("no answer: %" PRIu32 " %s\n", osier_error_get_kind(error), osier_error_message(error));
    osier_error_free(error);
    return 0;
}
