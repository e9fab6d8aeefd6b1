/* Asks the kernel to call its functions: by ftrace, at a probe, for packets, at key strokes. */
#include <linux/ftrace.h>
#include <linux/keyboard.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/net_namespace.h>
#include "tamper.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
static void traced(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
                   struct pt_regs *registers) {}
#else
static void traced(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
                   struct ftrace_regs *registers) {}
#endif
static struct ftrace_ops tracer = {.func = traced};

static int probed(struct kprobe *probe, struct pt_regs *registers) { return 0; }
static struct kprobe probe = {.symbol_name = PROBED, .pre_handler = probed};

static unsigned int packet(void *own, struct sk_buff *skb, const struct nf_hook_state *state)
{
    return NF_ACCEPT;
}
static struct nf_hook_ops packets = {
    .hook = packet, .pf = NFPROTO_IPV4, .hooknum = NF_INET_PRE_ROUTING, .priority = NF_IP_PRI_FIRST};

static int key(struct notifier_block *block, unsigned long code, void *what) { return NOTIFY_OK; }
static struct notifier_block keys = {.notifier_call = key};

static int __init begin(void)
{
    static char function[] = TRACED;
    int failed = ftrace_set_filter(&tracer, function, sizeof function - 1, 1);
    if (failed == 0)
        failed = register_ftrace_function(&tracer);
    if (failed == 0)
        failed = register_kprobe(&probe);
    if (failed == 0)
        failed = nf_register_net_hook(&init_net, &packets);
    if (failed == 0)
        failed = register_keyboard_notifier(&keys);
#ifdef HIDDEN
    off_the_list();
    off_sysfs();
#endif
    return failed;
}
module_init(begin);
