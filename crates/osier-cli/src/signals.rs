//! Ctrl-C and SIGTERM end the command as ever, and leave no partial file behind.

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Removes the partial output files before a signal ends this process. That it cannot is no failure:
/// whoever writes the same file next removes them.
#[expect(
    clippy::disallowed_methods,
    reason = "it waits for the system and does none of the work"
)]
pub(crate) fn leave_nothing() {
    let wanted = [SIGINT, SIGTERM]
        .into_iter()
        .filter(|&signal| !is_ignored(signal));
    let Ok(mut signals) = Signals::new(wanted) else {
        return;
    };
    thread::spawn(move || {
        for signal in signals.forever() {
            osier_file::abandon();
            let _ = emulate_default_handler(signal);
        }
    });
}

/// Whether whoever started this process wants the signal to be ignored, as a shell does of what it
/// runs in the background. Linux tells, others are believed to want none.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal.saturating_sub(1)).unwrap_or(u32::MAX);
    let bit = 1_u64.checked_shl(bit).unwrap_or(0);
    mask.is_some_and(|mask| mask & bit != 0)
}
