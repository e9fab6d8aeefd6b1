/* Eight threads ask one guest at once; each must see what the first sees alone. With a number of rounds after the
 * snapshot, it says how long they take, beside one thread that does the same and eight processes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static int rounds = 1;

static void *asks(void *result) {
    for (int i = 0; i < rounds; i++) *(uint64_t *)result = everything();
    return NULL;
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    osier_error *error = NULL;
    rounds = argc == 3 ? atoi(argv[2]) : 1;
    guest = argc == 2 || argc == 3 ? osier_open(argv[1], NULL, &error) : NULL;
    if (!guest) {
        printf("%s\n", error ? osier_error_message(error) : "usage: threads SNAPSHOT");
        return 1;
    }
    uint64_t alone = everything(), again;
    pthread_t threads[8];
    uint64_t sums[8];
    double begun = now();
    for (int i = 0; argc == 3 && i < 8; i++) asks(&again);
    double serial = now() - begun;
    begun = now();
    for (int i = 0; argc == 3 && i < 8; i++) {
        if (fork() == 0) {
            asks(&again);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) continue;
    double apart = now() - begun;
    begun = now();
    for (int i = 0; i < 8; i++) {
        if (pthread_create(&threads[i], NULL, asks, &sums[i])) return 1;
    }
    int wrong = 0;
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        wrong += sums[i] != alone;
    }
    double parallel = now() - begun;
    printf("%d of 8 threads differ\n", wrong);
    if (argc == 3) {
        printf("one thread %.3f s, eight %.3f s, eight processes that share nothing %.3f s\n", serial, parallel, apart);
    }
    osier_guest_free(guest);
    return wrong ? 1 : 0;
}
