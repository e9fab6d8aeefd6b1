//! What is found by its own bytes and what does not fit, on real machines that nobody tampered with, and on the same ones with words of
//! their memory changed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod code;
mod findings;
mod machine;
mod network;
mod tampered;
mod terminals;
mod twice;

use std::collections::BTreeSet;

use code::{
    a_break_point, a_jump_behind_the_code, a_jump_into_a_module_that_hides, a_jump_out_of_a_module,
    a_page_of_code_that_is_none, a_switch_that_leads_away, a_switch_that_leads_to_another_function,
    bytes_that_only_look_like_a_jump, traps_over_the_first_instructions,
};
use findings::{
    a_function_that_ftrace_calls, a_function_that_hears_keys, a_function_that_packets_pass,
    a_hook_of_a_module_that_hides, a_library_that_is_preloaded,
    a_list_of_sockets_that_another_shows, a_machine_check_that_the_kernel_does_not_take,
    a_mapping_that_left_its_files_tree, a_module_that_left_the_list, a_probe,
    a_process_that_left_every_list, a_process_that_left_the_list,
    a_process_whose_number_leads_nowhere, a_program_in_anonymous_memory,
    a_program_that_is_called_as_the_kernels, a_system_call_that_leads_to_another_function,
    a_system_call_that_leaves_the_kernel, an_interrupt_that_leaves_the_kernel,
    borrowed_credentials, helpers_taint_and_tracing, nothing_on_untouched_guests,
    threads_of_the_kernel_on_a_mount_of_its_own, what_is_planted_is_found,
    zeros_are_lost_and_no_finding,
};
use machine::Machine;
use network::{
    a_socket_whose_file_has_another_inode, a_table_of_connections_that_says_to_be_smaller,
    an_interface_that_no_protocol_keeps,
};
use osier::{ScanSource, ScannedKind};
use osier_testkit::need::{self, Real};
use tampered::{what_hides_is_a_row, what_somebody_left_is_found};
use terminals::{
    a_driver_of_terminals_that_another_writes, a_driver_that_left_the_list, a_format_in_the_image,
    a_format_that_is_nobodys, a_line_discipline_in_the_place_of_the_usual,
    a_line_discipline_that_another_reads, a_terminal_of_a_session, a_terminal_of_an_open_file,
    a_terminal_with_a_line_discipline_of_its_own, zeros_of_terminals_are_lost,
};
use twice::{
    a_file_without_the_root_of_its_pages, a_module_that_does_not_lead_to_itself,
    a_mount_that_stands_beside_another, a_process_that_its_own_list_has_lost,
    a_process_with_the_threads_of_another, a_program_whose_name_its_file_system_makes,
    a_session_with_another_number, a_task_that_is_said_to_exit, a_thread_of_the_kernel_in_a_group,
    a_vdso_without_operations, what_a_program_was_told,
};

osier_testkit::trials! {
    need::each(need::snapshot, &MACHINES) => the_scan_agrees_with_the_lists;
    need::each(need::snapshot, &MACHINES) => an_unlinked_process_is_scanned;
    need::each(need::snapshot, &MACHINES) => an_unlinked_module_is_scanned;
    need::each(need::snapshot, &MACHINES) => nothing_on_untouched_guests, a_mapping_that_left_its_files_tree, a_system_call_that_leads_to_another_function, a_process_that_left_the_list, a_process_that_left_every_list, a_module_that_left_the_list, a_system_call_that_leaves_the_kernel, an_interrupt_that_leaves_the_kernel, threads_of_the_kernel_on_a_mount_of_its_own, a_machine_check_that_the_kernel_does_not_take, a_list_of_sockets_that_another_shows, a_function_that_ftrace_calls, a_probe, a_function_that_hears_keys, a_function_that_packets_pass, borrowed_credentials, a_program_that_is_called_as_the_kernels, a_library_that_is_preloaded, helpers_taint_and_tracing, a_program_in_anonymous_memory, zeros_are_lost_and_no_finding;
    need::each(need::snapshot, &MACHINES) => a_hook_of_a_module_that_hides, a_process_whose_number_leads_nowhere;
    need::each(need::snapshot, &MACHINES) => a_socket_whose_file_has_another_inode, an_interface_that_no_protocol_keeps, a_table_of_connections_that_says_to_be_smaller;
    need::each(need::snapshot, &MACHINES) => a_file_without_the_root_of_its_pages, a_module_that_does_not_lead_to_itself, a_mount_that_stands_beside_another, a_process_that_its_own_list_has_lost, a_process_with_the_threads_of_another, a_program_whose_name_its_file_system_makes, a_session_with_another_number, a_task_that_is_said_to_exit, a_thread_of_the_kernel_in_a_group, a_vdso_without_operations, what_a_program_was_told;
    need::each(need::snapshot, &MACHINES) => a_break_point, a_jump_behind_the_code, a_page_of_code_that_is_none, traps_over_the_first_instructions, a_jump_into_a_module_that_hides, bytes_that_only_look_like_a_jump, a_jump_out_of_a_module;
    need::each(need::snapshot, &MACHINES) => a_driver_of_terminals_that_another_writes, a_driver_that_left_the_list, a_format_in_the_image, a_terminal_of_an_open_file, a_format_that_is_nobodys, a_line_discipline_in_the_place_of_the_usual, a_line_discipline_that_another_reads, a_terminal_of_a_session, a_terminal_with_a_line_discipline_of_its_own, zeros_of_terminals_are_lost;
    need::each(need::snapshot, &WITH_A_SWITCH) => a_switch_that_leads_away, a_switch_that_leads_to_another_function;
    need::each(need::made, &PLANTED) => what_is_planted_is_found, nothing_on_untouched_guests;
    need::each(need::made, &TAMPERED) => what_somebody_left_is_found, what_hides_is_a_row;
}

