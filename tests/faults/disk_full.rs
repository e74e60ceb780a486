//! The disk fills up under load, by mail that waits or by somebody else's file, down to the last octet: new mail is
//! refused with 4yz, and what was answered 250 is delivered when there is room again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sekisho_tests::gateway::{Gateway, Launch, Setup};
use sekisho_tests::left_out;
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, PATIENCE, Stand};
use sekisho_tests::wait::wait_longer;

use crate::MODES;

/// Mails of the load: half as large again as the room that there is.
const MAILS: u64 = 400;

fn load(seed: u64) -> Load {
    Load { seed, mails: MAILS, mix: "mean15", ..Load::default() }
}

fn refused(stand: &Stand) -> usize {
    stand.outcomes().values().filter(|outcome| outcome.starts_with('4')).count()
}

#[test]
fn a_spool_at_its_budget_refuses_new_mail_and_delivers_what_it_has() {
    for (mode, seed) in MODES.into_iter().zip(0x901..) {
        let mut sink = SinkProcess::start(&[]);
        let gateway = Gateway::start(&Setup {
            mode,
            storage: "spool_bytes_max = 4194304".to_owned(),
            ..Setup::to(sink.address())
        });
        let mut stand = Stand::new();
        stand.load(&gateway, &load(seed));
        stand.answered(40);
        let in_flight = sink.kill();
        wait_longer("mail is refused", PATIENCE, || (refused(&stand) >= 20).then_some(()));
        assert_ne!(gateway.status()["alarms"], serde_json::json!([]), "the disk is an alarm");
        sink.up();
        let story = format!("spool at its budget, {mode}");
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        balance.holds(&story, in_flight);
        assert_eq!(balance.refused_and_there, Vec::<String>::new(), "{story}: {balance}");
        assert_eq!(balance.account.unknown, 0, "{story}: {balance}");
    }
}

/// Spool and quarantine on a file system of 24 MiB that nobody else sees and that ends with the engine.
fn small_disk(gateway: &Gateway) -> Launch {
    let script = "for kind in spool quarantine; do mkdir -p \"$0/$kind\"; done; \
                  mount -t tmpfs -o size=24m none \"$0/spool\" && mkdir \"$0/spool/.q\" && \
                  mount --bind \"$0/spool/.q\" \"$0/quarantine\" && exec \"$@\"";
    let mut wrapper: Vec<std::ffi::OsString> =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
            .map(Into::into)
            .into();
    wrapper.push(gateway.data().into());
    Launch { wrapper, ..Launch::default() }
}

/// Writes until there is no room for one octet more.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for piece in [1 << 20, 4096, 1] {
        let octets = vec![b'x'; piece];
        while file.write(&octets).is_ok_and(|written| written > 0) {}
    }
}

#[test]
fn a_disk_that_somebody_else_fills_to_the_last_octet_loses_no_mail() {
    if !rustix::process::geteuid().is_root() {
        left_out("a disk that is full", "only root can mount a small one");
        return;
    }
    for (mode, seed) in MODES.into_iter().zip(0x911..) {
        let mut sink = SinkProcess::start(&[]);
        let mut gateway = Gateway::prepare(&Setup { mode, ..Setup::to(sink.address()) });
        gateway.launch(small_disk(&gateway));
        gateway.up();
        let mut stand = Stand::new();
        stand.load(&gateway, &load(seed));
        stand.answered(40);
        let in_flight = sink.kill();
        stand.answered(80);
        let root = format!("/proc/{}/root", gateway.pid());
        let filler = PathBuf::from(format!("{root}{}/spool/filler", gateway.data().display()));
        fill(&filler);
        wait_longer("mail is refused", PATIENCE, || (refused(&stand) >= 20).then_some(()));
        std::fs::remove_file(&filler).unwrap();
        sink.up();
        let story = format!("disk full, {mode}");
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        balance.holds(&story, in_flight);
        assert_eq!(balance.refused_and_there, Vec::<String>::new(), "{story}: {balance}");
        assert_eq!(balance.account.unknown, 0, "{story}: {balance}");
        assert!(gateway.is_up(), "{story}");
    }
}
