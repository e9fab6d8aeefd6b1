//! The order of the members of `task_struct` and its kin, as the sources of old kernels have it.
//!
//! A member is `NAME=SIZE`: bytes, `w` for a word of a pointer's width, `3w` for three, `list` for a `list_head`.

/// The structures of one range of kernels.
pub(crate) struct Shape {
    /// The first kernel that has them so, and the last that was looked at.
    pub(crate) kernels: &'static str,
    /// What `init_task` is called.
    pub(crate) swapper: &'static str,
    /// `task_struct`.
    pub(crate) task: &'static [&'static str],
    /// `mm_struct`, as far as `pgd` and a little on.
    pub(crate) mm: &'static str,
    /// `signal_struct`.
    pub(crate) signal: &'static str,
    /// `module`.
    pub(crate) module: &'static [&'static str],
}

const HEAD: &str = "state=w stack=w usage=4 flags=4 ptrace=4";
/// Linux commit c65eacbe290b ("sched/core: Allow putting `thread_info` into `task_struct`"), v4.9.
const HEAD_OWN: &str = "ti_flags=w state=w stack=w usage=4 flags=4 ptrace=4";
const SCHED: &str = "prio=4 static_prio=4 normal_prio=4 rt_priority=4 sched_class=w load=w inv=4 run_node=3w group_node=list \
     on_rq=4 exec_start=8 sum_exec=8 vruntime=8 rt_list=list timeout=w policy=4 cpus_allowed=w sched_info=4w";
const LISTS: &str = "tasks=list plist_prio=4 plist_a=list plist_b=list mm=w active_mm=w";
const EXIT: &str = "exit_state=4 exit_code=4 exit_signal=4 pdeath_signal=4 personality=4 bits=4";
const KIN: &str = "pid=4 tgid=4 canary=w real_parent=w parent=w children=list sibling=list group_leader=w ptraced=list \
     ptrace_entry=list";
/// Linux commit 2c4704756cab ("pids: Move the pgrp and session pid pointers from `task_struct` to
/// `signal_struct`"), v4.19, has `pid_links`.
const PIDS: &str = "pids=9w thread_group=list";
const CHILD: &str = "vfork_done=w set_child_tid=w clear_child_tid=w";
const TIMES: &str = "utime=w stime=w utimescaled=w stimescaled=w gtime=w prev_utime=w prev_stime=w nvcsw=w nivcsw=w";
const TIMESPECS: &str = "start_time=2w real_start_time=2w";
const NANOSECONDS: &str = "start_time=8 real_start_time=8";
const FAULTS: &str =
    "min_flt=w maj_flt=w expires=2w expires_sum=8 timers0=list timers1=list timers2=list";
const CRED: &str = "real_cred=w cred=w comm=16";
const THREAD: &str = "thread=26w";
const FILES: &str = "fs=w files=w nsproxy=w signal=w sighand=w blocked=8 real_blocked=8";

const MM_OLD: &str = "mmap=w mm_rb=w mmap_cache=w get_area=w unmap_area=w mmap_base=w task_size=w cached=w free=w pgd=w \
     users=4 count=4 map_count=4 pad=4 start_code=w end_code=w";
const MM: &str = "mmap=w mm_rb=w vmacache=4 get_area=w mmap_base=w legacy=w task_size=w highest=w pgd=w users=4 count=4 \
     nr_ptes=w nr_pmds=w map_count=4 lock=4 sem=4w";

const SIGNAL_OLD: &str = "count=4 live=4 wait=4 wait_list=list curr_target=w pending=list bits=w";
/// Linux commit b3ac022cb9dc ("proc: turn `signal_struct->count` into \"int `nr_threads`\""), v2.6.35.
const SIGNAL_COUNT: &str =
    "sigcnt=4 live=4 nr_threads=4 wait=4 wait_list=list curr_target=w pending=list";
/// Linux commit 0c740d0afc3b ("introduce `for_each_thread()`"), v3.14.
const SIGNAL: &str = "sigcnt=4 live=4 nr_threads=4 thread_head=list wait=4 wait_list=list curr_target=w pending=list";

const MODULE: &str = "state=4 list=list name=name kname=w kentry=list kparent=w kset=w ktype=w sd=w kref=4 kbits=4 mod=w \
     drivers=w mp=w modinfo=5w syms=w crcs=w num_syms=4 kp=w num_kp=4 gpl=4 gpl_syms=w extable=w init=w";
