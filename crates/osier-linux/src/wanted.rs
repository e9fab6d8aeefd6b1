//! The kernel facts that the walkers read; a profile must hold these.

use osier_profile::{Wanted, names};

/// What the Linux provider wants of a profile. A kernel has some of it: shapes changed over time.
pub static WANTED: Wanted = Wanted {
    types: names![
        anon_vma_name atomic_t backing_file bucket_table cg_cgroup_link cgroup
        cgroup_namespace cgroup_root cgroup_subsys cgroup_subsys_state cgroupfs_root
        cgrp_cset_link cred css_set dentry dentry_operations dev_printk_info fdtable file
        file_system_type files_struct fs_struct group_info hlist_bl_node hlist_head
        hlist_node hlist_nulls_head hlist_nulls_node idr in6_addr in_device in_ifaddr
        inet6_dev inet6_ifaddr inet_connection_sock inet_ehash_bucket inet_hashinfo
        inet_listen_hashbucket inet_sock inet_timewait_death_row inet_timewait_sock inode
        ipc_namespace ipv6_pinfo kernel_cap_struct kernel_param kernfs_node kernfs_root
        kgid_t kobject kset kuid_t latch_tree_node latch_tree_root latched_seq list_head
        lockref log maple_arange_64 maple_node maple_range_64 maple_tree mm_context_t
        mm_rss_stat mm_struct mnt_namespace mod_tree_root module module_kobject
        module_layout module_memory mount net net_device netlink_sock netlink_table
        netns_ipv4 netns_packet netns_unix ns_common nsproxy packet_sock path pcpu_hot
        percpu_counter pid pid_link pid_namespace pidmap prb_data_blk_lpos prb_data_ring
        prb_desc prb_desc_ring prev_cputime printk_info printk_log printk_ringbuffer proto
        qstr radix_tree_node radix_tree_root raw_hashinfo raw_sock rb_node rb_root
        rb_root_cached request_sock rhashtable rq sched_entity seccomp sighand_struct
        signal_struct sock sock_common socket socket_alloc super_block task_cputime
        task_struct tcp_sock thread_info time_namespace timekeeper timespec timespec64
        timezone tk_data tk_read_base tty_driver tty_struct udp_hslot udp_sock udp_table
        unix_address unix_sock unix_table upid user_namespace uts_namespace vdso_image
        vfsmount vm_area_struct vm_operations_struct vm_special_mapping xa_node xarray
    ],
    symbols: names![
        _end _etext _sdata _sinittext _stext _text __per_cpu_end __per_cpu_offset
        __per_cpu_start __pgtable_l5_enabled __start_BTF __start_notes __start_rodata
        __stop_BTF __stop_notes asm_exc_divide_error asm_exc_page_fault const_current_task
        const_pcpu_hot cpu_number current_task divide_error entry_SYSCALL_64
        entry_SYSENTER_32 gate_vma high_memory hugetlbfs_file_operations idle_task
        init_level4_pgt init_mm init_nsproxy init_pid_ns init_task init_top_pgt
        initial_page_table init_uts_ns kallsyms_lookup_name level4_kernel_pgt linux_banner
        max_threads mod_tree module_kset mem_section modules node_data nr_cpu_ids nr_threads
        page_offset_base page_fault panic_cpu pcpu_hot per_cpu__current_task phys_base
        pid_hash physical_mask task_state_array pid_max pidhash_shift runqueues saved_command_line
        shmem_file_operations shmem_vm_ops sme_me_mask special_mapping_vmops swapper_pg_dir
        timekeeper timekeeper_data tk_core totalram_pages vdso32_enabled vdso_image_32
        vdso_image_64 vdso_image_x32 vmcoreinfo_data vsyscall_mode vmcoreinfo_size
        vmalloc_base vmemmap_base xtime wall_to_monotonic __cpu_active_mask
        __cpu_online_mask __cpu_possible_mask __cpu_present_mask cpu_active_bits
        cpu_bit_bitmap cpu_online_bits cpu_online_mask cpu_present_bits cpu_present_mask
        shadow_timekeeper log_buf log_buf_len log_end logged_chars log_first_idx
        log_next_idx log_first_seq log_next_seq prb clear_seq clear_idx init_css_set
        cgrp_dfl_root cgroup_roots roots cgrp_dfl_visible cgroup_subsys init_net
        net_namespace_list tcp_hashinfo udp_table udplite_table raw_v4_hashinfo
        raw_v6_hashinfo unix_socket_table nl_table init_files
    ],
    constants: names![
        PIDTYPE_PID PIDTYPE_TGID PIDTYPE_MAX MOD_TEXT MOD_INIT_TEXT MOD_MEM_NUM_TYPES
        MODULE_STATE_LIVE MODULE_STATE_COMING MODULE_STATE_GOING MODULE_STATE_UNFORMED maple_dense
        maple_leaf_64 maple_range_64 maple_arange_64 MNT_INTERNAL
    ],
};
