use std::time::Duration;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const RULES: Rules = Rules {
    delay: Duration::from_secs(300),
    window: Duration::from_secs(86_400),
    known: Duration::from_secs(36 * 86_400),
};

fn later(seconds: u64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

fn from<'k>(origin: Origin<'k>, sender: &'k str) -> Key<'k> {
    Key { origin, sender, recipient: "user@demo.test" }
}

fn network(text: &str) -> Origin<'static> {
    Origin::Network(text.parse().unwrap())
}

#[test]
fn a_stranger_waits_and_is_known_once_he_came_again() {
    let table = Greylist::new(1024, 7);
    let key = from(network("192.0.2.1"), "a@sender.test");
    assert_eq!(table.attempt(&key, &RULES, NOW), Answer::Later(Duration::from_secs(300)));
    assert_eq!(table.attempt(&key, &RULES, later(100)), Answer::Later(Duration::from_secs(200)));
    assert_eq!(
        table.attempt(&key, &RULES, later(900)),
        Answer::CameAgain(Duration::from_secs(900))
    );
    assert_eq!(table.attempt(&key, &RULES, later(901)), Answer::Known);
    let neighbour = from(network("192.0.2.77"), "another@sender.test");
    assert_eq!(table.attempt(&neighbour, &RULES, later(902)), Answer::Known, "the same network");
    let stranger = from(network("192.0.3.1"), "a@sender.test");
    assert!(matches!(table.attempt(&stranger, &RULES, later(903)), Answer::Later(_)));
    let elsewhere = Key { recipient: "user@other.test", ..key };
    assert!(matches!(table.attempt(&elsewhere, &RULES, later(904)), Answer::Later(_)));
    let month = 37 * 86_400;
    assert!(matches!(table.attempt(&key, &RULES, later(1000 + month)), Answer::Later(_)));
}

#[test]
fn servers_of_a_domain_that_spf_vouches_for_are_one() {
    let table = Greylist::new(1024, 7);
    let key = from(Origin::Domain("sender.test"), "a@sender.test");
    assert!(matches!(table.attempt(&key, &RULES, NOW), Answer::Later(_)));
    let same = from(Origin::Domain("Sender.Test"), "a@sender.test");
    assert!(matches!(table.attempt(&same, &RULES, later(301)), Answer::CameAgain(_)));
}

#[test]
fn who_does_not_come_again_in_time_begins_anew() {
    let table = Greylist::new(1024, 7);
    let key = from(network("2001:db8::1"), "");
    assert!(matches!(table.attempt(&key, &RULES, NOW), Answer::Later(_)));
    let late = later(86_400);
    assert_eq!(table.attempt(&key, &RULES, late), Answer::Later(Duration::from_secs(300)));
}

#[test]
fn the_table_survives_a_restart_and_a_damaged_file_begins_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greylist");
    let table = Greylist::load(&path, 1024, 7, NOW);
    let known = from(network("192.0.2.1"), "a@sender.test");
    let waiting = from(network("198.51.100.1"), "b@sender.test");
    let _ = table.attempt(&known, &RULES, NOW);
    let _ = table.attempt(&known, &RULES, later(400));
    let _ = table.attempt(&waiting, &RULES, later(400));
    assert!(table.changed() && !table.changed());
    table.save(&path).unwrap();
    let again = Greylist::load(&path, 4096, 8, later(401));
    assert_eq!(again.len(), table.len());
    assert_eq!(again.attempt(&known, &RULES, later(402)), Answer::Known);
    let waited = Answer::CameAgain(Duration::from_secs(500));
    assert_eq!(again.attempt(&waiting, &RULES, later(900)), waited);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 20).unwrap();
    assert!(Greylist::load(&path, 1024, 7, NOW).is_empty());
}

#[test]
fn a_flood_of_strangers_never_takes_the_place_of_who_is_known() {
    let table = Greylist::new(1024, 7);
    let known = from(network("192.0.2.1"), "a@sender.test");
    let _ = table.attempt(&known, &RULES, NOW);
    let _ = table.attempt(&known, &RULES, later(400));
    for number in 0..50_000_u32 {
        let address = IpAddr::V4((0x0a00_0000 + number * 256).into());
        let key = from(Origin::Network(address), "bot@flood.test");
        let _ = table.attempt(&key, &RULES, later(500 + u64::from(number) / 100));
    }
    assert_eq!(table.attempt(&known, &RULES, later(2000)), Answer::Known);
    assert_eq!(table.len(), 1024);
}
