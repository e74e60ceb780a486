//! How long the engine and its workers keep memory that they do not use (docs/decisions/0094).

#![expect(unsafe_code, reason = "the allocator's options; docs/decisions/0094")]

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// The engine's. The allocator's own 10 ms give it back between two waves of mail, and the next wave pays for it again.
pub(crate) const ENGINE: Milliseconds = Milliseconds(60_000);
/// A worker's: there are many, and what one mail needed the next one does not have to have. From one mail to the next
/// under load is longer than 10 ms.
pub(crate) const WORKER: Milliseconds = Milliseconds(1_000);

/// A time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milliseconds(std::ffi::c_long);

/// Unused memory goes back to the kernel after that time. `MIMALLOC_PURGE_DELAY` in the environment goes before.
pub(crate) fn keep(time: Milliseconds) {
    // SAFETY: a number of an option and a value; the allocator checks the number, and takes any value at any time.
    unsafe { mi_option_set_default(PURGE_DELAY, time.0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    /// Read by the allocator under its name in the environment, and by us under its number.
    const NAME: &str = "MIMALLOC_PURGE_DELAY";

    fn in_force() -> std::ffi::c_long {
        // SAFETY: a number of an option.
        unsafe { mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn the_number_is_that_of_the_option() {
        let ours = "memory::tests::the_number_is_that_of_the_option";
        keep(ENGINE);
        if std::env::var_os(NAME).is_some() {
            assert_eq!(in_force(), 4321, "what the environment says goes before");
            return;
        }
        assert_eq!(in_force(), ENGINE.0);
        let program = std::env::current_exe().unwrap();
        let mut child = std::process::Command::new(program);
        let child = child.args(["--exact", ours]).env(NAME, "4321").status();
        assert!(child.unwrap().success());
    }
}
