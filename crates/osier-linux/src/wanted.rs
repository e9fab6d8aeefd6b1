//! The kernel facts that the walkers read; a profile must hold these.
//!
//! They are named where they are read: structures by their layouts, symbols in `symbols.rs`, enumerators
//! in `constants.rs`. A test holds this list of layouts to those that there are.

use osier_profile::{Wanted, names};

use crate::{
    clock, constants, fds, findings, inode, interfaces, layouts, log, maple, maps, modules, netns,
    page_cache, path, pid, radix, slabs, sockets, symbols, thread_struct, wide,
};

/// What the Linux provider wants of a profile. A kernel has some of it: shapes changed over time.
pub static WANTED: Wanted = Wanted {
    types: &[
        clock::Timekeeper::WANTED,
        clock::TkData::WANTED,
        fds::FdTable::WANTED,
        fds::FilesStruct::WANTED,
        findings::accounted::Ksym::WANTED,
        findings::formats::Format::WANTED,
        findings::hooks::FtraceOps::WANTED,
        findings::hooks::Kprobe::WANTED,
        findings::hooks::Notifier::WANTED,
        findings::hooks::NotifierHead::WANTED,
        findings::netfilter::Entries::WANTED,
        findings::netfilter::Entry::WANTED,
        findings::operations::FileOperations::WANTED,
        findings::operations::SeqOperations::WANTED,
        findings::terminals::Client::WANTED,
        findings::terminals::Discipline::WANTED,
        findings::terminals::DisciplineOps::WANTED,
        findings::terminals::Driver::WANTED,
        findings::terminals::Operations::WANTED,
        findings::terminals::Port::WANTED,
        inode::FileSystemType::WANTED,
        inode::Namespace::WANTED,
        inode::ProcInode::WANTED,
        interfaces::Device::WANTED,
        interfaces::InAddress::WANTED,
        interfaces::InDevice::WANTED,
        interfaces::Inet6Address::WANTED,
        interfaces::Inet6Device::WANTED,
        layouts::Cred::WANTED,
        layouts::Mm::WANTED,
        layouts::Module::WANTED,
        layouts::PcpuHot::WANTED,
        layouts::Pid::WANTED,
        layouts::PidNamespace::WANTED,
        layouts::RbNode::WANTED,
        layouts::RunQueue::WANTED,
        layouts::Signal::WANTED,
        layouts::Sock::WANTED,
        layouts::Socket::WANTED,
        layouts::SocketAlloc::WANTED,
        layouts::Tasks::WANTED,
        layouts::Tty::WANTED,
        layouts::Upid::WANTED,
        layouts::Vma::WANTED,
        layouts::files::Dentry::WANTED,
        layouts::files::File::WANTED,
        layouts::files::FsStruct::WANTED,
        layouts::files::Inode::WANTED,
        layouts::files::MntNamespace::WANTED,
        layouts::files::Mount::WANTED,
        layouts::files::Page::WANTED,
        layouts::files::SuperBlock::WANTED,
        layouts::files::VfsMount::WANTED,
        log::records::Record::WANTED,
        log::rings::Descriptor::WANTED,
        log::rings::Info::WANTED,
        log::rings::Ring::WANTED,
        maple::Arange::WANTED,
        maple::Node::WANTED,
        maple::Range::WANTED,
        maple::Tree::WANTED,
        maps::AnonVmaName::WANTED,
        maps::SpecialMapping::WANTED,
        maps::VmOperations::WANTED,
        modules::code::Table::WANTED,
        modules::extent::Part::WANTED,
        modules::twins::Entry::WANTED,
        modules::twins::Latch::WANTED,
        modules::twins::LatchNode::WANTED,
        modules::twins::Object::WANTED,
        modules::twins::Root::WANTED,
        modules::twins::Set::WANTED,
        netns::Net::WANTED,
        page_cache::AddressSpace::WANTED,
        page_cache::VdsoImage::WANTED,
        path::BackingFile::WANTED,
        path::made::DentryOperations::WANTED,
        pid::Idr::WANTED,
        radix::RadixNode::WANTED,
        radix::XaNode::WANTED,
        slabs::Cache::WANTED,
        slabs::CacheCpu::WANTED,
        slabs::Slab::WANTED,
        sockets::layouts::Common::WANTED,
        sockets::layouts::InetSock::WANTED,
        sockets::layouts::Ipv6::WANTED,
        sockets::layouts::NetlinkSock::WANTED,
        sockets::layouts::PacketSock::WANTED,
        sockets::layouts::TcpSock::WANTED,
        sockets::layouts::TimeWait::WANTED,
        sockets::layouts::TimeWait6::WANTED,
        sockets::layouts::UdpSock::WANTED,
        sockets::layouts::UnixAddress::WANTED,
        sockets::layouts::UnixSock::WANTED,
        sockets::requests::layouts::Connection::WANTED,
        sockets::requests::layouts::Inet6Request::WANTED,
        sockets::requests::layouts::InetRequest::WANTED,
        sockets::requests::layouts::ListenSock::WANTED,
        sockets::requests::layouts::Request::WANTED,
        sockets::requests::layouts::RequestOps::WANTED,
        sockets::rhashtable::BucketTable::WANTED,
        sockets::rhashtable::Rhashtable::WANTED,
        sockets::tables::layouts::Listeners::WANTED,
        sockets::tables::layouts::NetlinkTable::WANTED,
        sockets::tables::layouts::PortTable::WANTED,
        sockets::tables::layouts::RawTable::WANTED,
        sockets::tables::layouts::TcpBucket::WANTED,
        sockets::tables::layouts::TcpTable::WANTED,
        sockets::tables::layouts::UdpSlot::WANTED,
        sockets::tables::layouts::UdpTable::WANTED,
        thread_struct::FpState::WANTED,
        thread_struct::Fpu::WANTED,
        thread_struct::Thread::WANTED,
        wide::cgroup::Cgroup::WANTED,
        wide::cgroup::CssSet::WANTED,
        wide::cgroup::Node::WANTED,
        wide::credentials::GroupInfo::WANTED,
        wide::namespaces::Cgroups::WANTED,
        wide::namespaces::Clocks::WANTED,
        wide::namespaces::Ipc::WANTED,
        wide::namespaces::Proxy::WANTED,
        wide::namespaces::Users::WANTED,
        wide::namespaces::Uts::WANTED,
        wide::resident::PerCpu::WANTED,
        wide::resident::RssStat::WANTED,
        TO_COME.types,
        UNREAD.types,
    ],
    symbols: &[symbols::ALL, TO_COME.symbols, UNREAD.symbols],
    constants: &[constants::ALL, TO_COME.constants, UNREAD.constants],
};

