//! Who processes are: credentials that are another's.

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::VirtAddr;
use osier_osi::{Absent, Process, Severity};

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use crate::symbols;

/// A process with credentials that are not its own.
pub(super) static SHARED: Rule = Rule {
    about: About {
        name: "credentials.shared",
        normal: "Every process has a struct cred of its own, which its threads share; the kernel's, init_cred, is the kernel's alone.",
        otherwise: "Nothing that is known for init_cred; of two processes, a kernel that copies them otherwise.",
    },
    look: shared,
};

fn shared(context: &Context<'_>, found: &mut Found) {
    let linux = context.linux;
    let guest = &linux.guest;
    let Some(field) = linux.tasks.real_cred else {
        found.lost("task_struct.real_cred in the profile", None);
        return;
    };
    let init = guest.symbol(symbols::init_cred);
    let mut owners: HashMap<VirtAddr, &Process> = HashMap::new();
    for row in context.programs(found) {
        let at = field.place(row.taskd);
        let cred = match field.read(&guest.space, row.taskd) {
            Ok(cred) if guest.can_be_object(cred) => cred,
            Ok(cred) => {
                let rule = "a task has credentials (real_cred)";
                let absent = Absent::implausible(cred.0, rule, Some(at));
                found.absent("task_struct.real_cred", &absent);
                continue;
            }
            Err(fault) => {
                found.lost("task_struct.real_cred", Some(fault));
                continue;
            }
        };
        let says = |severity, text, evidence| Says {
            severity,
            subject: process(row),
            text,
            evidence,
            address: row.taskd,
        };
        let evidence = Evidence::default().and("task_struct.real_cred", at, cred.to_string());
        if init == Some(cred) {
            let text = "A program has the credentials of the kernel itself, init_cred.".to_owned();
            found.process(&row.pid, says(Severity::High, text, evidence));
        } else if let Some(other) = owners.insert(cred, row) {
            let evidence = evidence.and("of the other", field.place(other.taskd), process(other));
            let text = "A program has the very credentials of another process.".to_owned();
            found.process(&row.pid, says(Severity::Medium, text, evidence));
        }
    }
}
