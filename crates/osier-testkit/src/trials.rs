//! A test program whose tests need what not every clone has: such a test is *ignored*, with the
//! reason, where it cannot run. Rust's own harness decides that when it compiles.
//!
//! The program has `harness = false` in its crate's manifest, and [`trials!`](macro@crate::trials) in place of `#[test]`:
//!
//! ```no_run
//! use osier_testkit::need::{self, Real};
//!
//! osier_testkit::trials! {
//!     need::snapshot("amd64-5.10") => four_levels;
//!     need::each(need::snapshot, &["deb12-6.1-amd64", "deb13-6.12-amd64"]) => mappings, modules;
//!     need::program("qemu-system-x86_64") => whole_pages;
//! }
//!
//! fn four_levels(real: &Real) {
//!     assert!(real.path.join("stopped.info_tlb.txt").is_file());
//! }
//! # fn mappings(real: &Real) {}
//! # fn modules(real: &Real) {}
//! fn whole_pages() {}
//! ```
//!
//! A function that is not in the list is never used, of which the compiler warns.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::need::{Need, Real};

/// The program's `main`: after each need, the tests that need it. They run once with each where there
/// are several.
#[macro_export]
macro_rules! trials {
    ($($need:expr => $($test:path),+ ;)+) => {
        fn main() -> ::std::process::ExitCode {
            let mut trials = $crate::trials::Trials::default();
            $($( trials.add(stringify!($test), $need, $test); )+)+
            trials.run()
        }
    };
}

/// Ends a test of [`trials!`](macro@crate::trials) that finds out as it runs that it cannot: it is ignored.
#[macro_export]
macro_rules! ignore {
    ($($reason:tt)+) => {
        $crate::trials::ignore(&format!($($reason)+))
    };
}

/// What [`ignore!`] does.
pub fn ignore(reason: &str) -> ! {
    panic_any(Ignored(reason.trim_end().to_owned()))
}

/// The payload of a panic that is no failure.
struct Ignored(String);

/// A function that tests: of nothing, or of what it needs.
pub trait Test<Given>: Send + 'static {
    /// Runs it.
    fn run(self, real: &Real);
}

impl<F: FnOnce() + Send + 'static> Test<()> for F {
    fn run(self, _: &Real) {
        self();
    }
}

impl<F: FnOnce(&Real) + Send + 'static> Test<Real> for F {
    fn run(self, real: &Real) {
        self(real);
    }
}

/// The tests of a program; [`trials!`](macro@crate::trials) fills it.
#[derive(Default)]
pub struct Trials(Vec<(String, Option<String>, Body)>);

type Body = Box<dyn FnOnce() + Send>;

impl Trials {
    /// Adds a test, once for each need.
    pub fn add<Given>(
        &mut self,
        name: &str,
        needs: impl IntoIterator<Item = Need>,
        test: impl Test<Given> + Copy,
    ) {
        let needs: Vec<Need> = needs.into_iter().collect();
        let many = needs.len() > 1;
        for need in needs {
            let name = if many {
                format!("{name}::{}", need.name())
            } else {
                name.to_owned()
            };
            let missing = need.missing().map(str::to_owned);
            let body = move || test.run(&need.get());
            self.0.push((name, missing, Box::new(body)));
        }
    }

    /// Runs what the command line asks for, as Rust's own harness does.
    ///
    /// Who asks for ignored tests means them: they run, and what is missing makes them fail.
    pub fn run(self) -> ExitCode {
        let arguments = Arguments::from_args();
        // Programs that list the tests first (nextest) ask which are ignored; what is ignored before
        // it runs is shown without a reason.
        let asked = arguments.list || arguments.ignored || arguments.include_ignored;
        let trials = self.0.into_iter().map(|(name, missing, body)| {
            let flag = asked && missing.is_some();
            let missing = missing.filter(|_| !asked);
            let run = move || match missing {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => outcome(body),
            };
            Trial::ignorable_test(name, run).with_ignored_flag(flag)
        });
        keep_messages();
        libtest_mimic::run(&arguments, trials.collect()).exit_code()
    }
}

thread_local! {
    /// What the last panic of the test that runs on this thread said.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A test's panics are told with its failure, with their place; all others as usual.
fn keep_messages() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        let kept = SAID.with_borrow_mut(|said| match said {
            Some(said) => {
                let trace = Backtrace::capture().to_string();
                let trace = trace.strip_prefix("disabled backtrace").unwrap_or(&trace);
                *said = format!("{panic}\n{trace}");
                true
            }
            None => false,
        });
        if !kept {
            usual(panic);
        }
    }));
}

fn outcome(body: Body) -> Result<Completion, Failed> {
    SAID.set(Some(String::new()));
    let ended = catch_unwind(AssertUnwindSafe(body));
    let said = SAID.take().unwrap_or_default();
    match ended {
        Ok(()) => Ok(Completion::Completed),
        Err(payload) => ignored(payload).ok_or(Failed::from(said.trim_end())),
    }
}

fn ignored(payload: Box<dyn Any + Send>) -> Option<Completion> {
    let Ignored(reason) = *payload.downcast().ok()?;
    Some(Completion::ignored_with(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::need;

    #[test]
    fn what_cannot_run_is_ignored_and_what_panics_fails_with_its_place() {
        keep_messages();
        assert!(matches!(
            outcome(Box::new(|| {})),
            Ok(Completion::Completed)
        ));
        let ignored = outcome(Box::new(|| ignore!("no disk of {} bytes\n", 7)));
        let Ok(Completion::Ignored { reason }) = ignored else {
            panic!("not ignored");
        };
        assert_eq!(reason.as_deref(), Some("no disk of 7 bytes"));
        let failed = outcome(Box::new(|| {
            // A panic that the test expects is not what it fails of.
            assert!(catch_unwind(|| panic!("expected")).is_err());
            panic!("seven is {}", 7)
        }));
        let said = failed.err().expect("a failure");
        let said = said.message().expect("words");
        assert!(said.contains("trials.rs:") && said.contains("seven is 7"));
        assert!(!said.contains("expected"), "{said}");
    }

    #[test]
    fn a_test_runs_once_with_each_need_and_knows_what_is_missing() {
        let mut trials = Trials::default();
        let names = ["no-such-program", "cargo"];
        trials.add("packs", need::each(need::program, &names), || {});
        let both = need::program("cargo").and(need::snapshot("no-such-snapshot"));
        trials.add("both", both, |_: &Real| {});
        let known = trials.0.iter().map(|(name, missing, _)| {
            let missing = missing.as_deref().unwrap_or_default();
            (name.as_str(), missing.split(' ').nth(1).unwrap_or_default())
        });
        let known: Vec<_> = known.collect();
        assert_eq!(
            known,
            [
                ("packs::no-such-program", "no-such-program"),
                ("packs::cargo", ""),
                ("both", "no-such-snapshot.tar.zst")
            ]
        );
    }
}
