/* The hooks of a module that stays where everybody sees it. */
#define TRACED "__x64_sys_mincore"
#define PROBED "__x64_sys_msync"
#include "tamper_hooks.h"