const EXTENT_OLD: &str = "module_init=w module_core=w init_size=4 core_size=4 init_text=4 core_text=4 init_ro=4 core_ro=4 \
     arch=2w taints=4 bugs=4 bug_list=list bug_table=w source_list=list target_list=list";
/// Linux commit 7523e4dc5057 ("module: use a structure to encapsulate layout."), v4.5.
const LAYOUTS: &str = "core_base=w core_size=4 core_text=4 core_ro=4 core_roai=4 core_mod=w core_node=6w init_base=w init_size=4 \
     init_text=4 init_ro=4 init_roai=4 init_mod=w init_node=6w source_list=list target_list=list";

/// Linux commit ac3b43283923 ("module: replace `module_layout` with `module_memory`"), v6.4.
const PARTS: &str = "p0_base=w p0_size=4 p0_mod=w p0_node=6w \
     p1_base=w p1_size=4 p1_mod=w p1_node=6w \
     p2_base=w p2_size=4 p2_mod=w p2_node=6w \
     p3_base=w p3_size=4 p3_mod=w p3_node=6w \
     p4_base=w p4_size=4 p4_mod=w p4_node=6w \
     p5_base=w p5_size=4 p5_mod=w p5_node=6w \
     p6_base=w p6_size=4 p6_mod=w p6_node=6w \
     source_list=list target_list=list";
/// Linux commit 64f6a4e10c05 ("x86: re-enable `EXECMEM_ROX` support"): parts may be pieces of one allocation.
const PIECES: &str = "p0_base=w p0_rox=4 p0_size=4 p0_mod=w p0_node=6w \
     p1_base=w p1_rox=4 p1_size=4 p1_mod=w p1_node=6w \
     p2_base=w p2_rox=4 p2_size=4 p2_mod=w p2_node=6w \
     p3_base=w p3_rox=4 p3_size=4 p3_mod=w p3_node=6w \
     p4_base=w p4_rox=4 p4_size=4 p4_mod=w p4_node=6w \
     p5_base=w p5_rox=4 p5_size=4 p5_mod=w p5_node=6w \
     p6_base=w p6_rox=4 p6_size=4 p6_mod=w p6_node=6w \
     source_list=list target_list=list";

/// `task_struct` without `thread_group`, as since v6.7, in the order of 4.19.
const TASK_LAST: &[&str] = &[
    HEAD_OWN,
    "wake_entry=w on_cpu=4 cpu=4 last_wakee=w flips=w",
    SCHED,
    LISTS,
    "rss=6w",
    EXIT,
    KIN,
    "thread_pid=w pid_links=8w thread_node=list",
    CHILD,
    "utime=8 stime=8 gtime=8 prev=3w nvcsw=w nivcsw=w",
    NANOSECONDS,
    "min_flt=w maj_flt=w expires=24 timers0=list timers1=list timers2=list ptracer_cred=w",
    CRED,
    "nameidata=w sysvsem=w",
    FILES,
    THREAD,
];

