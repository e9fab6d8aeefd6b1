/* Writes jumps to its own code over the first instructions of functions that nobody calls here. */
#include "tamper.h"

static noinline void own(void) { asm volatile("nop"); }

/* A jump, as it is written at `at`, to `to`; returns its length. */
static size_t relative(u8 *code, u8 opcode, unsigned long at, unsigned long to)
{
    s32 distance = (s32)(to - (at + 5));
    code[0] = opcode;
    memcpy(code + 1, &distance, 4);
    return 5;
}

static size_t jump(u8 *code, unsigned long at, unsigned long to) { return relative(code, 0xe9, at, to); }
static size_t call(u8 *code, unsigned long at, unsigned long to) { return relative(code, 0xe8, at, to); }

/* mov $to, %rax; jmp *%rax */
static size_t by_rax(u8 *code, unsigned long at, unsigned long to)
{
    memcpy(code, "\x48\xb8", 2);
    memcpy(code + 2, &to, 8);
    memcpy(code + 10, "\xff\xe0", 2);
    return 12;
}

/* mov $to, %r11; jmp *%r11 */
static size_t by_r11(u8 *code, unsigned long at, unsigned long to)
{
    memcpy(code, "\x49\xbb", 2);
    memcpy(code + 2, &to, 8);
    memcpy(code + 10, "\x41\xff\xe3", 3);
    return 13;
}

/* push $to; ret */
static size_t by_stack(u8 *code, unsigned long at, unsigned long to)
{
    u32 low = (u32)to;
    code[0] = 0x68;
    memcpy(code + 1, &low, 4);
    code[5] = 0xc3;
    return 6;
}

/* push $low; movl $high, 4(%rsp); ret */
static size_t by_halves(u8 *code, unsigned long at, unsigned long to)
{
    u32 low = (u32)to, high = (u32)(to >> 32);
    code[0] = 0x68;
    memcpy(code + 1, &low, 4);
    memcpy(code + 5, "\xc7\x44\x24\x04", 4);
    memcpy(code + 9, &high, 4);
    code[13] = 0xc3;
    return 14;
}

/* jmp *0(%rip), with the address behind it */
static size_t by_memory(u8 *code, unsigned long at, unsigned long to)
{
    memcpy(code, "\xff\x25\0\0\0\0", 6);
    memcpy(code + 6, &to, 8);
    return 14;
}

static int over(const char *name, unsigned long skip,
                size_t (*style)(u8 *code, unsigned long at, unsigned long to))
{
    u8 code[16];
    unsigned long at = lookup(name);
    if (at == 0) {
        pr_err("tamper: no %s\n", name);
        return -ENOENT;
    }
    poke((void *)(at + skip), code, style(code, at + skip, (unsigned long)own));
    return 0;
}
