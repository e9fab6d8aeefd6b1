//! What is read of the structures that several walkers read, once a kernel: where each member lies.
//!
//! A structure that one walker alone reads has its layout in that walker's file.

pub(crate) mod files;

use osier_memory::VirtAddr;
use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

/// Longest `comm`, with its NUL: `TASK_COMM_LEN`.
pub(crate) const COMM_BYTES: usize = 16;

layout! {
    /// Fields read from `task_struct`.
    pub(crate) struct Tasks: "task_struct" through [sched_entity seccomp thread_info timespec] {
        /// The ring of thread-group leaders.
        tasks: Field<Embed<()>>,
        /// Thread id, in the initial namespace.
        pid: Field<SInt>,
        /// Process id, in the initial namespace.
        tgid: Field<SInt>,
        /// Its memory; null for a thread of the kernel and for a task that exited.
        mm: Field<Ptr<()>>,
        /// The memory that it runs in: a program's own, a kernel thread's borrowed one.
        active_mm: Option<Field<Ptr<()>>>,
        /// A kernel thread's `struct kthread`. Since v5.17.
        worker_private: Option<Field<Ptr<()>>>,
        /// The same before; in a program, where its C library wants the thread id.
        set_child_tid: Option<Field<Ptr<()>>>,
        /// The name, 16 bytes with its NUL.
        comm: Field<Embed<()>>,
        /// The first thread of its process.
        group_leader: Field<Ptr<()>>,
        /// The parent that forked it, or that adopted it.
        real_parent: Field<Ptr<()>>,
        /// The same, or the tracer.
        parent: Option<Field<Ptr<()>>>,
        /// Whether it is traced.
        ptrace: Option<Field<UInt>>,
        /// The list of the processes that it is the real parent of.
        children: Option<Field<Embed<()>>>,
        /// The link in the real parent's list.
        sibling: Option<Field<Embed<()>>>,
        /// `PF_` marks.
        flags: Option<Field<UInt>>,
        /// Linux commit 2f064a59a11f ("sched: Change `task_struct::state`"), v5.14.
        state: Option<Field<UInt>> = ["__state", "state"],
        /// Zombie or dead.
        exit_state: Option<Field<UInt>>,
        /// Whether it is on a run queue. Linux commit fd2f4419b4cb ("sched: Provide `p->on_rq`"), v3.0.
        on_rq: Option<Field<UInt>>,
        /// How often it gave the processor away by itself.
        nvcsw: Option<Field<UInt>>,
        /// Monotonic nanoseconds. Linux commit ccbf62d8a284 ("sched: Make `task->start_time`
        /// nanoseconds based"), v3.17.
        start_time: Option<Field<UInt>>,
        /// Seconds, when it was a `timespec`, before.
        start_seconds: Option<Field<SInt>> = ["start_time.tv_sec"],
        /// Nanoseconds of that second.
        start_nanoseconds: Option<Field<SInt>> = ["start_time.tv_nsec"],
        /// Nanoseconds since boot, suspension included. Linux commit cf25e24db61c ("time: Rename
        /// `tsk->real_start_time` to `->start_boottime`"), v5.5.
        start_boottime: Option<Field<UInt>> = ["start_boottime", "real_start_time"],
        /// Who it is; before v2.6.29 the ids stood in the task itself.
        real_cred: Option<Field<Ptr<()>>> = ["real_cred", "cred"],
        /// What the threads of a process share.
        signal: Option<Field<Ptr<()>>>,
        /// The link in `signal->thread_head`. Linux commit 0c740d0afc3b ("introduce
        /// `for_each_thread()` to replace the buggy `while_each_thread()`"), v3.14.
        thread_node: Option<Field<Embed<()>>>,
        /// The ring of threads, before v6.7.
        thread_group: Option<Field<Embed<()>>>,
        /// The processor that it is on, or was last. Before v4.9 it stood on the task's stack; Linux
        /// commit bcf9033e5449 ("sched: move `CPU` field back into `thread_info` if
        /// `THREAD_INFO_IN_TASK=y`"), v5.16.
        cpu: Option<Field<UInt>> = ["thread_info.cpu", "cpu"],
        /// Whether it runs. Linux commit 3ca7a440da39 ("sched: Always provide `p->on_cpu`"), v3.0.
        on_cpu: Option<Field<UInt>>,
        /// `hlist_node` for each use. Linux commit 2c4704756cab ("pids: Move the pgrp and session
        /// pid pointers from `task_struct` to `signal_struct`"), v4.19.
        pid_links: Option<Field<Embed<()>>>,
        /// `pid_link` for each use, before.
        pids: Option<Field<Embed<()>>>,
        /// The task's own `struct pid`. With `pid_links`.
        thread_pid: Option<Field<Ptr<()>>>,
        /// Root and working directory.
        fs: Option<Field<Ptr<()>>>,
        /// Open files; null in a task that has exited.
        files: Option<Field<Ptr<()>>>,
        /// The kernel stack.
        stack: Option<Field<Ptr<()>>>,
        /// What is particular to the processor.
        thread: Option<Field<Embed<()>>>,
        /// Linux commit c65eacbe290b ("sched/core: Allow putting `thread_info` into
        /// `task_struct`"), v4.9: the release after names were hashed with their parent's address,
        /// by 8387ff2577eb ("vfs: make the string hashes salt the hash"), v4.8.
        thread_info: Option<Field<Embed<()>>>,
        /// A kernel that watches its reads of memory hashes byte for byte.
        kmsan_ctx: Option<Field<Embed<()>>>,
        /// Who logged in.
        loginuid: Option<Field<UInt>>,
        /// The number of that login; -1 where nobody did.
        sessionid: Option<Field<UInt>>,
        /// How system calls are filtered.
        seccomp: Option<Field<UInt>> = ["seccomp.mode"],
        /// The newest filter.
        filter: Option<Field<Ptr<()>>> = ["seccomp.filter"],
        /// What is done around system calls. Linux commit 3136b93c3fb2 ("entry: Expose helpers to
        /// migrate TIF to `SYSCALL_WORK` flags"), v5.11.
        syscall_work: Option<Field<UInt>> = ["thread_info.syscall_work"],
        /// The flags that stood for it before.
        thread_flags: Option<Field<UInt>> = ["thread_info.flags"],
        /// Its place among what its tracer traces; a list of its own where nobody does.
        ptrace_entry: Option<Field<Embed<()>>>,
        /// The set of its control groups.
        cgroups: Option<Field<Ptr<()>>>,
        /// Its namespaces, but for those of users and ids.
        nsproxy: Option<Field<Ptr<()>>>,
        /// 100 to 139 of what is not of real time.
        static_prio: Option<Field<SInt>>,
        /// The same without what it inherits for a while; of real time 0 to 98, of a deadline -1.
        normal_prio: Option<Field<SInt>>,
        /// 1 to 99 of what is of real time.
        rt_priority: Option<Field<UInt>>,
        /// How it is scheduled.
        policy: Option<Field<UInt>>,
        /// Nanoseconds in user mode, by ticks.
        utime: Option<Field<UInt>>,
        /// Nanoseconds in the kernel, by ticks.
        stime: Option<Field<UInt>>,
        /// Nanoseconds that it ran, to the letter.
        runtime: Option<Field<UInt>> = ["se.sum_exec_runtime"],
    }
}

