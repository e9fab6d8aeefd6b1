//! Absences and endings in words.

use osier_osi::{Absent, WalkEnd, Why};

/// Why a value is absent, in words.
pub fn describe_absence(absent: &Absent) -> String {
    let place = absent.at.map_or_else(String::new, |at| format!(" at {at}"));
    match absent.why {
        Why::NotApplicable(because) => because.to_owned(),
        Why::NotInThisKernel => "this kernel does not keep it".to_owned(),
        Why::Unreadable(fault) => fault.to_string(),
        Why::Implausible { raw, rule } => format!("{raw:#x}{place} cannot be right: {rule}"),
    }
}

/// How a walk ended, in words.
pub fn describe_end(walk: &str, end: &WalkEnd) -> String {
    let how = match end {
        WalkEnd::Closed => "closed".to_owned(),
        WalkEnd::Stopped => "was stopped".to_owned(),
        WalkEnd::BrokenLink { from, to, fault } => match to {
            Some(to) => format!("breaks: the link of {from} leads to {to}: {fault}"),
            None => format!("breaks: the link of {from} cannot be read: {fault}"),
        },
        WalkEnd::Inconsistent {
            at,
            back_link,
            expected,
        } => format!("is inconsistent: {at} links back to {back_link}, not to {expected}"),
        WalkEnd::Cycle { at, after } => format!("goes round at {at} after {after} nodes"),
        WalkEnd::Limit { after } => format!("was given up after {after} nodes"),
        WalkEnd::Disagreement {
            between,
            only_first,
            only_second,
        } => format!(
            "disagrees: {between}; {only_first} only in the first, {only_second} only in the second"
        ),
        WalkEnd::Implausible { at, values } => {
            let values = if *values == 1 {
                "1 value"
            } else {
                &format!("{values} values")
            };
            format!(
                "cannot be trusted: {values} cannot be right, the first of {at} (`ps` shows them)"
            )
        }
        WalkEnd::NoStart { missing, fault } => match fault {
            Some(fault) => format!("cannot start: {missing}: {fault}"),
            None => format!("cannot start: {missing}"),
        },
    };
    format!("{walk} {how}")
}