/// Names that no layout and no look-up in this crate has.
struct More {
    types: &'static [&'static str],
    symbols: &'static [&'static str],
    constants: &'static [&'static str],
}

/// What questions about control groups, of more about sockets, and about hooks read, whose walkers are not written
/// yet. A name leaves this list when a layout or `symbols.rs` has it.
const TO_COME: More = More {
    types: names![
        cg_cgroup_link cgroup_root cgroup_subsys cgroupfs_root cgrp_cset_link
        hlist_nulls_head hlist_nulls_node in6_addr kernfs_root proto raw_sock
        proc_dir_entry proc_ops
        vm_struct vmap_area inode_operations nf_hook_ops packet_type
    ],
    symbols: names![
        cgroup_roots cgroup_subsys cgrp_dfl_root init_css_set roots
    ],
    constants: names![MNT_INTERNAL],
};

/// What no walker reads by name, and a profile keeps for others: the search for a kernel, exports to other
/// tools' formats, machines that are made for tests, and the next look at a kernel that is there already.
const UNREAD: More = More {
    types: names![
        dev_printk_info gate_struct hlist_bl_node hlist_head hlist_node kernel_param latched_seq list_head
        lockref pidmap rb_root_cached sighand_struct task_cputime timezone tk_read_base
    ],
    symbols: names![
        __cpu_possible_mask __cpu_present_mask __per_cpu_end __per_cpu_start
        __pgtable_l5_enabled __start_BTF __start_notes __start_rodata __stop_BTF __stop_notes
        _sdata asm_exc_divide_error asm_exc_page_fault clear_idx clear_seq
        cpu_bit_bitmap cpu_number cpu_present_bits cpu_present_mask divide_error
        entry_SYSCALL_64 entry_SYSENTER_32 hugetlbfs_file_operations idle_task
        init_level4_pgt init_mm init_nsproxy init_top_pgt init_uts_ns initial_page_table
        kallsyms_lookup_name level4_kernel_pgt linux_banner max_threads mem_section
        node_data
        page_fault page_offset_base phys_base pid_max saved_command_line shadow_timekeeper
        shmem_file_operations shmem_vm_ops swapper_pg_dir totalram_pages vdso32_enabled
        vmalloc_base vmcoreinfo_data vmcoreinfo_size wall_to_monotonic xtime
    ],
    constants: names![
        MODULE_STATE_COMING MODULE_STATE_GOING MODULE_STATE_LIVE MODULE_STATE_UNFORMED
        MOD_INIT_TEXT MOD_MEM_NUM_TYPES PIDTYPE_MAX PIDTYPE_PID
    ],
};
