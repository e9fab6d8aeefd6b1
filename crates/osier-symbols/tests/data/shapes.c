/* The shapes that C gives to a kernel's structures. See tests/dwarf.rs. */
typedef unsigned int u32;
typedef const volatile u32 cv_u32;
typedef struct { int counter; } atomic_t;
typedef struct { u32 val; } kuid_t;
struct list_head { struct list_head *next, *prev; };
struct opaque;
union either { long a; char b[24]; };
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_MAX = 4, PIDTYPE_NONE = -1 };
enum { BIG_ONE = 200, HUGE_ONE = 0x80000000u };

struct packed_bits {
    unsigned char lead;
    unsigned int a : 7;
    unsigned int b : 6;
} __attribute__((packed));

struct task_struct {
    struct list_head tasks;
    cv_u32 flags;
    u32 in_iowait : 1;
    u32 deep : 5;
    int late : 3;
    struct {
        long state;
        union {
            void *stack;
            struct opaque *hidden;
            struct { short x, y; };
        };
    };
    const struct task_struct *const parent;
    struct task_struct **list;
    char comm[16];
    int grid[2][3];
    atomic_t usage;
    kuid_t uid;
    union either either;
    enum pid_type type;
    int (*hook)(struct task_struct *);
    struct { int inner; } named;
    double ratio;
    _Bool flag;
    char pad[300];
    int far_away;
    u32 tail[];
};

struct task_struct init_task;
struct packed_bits bits;
union either either;
const char linux_banner[] = "Linux version 9.9.9-test (someone@somewhere) #1 SMP\n";
int use(struct opaque *o, int e) { return o != 0 && e == BIG_ONE && e != (int)HUGE_ONE; }
