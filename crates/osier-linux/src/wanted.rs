//! The kernel facts that the walkers read; a profile must hold these.

use osier_profile::{Wanted, names};

/// What the Linux provider wants of a profile. A kernel has some of it: shapes changed over time.
pub static WANTED: Wanted = Wanted {
    types: names![
        anon_vma_name atomic_t backing_file cred dentry dentry_operations fdtable file
        file_system_type files_struct fs_struct hlist_head hlist_node hlist_bl_node idr inode
        kernel_param kgid_t kobject kset kuid_t latch_tree_node latch_tree_root list_head lockref
        maple_arange_64 maple_node maple_range_64 maple_tree mm_context_t mm_rss_stat mm_struct
        mnt_namespace mod_tree_root module module_kobject module_layout module_memory mount nsproxy
        path pcpu_hot percpu_counter pid pid_link pid_namespace pidmap qstr radix_tree_node
        radix_tree_root rb_node rb_root rb_root_cached rq sched_entity sighand_struct signal_struct
        super_block task_struct thread_info tk_read_base timekeeper timespec timespec64 timezone
        tk_data upid user_namespace vdso_image vfsmount vm_area_struct vm_operations_struct
        vm_special_mapping xa_node xarray
    ],
    symbols: names![
        _end _etext _sdata _sinittext _stext _text __per_cpu_end __per_cpu_offset __per_cpu_start
        __pgtable_l5_enabled __start_BTF __start_notes __start_rodata __stop_BTF __stop_notes
        asm_exc_divide_error asm_exc_page_fault const_current_task const_pcpu_hot cpu_number
        current_task divide_error entry_SYSCALL_64 entry_SYSENTER_32 gate_vma high_memory
        hugetlbfs_file_operations idle_task init_level4_pgt init_mm init_nsproxy init_pid_ns
        init_task init_top_pgt initial_page_table init_uts_ns kallsyms_lookup_name level4_kernel_pgt
        linux_banner max_threads mod_tree module_kset mem_section modules node_data nr_cpu_ids
        nr_threads page_offset_base page_fault panic_cpu pcpu_hot per_cpu__current_task phys_base
        pid_hash physical_mask pid_max pidhash_shift runqueues saved_command_line
        shmem_file_operations shmem_vm_ops sme_me_mask special_mapping_vmops swapper_pg_dir
        timekeeper timekeeper_data tk_core totalram_pages vdso32_enabled vdso_image_32 vdso_image_64
        vdso_image_x32 vmcoreinfo_data vsyscall_mode vmcoreinfo_size vmalloc_base vmemmap_base xtime
        wall_to_monotonic __cpu_active_mask __cpu_online_mask __cpu_possible_mask __cpu_present_mask
        cpu_active_bits cpu_bit_bitmap cpu_online_bits cpu_online_mask cpu_present_bits
        cpu_present_mask shadow_timekeeper
    ],
    constants: names![
        PIDTYPE_PID PIDTYPE_TGID PIDTYPE_MAX MOD_TEXT MOD_INIT_TEXT MOD_MEM_NUM_TYPES
        MODULE_STATE_LIVE MODULE_STATE_COMING MODULE_STATE_GOING MODULE_STATE_UNFORMED maple_dense
        maple_leaf_64 maple_range_64 maple_arange_64 MNT_INTERNAL
    ],
};