pub(crate) const SHAPES: &[Shape] = &[
    Shape {
        kernels: "2.6.32",
        swapper: "swapper",
        task: &[
            HEAD,
            "lock_depth=4",
            SCHED,
            LISTS,
            EXIT,
            KIN,
            "bts=w",
            PIDS,
            CHILD,
            TIMES,
            TIMESPECS,
            FAULTS,
            "real_cred=w cred=w guard=4 guard_list=list guard_owner=w keyring=w comm=16",
            "link_count=4 total_link_count=4 sysvsem=w last_switch=w",
            THREAD,
            FILES,
        ],
        mm: MM_OLD,
        signal: SIGNAL_OLD,
        module: &[MODULE, EXTENT_OLD],
    },
    Shape {
        kernels: "2.6.39 to 3.2",
        swapper: "swapper",
        task: &[
            HEAD,
            "on_cpu=4",
            SCHED,
            LISTS,
            EXIT,
            KIN,
            PIDS,
            CHILD,
            TIMES,
            TIMESPECS,
            FAULTS,
            "real_cred=w cred=w keyring=w comm=16",
            "link_count=4 total_link_count=4 sysvsem=w",
            THREAD,
            FILES,
        ],
        mm: MM_OLD,
        signal: SIGNAL_COUNT,
        module: &[MODULE, EXTENT_OLD],
    },
    Shape {
        kernels: "3.3 to 3.13",
        swapper: "swapper/0",
        task: &[
            HEAD,
            "wake_entry=w on_cpu=4",
            SCHED,
            LISTS,
            "rss=6w",
            EXIT,
            KIN,
            PIDS,
            CHILD,
            TIMES,
            TIMESPECS,
            FAULTS,
            CRED,
            "link_count=4 total_link_count=4 sysvsem=w",
            THREAD,
            FILES,
        ],
        mm: MM_OLD,
        signal: SIGNAL_COUNT,
        module: &[MODULE, EXTENT_OLD],
    },
    Shape {
        kernels: "3.14 to 3.16",
        swapper: "swapper/0",
        task: &[
            HEAD,
            "wake_entry=w on_cpu=4 last_wakee=w flips=w",
            SCHED,
            LISTS,
            "vmacache=4 cached=4w",
            "rss=6w",
            EXIT,
            KIN,
            PIDS,
            "thread_node=list",
            CHILD,
            TIMES,
            TIMESPECS,
            FAULTS,
            CRED,
            "link_count=4 total_link_count=4 sysvsem=w",
            THREAD,
            FILES,
        ],
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, EXTENT_OLD],
    },
    Shape {
        kernels: "3.17 to 4.4",
        swapper: "swapper/0",
        task: &[
            HEAD,
            "wake_entry=w on_cpu=4 last_wakee=w flips=w",
            SCHED,
            LISTS,
            "vmacache=4 cached=4w",
            "rss=6w",
            EXIT,
            KIN,
            PIDS,
            "thread_node=list",
            CHILD,
            TIMES,
            NANOSECONDS,
            FAULTS,
            CRED,
            "nameidata=w sysvsem=w",
            FILES,
            THREAD,
        ],
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, EXTENT_OLD],
    },
    Shape {
        kernels: "4.9",
        swapper: "swapper/0",
        task: &[
            HEAD_OWN,
            "wake_entry=w on_cpu=4 cpu=4 last_wakee=w flips=w",
            SCHED,
            LISTS,
            "vmacache=4 cached=4w",
            "rss=6w",
            EXIT,
            KIN,
            PIDS,
            "thread_node=list",
            CHILD,
            TIMES,
            NANOSECONDS,
            FAULTS,
            "ptracer_cred=w",
            CRED,
            "nameidata=w sysvsem=w",
            FILES,
            THREAD,
        ],
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, LAYOUTS],
    },
    Shape {
        kernels: "4.14",
        swapper: "swapper/0",
        task: &[
            HEAD_OWN,
            "wake_entry=w on_cpu=4 cpu=4 last_wakee=w flips=w",
            SCHED,
            LISTS,
            "vmacache=8 cached=4w",
            "rss=6w",
            EXIT,
            KIN,
            PIDS,
            "thread_node=list",
            CHILD,
            "utime=8 stime=8 gtime=8 prev=3w nvcsw=w nivcsw=w",
            NANOSECONDS,
            "min_flt=w maj_flt=w expires=24 timers0=list timers1=list timers2=list ptracer_cred=w",
            CRED,
            "nameidata=w sysvsem=w",
            FILES,
            THREAD,
        ],
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, LAYOUTS],
    },
    Shape {
        kernels: "4.19",
        swapper: "swapper/0",
        task: &[
            HEAD_OWN,
            "wake_entry=w on_cpu=4 cpu=4 last_wakee=w flips=w",
            SCHED,
            LISTS,
            "vmacache=8 cached=4w",
            "rss=6w",
            EXIT,
            KIN,
            "thread_pid=w pid_links=8w thread_group=list thread_node=list",
            CHILD,
            "utime=8 stime=8 gtime=8 prev=3w nvcsw=w nivcsw=w",
            NANOSECONDS,
            "min_flt=w maj_flt=w expires=24 timers0=list timers1=list timers2=list ptracer_cred=w",
            CRED,
            "nameidata=w sysvsem=w",
            FILES,
            THREAD,
        ],
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, LAYOUTS],
    },
    Shape {
        kernels: "6.7 to 6.12",
        swapper: "swapper/0",
        task: TASK_LAST,
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, PARTS],
    },
    Shape {
        kernels: "6.15 and on",
        swapper: "swapper/0",
        task: TASK_LAST,
        mm: MM,
        signal: SIGNAL,
        module: &[MODULE, PIECES],
    },
];
