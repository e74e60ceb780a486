//! The engine's own memory over the run, looked at by a thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sekisho_tests::process::memory_kib;

/// When, of which process, how much.
type Sample = (Duration, u32, u64);

#[derive(Default)]
struct Shared {
    engine: AtomicU32,
    over: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// Samples of RssAnon + RssShmem.
pub(crate) struct Memory {
    seconds: u32,
    shared: Arc<Shared>,
}

impl Memory {
    /// Looks each sixtieth of a run of so many seconds: ten seconds of ten minutes.
    pub(crate) fn start(seconds: u32, start: Instant) -> Self {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            let every = Duration::from_millis(u64::from(seconds) * 1000 / 60);
            while !of_thread.over.load(Ordering::SeqCst) {
                let engine = of_thread.engine.load(Ordering::SeqCst);
                if let Some(kib) = memory_kib(engine) {
                    of_thread.samples.lock().expect("samples").push((start.elapsed(), engine, kib));
                }
                std::thread::sleep(every);
            }
        });
        Self { seconds, shared }
    }

    /// Whose memory it is from now on.
    pub(crate) fn of(&self, engine: u32) {
        self.shared.engine.store(engine, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }

    /// The median of a tenth of the run, and whose it is; none if that was not one engine all the time.
    fn tenth(&self, index: u32) -> Option<(u32, u64)> {
        let bound =
            |tenth: u32| Duration::from_millis(u64::from(self.seconds) * 100 * u64::from(tenth));
        let of_it = bound(index)..bound(index + 1);
        let samples = self.shared.samples.lock().expect("samples");
        let of_it: Vec<&Sample> = samples.iter().filter(|(at, _, _)| of_it.contains(at)).collect();
        let engine = of_it.first()?.1;
        if of_it.iter().any(|(_, other, _)| *other != engine) {
            return None;
        }
        let mut all: Vec<u64> = of_it.iter().map(|(_, _, kib)| *kib).collect();
        all.sort_unstable();
        Some((engine, *all.get(all.len() / 2)?))
    }

    /// The tenth minute against the second, of the same engine.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn growth_percent(&self) -> Option<f64> {
        let ((second, before), (tenth, after)) = (self.tenth(1)?, self.tenth(9)?);
        (second == tenth).then(|| (after as f64 / before as f64 - 1.0) * 100.0)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RssAnon + RssShmem of the engine, second: KiB (a semicolon: another engine)")?;
        let mut engine = None;
        for (index, (at, of, kib)) in
            self.shared.samples.lock().expect("samples").iter().enumerate()
        {
            let mark = match engine {
                Some(engine) if engine != *of => ";",
                _ => "",
            };
            let line = if index % 10 == 9 { "\n" } else { "" };
            engine = Some(*of);
            write!(f, "{mark} {}: {kib}{line}", at.as_secs())?;
        }
        let median = |tenth| self.tenth(tenth).map_or(0, |(_, kib)| kib);
        let growth = self.growth_percent();
        let growth =
            growth.map_or_else(|| "not of one engine".to_owned(), |up| format!("{up:+.1} %"));
        write!(
            f,
            "\nmedian of minute 2: {} KiB, of minute 10: {} KiB: {growth}",
            median(1),
            median(9)
        )
    }
}
