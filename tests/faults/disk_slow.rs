//! A slow disk: of each quarter of a second it writes nothing for 0.2 s. Mail takes longer, and that is all.
//!
//! Honest without modules of the kernel: spool and quarantine lie on an ext4 of the test's own in a file, which is
//! frozen (`fsfreeze`) and thawed by turns. A write to a frozen file system waits in the kernel, whether it comes
//! by a ring or by a call; what waits for a flush waits with it.

use std::process::{Child, Command, Stdio};

use sekisho_tests::gateway::{Gateway, Launch, Setup};
use sekisho_tests::left_out;
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, Stand};

use crate::MODES;

/// Freezes and thaws for some five seconds. A process of its own that always ends with a thaw, also when
/// the test is killed: what stays frozen keeps every process that writes to it.
const BY_TURNS: &str = "trap '' HUP INT TERM; n=0; while [ $n -lt 20 ]; do n=$((n + 1)); \
     fsfreeze -f \"$0\" || exit 3; sleep 0.2; fsfreeze -u \"$0\" || exit 4; sleep 0.05; done";

fn own_disk(gateway: &Gateway) -> Launch {
    let script = "mount -o loop \"$0/disk.img\" \"$0/disk\" && \
                  mkdir -p \"$0/disk/spool\" \"$0/disk/quarantine\" \"$0/spool\" \"$0/quarantine\" && \
                  mount --bind \"$0/disk/spool\" \"$0/spool\" && \
                  mount --bind \"$0/disk/quarantine\" \"$0/quarantine\" && exec \"$@\"";
    let mut wrapper: Vec<std::ffi::OsString> =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
            .map(Into::into)
            .into();
    wrapper.push(gateway.data().into());
    Launch { wrapper, ..Launch::default() }
}

/// Whether a disk of its own can be made and frozen here; what is missing otherwise.
fn make_disk(gateway: &Gateway) -> Result<(), String> {
    let (image, disk) = (gateway.data().join("disk.img"), gateway.data().join("disk"));
    std::fs::create_dir(disk).unwrap();
    std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output();
    match made {
        Ok(made) if made.status.success() => {}
        Ok(made) => return Err(String::from_utf8_lossy(&made.stderr).into_owned()),
        Err(error) => return Err(format!("mkfs.ext4: {error}")),
    }
    let script = "mount -o loop \"$0/disk.img\" \"$0/disk\" && fsfreeze -f \"$0/disk\" && \
                  fsfreeze -u \"$0/disk\"";
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(gateway.data())
        .output();
    match tried {
        Ok(tried) if tried.status.success() => Ok(()),
        Ok(tried) => Err(String::from_utf8_lossy(&tried.stderr).into_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

fn slow_down(gateway: &Gateway) -> Child {
    let root = format!("/proc/{}/root{}/disk", gateway.pid(), gateway.data().display());
    let child = Command::new("sh").args(["-c", BY_TURNS, &root]).stdin(Stdio::null()).spawn();
    child.unwrap()
}

#[test]
fn a_disk_that_writes_nothing_for_most_of_the_time_delays_mail_and_loses_none() {
    if !rustix::process::geteuid().is_root() {
        left_out("a slow disk", "only root can mount and freeze one");
        return;
    }
    for (mode, seed) in MODES.into_iter().zip(0xa01..) {
        let mut sink = SinkProcess::start(&[]);
        let mut gateway = Gateway::prepare(&Setup { mode, ..Setup::to(sink.address()) });
        if let Err(why) = make_disk(&gateway) {
            left_out("a slow disk", &why);
            return;
        }
        gateway.launch(own_disk(&gateway));
        gateway.up();
        let mut stand = Stand::new();
        stand.load(&gateway, &Load { seed, mails: 300, sessions: 16, ..Load::default() });
        stand.answered(40);
        let mut slow = slow_down(&gateway);
        // In through mode only what the hop does not take is written.
        let in_flight = sink.kill();
        stand.answered(120);
        sink.up();
        let frozen = slow.wait().unwrap();
        assert!(frozen.success(), "the disk was frozen and thawed: {frozen}");
        let story = format!("slow disk, {mode}");
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        balance.holds(&story, in_flight);
        assert_eq!(
            (balance.account.refused, balance.account.unknown),
            (0, 0),
            "{story}: {balance}"
        );
        assert_eq!(balance.account.delivered, 300, "{story}: {balance}");
    }
}
