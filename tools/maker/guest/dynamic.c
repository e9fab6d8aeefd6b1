/* A dynamically linked program that opens one more library, and then waits for ever. */
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

int main(void)
{
    void *library = dlopen("libplugin.so", RTLD_NOW);
    int (*answer)(void) = library ? (int (*)(void))dlsym(library, "answer") : NULL;
    if (answer == NULL || answer() != 42) {
        static const char text[] = "dynprog: no plugin\n";
        if (write(2, text, sizeof text - 1) < 0)
            return 1;
    }
    for (;;)
        pause();
}
