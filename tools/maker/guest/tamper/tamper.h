/* What the modules share that tamper with a throw-away guest, so that the rules of `osier findings` have something real
 * to find. Each does one thing that is described in public, and none is of use to anybody: what they put in place calls
 * what was there before, or nothing calls it. */
#ifndef TAMPER_H
#define TAMPER_H

#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/version.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Tampers with a throw-away guest, for tests of its detection");

/* The address of a symbol that is not exported; 0 where there is none. */
static inline unsigned long lookup(const char *name)
{
    static unsigned long (*find)(const char *name);
    struct kprobe probe = {.symbol_name = "kallsyms_lookup_name"};
    if (find == NULL) {
        if (register_kprobe(&probe) != 0)
            return 0;
        find = (void *)probe.addr;
        unregister_kprobe(&probe);
    }
    return find(name);
}

/* Writes over memory that is mapped for reading alone. Nothing may run there meanwhile. */
static inline void poke(void *to, const void *from, size_t size)
{
    unsigned long flags, cr0;
    local_irq_save(flags);
    asm volatile("mov %%cr0, %0" : "=r"(cr0));
    asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~(1UL << 16)) : "memory");
    memcpy(to, from, size);
    asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
    local_irq_restore(flags);
}

/* Takes this module off the list of modules, and out of /sys/module. */
static inline void off_the_list(void) { list_del_init(&THIS_MODULE->list); }
static inline void off_sysfs(void) { kobject_del(&THIS_MODULE->mkobj.kobj); }

#endif
