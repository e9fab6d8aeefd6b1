/* The shapes that C gives to a kernel of NT's kind, for MinGW. See tests/pe.rs. */
typedef unsigned int u32;
typedef struct _LIST_ENTRY { struct _LIST_ENTRY *Flink, *Blink; } LIST_ENTRY;
typedef union _LARGE_INTEGER { struct { u32 LowPart; int HighPart; }; long long QuadPart; } LARGE_INTEGER;
typedef struct _KPROCESS { char Header[16]; u32 DirectoryTableBase[2]; } KPROCESS;
typedef struct _EPROCESS {
    KPROCESS Pcb;
    LARGE_INTEGER CreateTime, ExitTime;
    void *UniqueProcessId;
    LIST_ENTRY ActiveProcessLinks;
    char ImageFileName[16];
    u32 Active : 1, Deep : 5;
    void *Peb;
} EPROCESS;
typedef struct _KPRCB { void *CurrentThread; unsigned char Number; } KPRCB;
typedef struct _KPCR { char NtTib[0x1c]; struct _KPCR *Self; KPRCB *Prcb; } KPCR;
typedef struct _MMVAD { union { u32 Balance : 2; struct _MMVAD *Parent; } u1; u32 StartingVpn; } MMVAD;
typedef struct _MEMORY_AREA {
    MMVAD VadNode;
    u32 Type;
    struct { long long ViewOffset; void *Segment; } SectionData;
    union { struct { void *Section; int Old; } SectionData; int Other; } Data;
} MEMORY_AREA;
enum state { Ready = 1, Gone = -1 };

LIST_ENTRY PsActiveProcessHead, PsLoadedModuleList;
EPROCESS idle;
static EPROCESS hidden;
KPCR pcr;
MEMORY_AREA area;
enum state state;
u32 NtBuildNumber = 0xf0000ece;

int __attribute__((stdcall)) NtClose(void *handle) { return handle == &hidden; }
int __attribute__((fastcall)) KfLower(int level) { return level; }
int start(void) { return NtClose(&idle) + KfLower((int)&area); }
