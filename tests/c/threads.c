/* Eight threads ask one guest at once; each must see what the first sees alone. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include <osier/osier.h>

static osier_guest *guest;

/* A number that every row has its part in. */
static uint64_t everything(void) {
    uint64_t sum = 5381;
    osier_answer *list = osier_ask(guest, OSIER_QUESTION_MAPPINGS, 0, NULL);
    const osier_mapping *row;
    while ((row = osier_next_mapping(list))) {
        sum = sum * 33 + row->base + row->size * 7 + row->pid;
        for (size_t i = 0; i < row->name.len; i++) {
            sum = sum * 33 + (unsigned char)row->name.data[i];
        }
    }
    sum = sum * 2 + osier_answer_is_complete(list);
    osier_answer_free(list);
    return sum;
}

static void *asks(void *result) {
    *(uint64_t *)result = everything();
    return NULL;
}

int main(int argc, char **argv) {
    osier_error *error = NULL;
    guest = argc == 2 ? osier_open(argv[1], NULL, &error) : NULL;
    if (!guest) {
        printf("%s\n", error ? osier_error_message(error) : "usage: threads SNAPSHOT");
        return 1;
    }
    uint64_t alone = everything();
    pthread_t threads[8];
    uint64_t sums[8];
    for (int i = 0; i < 8; i++) {
        if (pthread_create(&threads[i], NULL, asks, &sums[i])) return 1;
    }
    int wrong = 0;
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        wrong += sums[i] != alone;
    }
    printf("%d of 8 threads differ\n", wrong);
    osier_guest_free(guest);
    return wrong ? 1 : 0;
}
