/* The same of a module that hides. */
#define HIDDEN
#define TRACED "__x64_sys_swapon"
#define PROBED "__x64_sys_swapoff"
#include "tamper_hooks.h"
