//! A damaged record raises an alarm that outlives the engine, and ends when somebody has looked.

use std::fs;
use std::path::PathBuf;

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::wait::wait_for;

/// The segments of the spool.
fn segments(gateway: &Gateway) -> Vec<PathBuf> {
    let shards = fs::read_dir(gateway.data().join("spool")).unwrap().flatten();
    let files = shards.flat_map(|shard| fs::read_dir(shard.path()).unwrap().flatten());
    let files = files.map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "segment")).collect()
}

fn alarm(gateway: &Gateway) -> Option<String> {
    let status = gateway.status();
    let alarms = status["alarms"].as_array().unwrap();
    let alarm = alarms.iter().find(|alarm| alarm["name"] == "damaged_records")?;
    Some(alarm["text"].as_str().unwrap().to_owned())
}

/// After the next restart nothing told that a mail was lost to a bad disk, looked at or not.
#[test]
fn the_alarm_for_a_damaged_record_stays_over_restarts_until_its_file_is_removed() {
    let mut gateway = Gateway::start(&Setup {
        hop: Some(([127, 0, 0, 1], 1).into()),
        shards: 1,
        ..Setup::default()
    });
    for name in ["one", "two"] {
        let mail = format!("Subject: {name}\r\n\r\nIN-THE-BODY-{name}\r\n");
        let sent = gateway.send("a@example.com", &["user@demo.test"], mail.as_bytes());
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    }
    assert_eq!(alarm(&gateway), None);
    gateway.kill();
    let mut flipped = 0;
    for path in segments(&gateway) {
        let mut octets = fs::read(&path).unwrap();
        let needle = b"IN-THE-BODY-one";
        for at in 0..octets.len() {
            if octets[at..].starts_with(needle) {
                octets[at] ^= 4;
                flipped += 1;
            }
        }
        fs::write(&path, octets).unwrap();
    }
    assert_eq!(flipped, 1);
    gateway.up();
    let text = wait_for("the alarm", || alarm(&gateway));
    assert!(text.starts_with("1 damaged records") && text.contains("run/damaged"), "{text}");
    let file = gateway.data().join("run/damaged");
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.contains(".segment offset ") && told.contains("checksum"), "{told}");
    let aside = gateway.data().join("spool/0/damaged");
    assert_eq!(fs::read_dir(aside).unwrap().count(), 1, "the octets are kept");
    gateway.drain();
    gateway.up();
    assert!(alarm(&gateway).is_some(), "nobody has looked yet");
    // The segment is not compacted yet, so the new engine finds the same once more.
    wait_for("the second start has told", || {
        let told = gateway.last_words().matches("a damaged record was set aside").count();
        (told >= 2).then_some(())
    });
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1, "once");
    fs::remove_file(&file).unwrap();
    assert_eq!(alarm(&gateway), None, "somebody has");
}
