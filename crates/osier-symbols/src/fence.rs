//! The fence around work on damaged input by code that may panic: a panic is that input's failure and
//! nobody else's, and nothing of it is written to standard error.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does `work`; if it panics, gives the message and the place in the source.
///
/// What `work` borrows must not be used again after a panic if it was being changed. Fences may stand
/// inside each other.
///
/// # Errors
///
/// What the panic said, and where in the source.
pub fn fence<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    keep_quiet_inside();
    let outside = INSIDE.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outside);
    outcome.map_err(|payload| {
        let place = PLACE.take().unwrap_or_default();
        format!("the reader panicked: {}{place}", message(&*payload))
    })
}

/// Panics inside a fence are its caller's to report; all others are reported as before.
fn keep_quiet_inside() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if INSIDE.get() {
                PLACE.set(info.location().map(|place| format!(" ({place})")));
            } else {
                before(info);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(fence(|| 5), Ok(5));
        let told = fence(|| -> u8 { panic!("no {}", "luck") }).unwrap_err();
        assert!(
            told.contains("no luck") && told.contains("fence.rs"),
            "{told}"
        );
        assert_eq!(fence(|| 6), Ok(6));
        let inner = fence(|| {
            let inner = fence(|| -> u8 { panic!("inner") });
            assert!(INSIDE.get());
            inner
        });
        assert!(inner.unwrap().is_err() && !INSIDE.get());
    }
}