layout! {
    /// Fields read from `struct pid`.
    pub(crate) struct Pid: "pid" {
        /// One list of tasks for each use of the number.
        tasks: Option<Field<Embed<()>>>,
        /// The numbers, one for each namespace, the initial one first.
        numbers: Option<Field<Embed<()>>>,
        /// How deep its namespace lies.
        level: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `upid`.
    pub(crate) struct Upid: "upid" {
        /// The number.
        nr: Option<Field<UInt>>,
        /// The namespace.
        ns: Option<Field<Ptr<()>>>,
        /// The link in the hash table.
        pid_chain: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `pid_namespace`.
    pub(crate) struct PidNamespace: "pid_namespace" through [ns_common] {
        /// The `task_struct` of the namespace's process 1.
        child_reaper: Option<Field<Ptr<()>>>,
        /// The table, by number.
        idr: Option<Field<Embed<()>>>,
        /// How deep it lies below the first one.
        level: Option<Field<UInt>>,
        /// Its number.
        inum: Option<Field<UInt>> = ["ns.inum", "proc_inum"],
    }
}

layout! {
    /// Fields read from `struct rb_node`.
    pub(crate) struct RbNode: "rb_node" {
        /// The parent, with the colour in its low bits.
        parent: Option<Field<UInt>> = ["__rb_parent_color", "rb_parent_color"],
        /// The higher half below it.
        right: Option<Field<Ptr<()>>> = ["rb_right"],
        /// The lower half below it.
        left: Option<Field<Ptr<()>>> = ["rb_left"],
    }
}

layout! {
    /// Fields read from `struct rq`.
    pub(crate) struct RunQueue: "rq" {
        /// The processor's idle task.
        idle: Option<Field<Ptr<()>>>,
        /// Whether tasks are put on it.
        online: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `pcpu_hot`.
    pub(crate) struct PcpuHot: "pcpu_hot" {
        /// The current task.
        current_task: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `signal_struct`.
    pub(crate) struct Signal: "signal_struct" through [atomic_t prev_cputime] {
        /// Threads of the process. Linux commit b3ac022cb9dc ("proc: turn `signal_struct->count`
        /// into \"int `nr_threads`\""), v2.6.35.
        nr_threads: Option<Field<SInt>> = ["nr_threads", "count"],
        /// Those of them that have not begun to exit.
        live: Option<Field<SInt>> = ["live.counter", "live"],
        /// The list of threads, by their `thread_node`.
        thread_head: Option<Field<Embed<()>>>,
        /// The `struct pid` of the process, its group and its session.
        pids: Option<Field<Embed<()>>>,
        /// The controlling terminal.
        tty: Option<Field<Ptr<()>>>,
        /// The same as of a task, of threads that have exited.
        utime: Option<Field<UInt>>,
        /// Likewise.
        stime: Option<Field<UInt>>,
        /// Likewise.
        runtime: Option<Field<UInt>> = ["sum_sched_runtime"],
        /// What was last told of `utime`.
        told_utime: Option<Field<UInt>> = ["prev_cputime.utime"],
        /// What was last told of `stime`.
        told_stime: Option<Field<UInt>> = ["prev_cputime.stime"],
    }
}

layout! {
    /// Fields read from `tty_struct`.
    pub(crate) struct Tty: "tty_struct" {
        /// Its name.
        name: Option<Field<Embed<()>>>,
        /// Its driver.
        driver: Option<Field<Ptr<()>>>,
        /// Its place among its driver's.
        index: Option<Field<UInt>>,
        /// What it is written by.
        ops: Option<Field<Ptr<()>>>,
        /// What is read and written goes through it; null of one that was hung up.
        ldisc: Option<Field<Ptr<()>>>,
        /// The other end of a pair.
        link: Option<Field<Ptr<()>>>,
        /// What comes in goes through it. Since v3.7 every one has it.
        port: Option<Field<Ptr<()>>>,
        /// Marks.
        flags: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `cred`. Linux commit b6dff3ec5e11 ("CRED: Separate task security context
    /// from `task_struct`"), v2.6.29.
    pub(crate) struct Cred: "cred" through [kernel_cap_struct kgid_t kuid_t] {
        /// Real user id, in the initial user namespace.
        uid: Option<Field<UInt>>,
        /// Real group id.
        gid: Option<Field<UInt>>,
        /// References to it.
        usage: Option<Field<UInt>>,
        /// The `user_struct` of the real user.
        user: Option<Field<Ptr<()>>>,
        /// The real user id where it is the same in every user namespace. Linux commit 7a4e7408c5ca
        /// ("userns: Add `kuid_t` and `kgid_t` and associated infrastructure"), v3.5.
        kuid: Option<Field<UInt>> = ["uid.val"],
        /// Effective user id.
        euid: Option<Field<UInt>>,
        /// Saved user id.
        suid: Option<Field<UInt>>,
        /// For access to files.
        fsuid: Option<Field<UInt>>,
        /// Effective group id.
        egid: Option<Field<UInt>>,
        /// A bit for each capability.
        cap_effective: Option<Field<UInt>>,
        /// A bit for each that it may take.
        cap_permitted: Option<Field<UInt>>,
        /// Supplementary groups.
        group_info: Option<Field<Ptr<()>>>,
        /// Whose ids they are.
        user_ns: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `mm_struct`.
    pub(crate) struct Mm: "mm_struct" through [atomic_t mm_context_t rb_root] {
        /// The page-table root, virtual.
        pgd: Field<Ptr<()>>,
        /// The first mapping of the list. Until v6.0.
        mmap: Option<Field<Ptr<()>>>,
        /// The root of the tree of mappings beside the list. Until v6.0.
        mm_rb: Option<Field<Ptr<()>>> = ["mm_rb.rb_node"],
        /// The maple tree of mappings. Since v6.1.
        mm_mt: Option<Field<Embed<()>>>,
        /// Tasks and others that use it.
        mm_users: Option<Field<SInt>> = ["mm_users.counter", "mm_users"],
        /// The task that it belongs to, with control groups of memory.
        owner: Option<Field<Ptr<()>>>,
        /// Number of mappings.
        map_count: Option<Field<SInt>>,
        /// Pages of all mappings.
        total_vm: Option<Field<UInt>>,
        /// Who reads and changes the mappings; a first word of 0 says nobody.
        mmap_lock: Option<Field<Embed<()>>> = ["mmap_lock", "mmap_sem"],
        /// Where the code starts; 0 until the program is loaded.
        start_code: Option<Field<UInt>>,
        /// First address of the heap.
        start_brk: Field<UInt>,
        /// One past the last byte of the heap.
        brk: Option<Field<UInt>>,
        /// Where the stack started.
        start_stack: Option<Field<UInt>>,
        /// Where the arguments start.
        arg_start: Option<Field<UInt>>,
        /// One past the arguments.
        arg_end: Option<Field<UInt>>,
        /// Where the environment starts.
        env_start: Option<Field<UInt>>,
        /// One past the environment.
        env_end: Option<Field<UInt>>,
        /// What the kernel told the program at its start: pairs of a number and a value.
        saved_auxv: Option<Field<Embed<()>>>,
        /// The executable.
        exe_file: Option<Field<Ptr<()>>>,
        /// Mappings of it. Until v3.5.
        num_exe_file_vmas: Option<Field<UInt>>,
        /// Where the vDSO was mapped.
        vdso: Option<Field<UInt>> = ["context.vdso"],
        /// Which vDSO: that of 64-bit, 32-bit or x32 programs.
        vdso_image: Option<Field<Ptr<()>>> = ["context.vdso_image"],
        /// Marks of the architecture; in kernels that have them, whether the vsyscall page shows.
        context_flags: Option<Field<UInt>> = ["context.flags"],
        /// Non-zero in a 32-bit process on a 64-bit kernel, in kernels before that mark.
        ia32_compat: Option<Field<UInt>> = ["context.ia32_compat"],
        /// One past the highest address that the process may have.
        task_size: Option<Field<UInt>>,
        /// Those of data.
        data_vm: Option<Field<UInt>>,
        /// Those of code.
        exec_vm: Option<Field<UInt>>,
        /// Those of stacks.
        stack_vm: Option<Field<UInt>>,
        /// Pages in memory, by kind. Linux commit f1a7941243c1 ("mm: convert mm's rss stats into
        /// `percpu_counter`"), v6.2.
        rss_stat: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct vm_area_struct`.
    pub(crate) struct Vma: "vm_area_struct" through [rb_node] {
        /// First address.
        vm_start: Field<UInt>,
        /// One past the last address.
        vm_end: Field<UInt>,
        /// `VM_READ` and so on.
        vm_flags: Field<UInt> = ["vm_flags", "__vm_flags", "flags"],
        /// The file; null for anonymous memory.
        vm_file: Field<Ptr<()>>,
        /// Offset in the file, in pages of 4 KiB. PANDA's kernelinfo.conf has no key for it.
        vm_pgoff: Option<Field<UInt>>,
        /// What page-table entries are made of, by `vm_flags`.
        vm_page_prot: Option<Field<Embed<()>>>,
        /// The process's memory that it belongs to.
        vm_mm: Option<Field<Ptr<()>>>,
        /// Operations; `name` among them.
        vm_ops: Option<Field<Ptr<()>>>,
        /// For a mapping that the kernel made: its `struct vm_special_mapping`.
        vm_private_data: Option<Field<Ptr<()>>>,
        /// The next mapping. Until v6.0, see [`crate::mappings`].
        vm_next: Option<Field<Ptr<()>>>,
        /// The mapping before. Linux commit 297c5eee3724 ("mm: make the vma list be doubly
        /// linked"), v2.6.36, until v6.0.
        vm_prev: Option<Field<Ptr<()>>>,
        /// The node in the tree of mappings by address. Until v6.0.
        vm_rb: Option<Field<Embed<()>>>,
        /// The tree's higher half below this node.
        rb_right: Option<Field<Ptr<()>>> = ["vm_rb.rb_right"],
        /// The name that the process gave: a `struct anon_vma_name`. Linux commit 9a10064f5625
        /// ("mm: add a field to store names for private anonymous memory"), v5.17.
        anon_name: Option<Field<Ptr<()>>>,
        /// The file's tree of mappings. Until v6.1 `anon_name` lay in its place.
        shared: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct module`.
    pub(crate) struct Module: "module" through [module_layout] {
        /// Live, coming, going, or not formed yet.
        state: Option<Field<UInt>>,
        /// The ring of modules.
        list: Option<Field<Embed<()>>>,
        /// The name.
        name: Option<Field<Embed<()>>>,
        /// The parts by use, code first.
        mem: Option<Field<Embed<()>>>,
        /// Address of what stays.
        core_base: Option<Field<Ptr<()>>> = ["core_layout.base", "module_core"],
        /// Bytes of what stays.
        core_size: Option<Field<UInt>> = ["core_layout.size", "core_size"],
        /// Bytes of the code of what stays, which comes first.
        core_text: Option<Field<UInt>> = ["core_layout.text_size", "core_text_size"],
        /// Address of what goes after initialisation; null since.
        init_base: Option<Field<Ptr<()>>> = ["init_layout.base", "module_init"],
        /// Bytes of what goes after initialisation.
        init_size: Option<Field<UInt>> = ["init_layout.size", "init_size"],
        /// The node in the tree of modules of what stays.
        core_node: Option<Field<Embed<()>>> = ["core_layout.mtn", "mtn_core"],
        /// The node of what goes.
        init_node: Option<Field<Embed<()>>> = ["init_layout.mtn", "mtn_init"],
        /// Its entry in `/sys/module`.
        mkobj: Option<Field<Embed<()>>>,
        /// The table of symbols.
        kallsyms: Option<Field<Ptr<()>>>,
        /// The symbols.
        symtab: Option<Field<Ptr<()>>>,
        /// How many there are.
        num_symtab: Option<Field<UInt>>,
        /// Their names.
        strtab: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct socket`.
    pub(crate) struct Socket: "socket" {
        /// The protocol's half of it.
        sk: Option<Field<Ptr<()>>>,
        /// The file that a descriptor leads to.
        file: Option<Field<Ptr<()>>>,
        /// Type: `SOCK_…`.
        kind: Option<Field<UInt>> = ["type"],
    }
}

layout! {
    /// Fields read from `struct sock`.
    pub(crate) struct Sock: "sock" {
        /// The file system's half of it; null when no descriptor leads to it.
        sk_socket: Option<Field<Ptr<()>>>,
        /// Type.
        sk_type: Option<Field<Bits>>,
        /// Protocol.
        sk_protocol: Option<Field<Bits>>,
        /// Connections that wait to be accepted.
        sk_ack_backlog: Option<Field<UInt>>,
        /// What waits to be received: its first member, `rmem_alloc`, counts it.
        sk_backlog: Option<Field<Embed<()>>>,
        /// The same before v3.0.
        sk_rmem_alloc: Option<Field<UInt>>,
        /// What was written and is not acknowledged, with what it takes to hold it.
        sk_wmem_queued: Option<Field<SInt>>,
        /// What waits to be sent, and one.
        sk_wmem_alloc: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `struct socket_alloc`, which holds a socket and its inode.
    pub(crate) struct SocketAlloc: "socket_alloc" {
        /// The socket.
        socket: Option<Field<Embed<()>>>,
        /// The inode.
        vfs_inode: Option<Field<Embed<()>>>,
    }
}

/// How to read sockets from their files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketFiles {
    pub(crate) socket: Socket,
    pub(crate) sock: Sock,
    alloc: SocketAlloc,
}

impl SocketFiles {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            socket: Socket::resolve(resolver),
            sock: Sock::resolve(resolver),
            alloc: SocketAlloc::resolve(resolver),
        }
    }

    /// The inode that lies beside the socket at `socket`.
    pub(crate) fn inode(&self, socket: VirtAddr) -> Option<VirtAddr> {
        let alloc = self.alloc.socket?.container(socket);
        Some(self.alloc.vfs_inode?.place(alloc))
    }
}