const MACHINES: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// Kernels that go by a switch where others go by `sys_call_table`.
const WITH_A_SWITCH: [&str; 2] = ["deb12-6.1-amd64", "deb13-6.12-amd64"];

/// Guests that the maker tampered with.
const TAMPERED: [&str; 2] = ["tampered-deb11-5.10-amd64", "tampered-deb12-6.1-amd64"];

/// Guests that hold a deleted program, a traced process and packet sockets.
const PLANTED: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

fn the_scan_agrees_with_the_lists(real: &Real) {
    let guest = osier::open(real.path.join("memory.raw")).unwrap();
    let mut scan = guest.scan();
    let rows: Vec<_> = scan.by_ref().collect();
    assert!(scan.is_complete(), "{}: {}", real.name, scan.ends());
    let of = |kind| {
        let rows = rows
            .iter()
            .filter(move |row| row.kind == kind && row.linked);
        rows.map(|row| row.address).collect::<BTreeSet<_>>()
    };
    let listed: BTreeSet<_> = guest.processes().map(|process| process.taskd).collect();
    let threads: BTreeSet<_> = guest.threads(None).map(|thread| thread.task).collect();
    let modules: BTreeSet<_> = guest.modules().map(|module| module.modd).collect();
    let tasks: BTreeSet<_> = &of(ScannedKind::Process) | &of(ScannedKind::Thread);
    assert_eq!(tasks, &listed | &threads, "{}", real.name);
    assert_eq!(of(ScannedKind::Module), modules, "{}", real.name);
    assert!(tasks.len() > 100 && modules.len() > 7, "{}", real.name);
    for row in &rows {
        let by_bytes = match row.kind {
            ScannedKind::Module => ScanSource::ModuleMemory,
            _ => ScanSource::Slab,
        };
        let first = row.pid == Ok(0) && row.kind == ScannedKind::Process;
        assert!(
            row.found_by.has(by_bytes) || first,
            "{}: {row:?}",
            real.name
        );
        // Nobody hides here: what no list leads to has exited, and its memory was given back.
        assert_eq!(row.freed, Ok(!row.linked), "{}: {row:?}", real.name);
        assert!(
            row.linked || row.exited == Ok(true),
            "{}: {row:?}",
            real.name
        );
    }
    assert!(rows.iter().any(|row| !row.linked), "{}", real.name);
}

fn an_unlinked_process_is_scanned(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let victim = guest
        .processes()
        .find(|process| matches!(&process.name, Ok(name) if name == b"spinner-0"));
    let task = victim.unwrap().taskd;
    let node = machine.place("task_struct", task, "tasks");
    machine.unlink(node);
    let scan: Vec<_> = machine.guest().scan().collect();
    let first = machine.symbol("init_task");
    assert!(scan.iter().any(|row| row.address == first && row.linked));
    let row = scan.iter().find(|row| row.address == task).unwrap();
    let by = row.found_by;
    assert!(
        by.has(ScanSource::Slab) && by.has(ScanSource::PidTable),
        "{row:?}"
    );
    assert!(!by.has(ScanSource::List), "{row:?}");
    assert_eq!(row.name.as_deref(), Ok(&b"spinner-0"[..]));
    assert_eq!(
        (&row.freed, &row.exited),
        (&Ok(false), &Ok(false)),
        "{row:?}"
    );
}

fn an_unlinked_module_is_scanned(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let victim = guest
        .modules()
        .find(|module| matches!(&module.name, Ok(name) if name == b"dummy"));
    let modd = victim.unwrap().modd;
    machine.unlink(machine.place("module", modd, "list"));
    machine.unlink(machine.place("module", modd, "mkobj.kobj.entry"));
    let scan: Vec<_> = machine.guest().scan().collect();
    let row = scan.iter().find(|row| row.address == modd).unwrap();
    assert!(
        !row.linked && row.found_by.has(ScanSource::ModuleMemory),
        "{row:?}"
    );
    assert!(!row.found_by.has(ScanSource::SysModule), "{row:?}");
    assert_eq!(row.name.as_deref(), Ok(&b"dummy"[..]));
}
