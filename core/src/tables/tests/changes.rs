//! Single changes, merging, swapping.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::*;
use super::*;

#[test]
fn single_changes_come_into_force_are_merged_and_survive_a_new_build() {
    let at = Appliance::new();
    let publisher = at.publisher();
    let current = Current::new(at.build(vec![csv("gateway,sender,block,x.example\n", &at)]));
    let old = current.load();
    let block = entry("domain:example.com,sender,block,y.example");
    let changes = [
        vec![Change::RecipientAdd { address: "new@example.com".into() }],
        vec![Change::AliasAdd {
            address: "a2@example.com".into(),
            target: "new@example.com".into(),
        }],
        vec![Change::RecipientRemove { address: "info@example.com".into() }],
        vec![Change::EntryAdd { entry: block.clone() }],
        vec![Change::EntryRemove { entry: entry("gateway,sender,block,x.example") }],
        vec![Change::EntryAdd { entry: entry("gateway,sender,allow,192.0.2.0/24") }],
    ];
    for (number, change) in (1..).zip(&changes) {
        assert_eq!(publisher.add_delta(change).unwrap(), (1, number));
        assert_eq!(current.adopt_deltas(&at.dir(1)).unwrap(), 1);
    }
    let check = |snapshot: &Snapshot, when: &str| {
        assert_eq!(resolved(snapshot, "a2@example.org"), "new@example.com listed", "{when}");
        assert_eq!(resolved(snapshot, "info@example.com"), "info@example.com unlisted", "{when}");
        assert_eq!(
            entries(snapshot, "user@example.com", "u@y.example", 0),
            ["Domain Block y.example"],
            "{when}"
        );
        assert_eq!(entries(snapshot, "user@example.com", "u@x.example", 0), [""; 0], "{when}");
        let to = mailbox("user@example.com");
        let found = snapshot.client_entries(&to, "192.0.2.9".parse().unwrap(), UnixMillis(0));
        assert_eq!(found.len(), 1, "{when}");
    };
    check(&current.load(), "by deltas");
    assert_eq!(resolved(&old, "info@example.com"), "info@example.com listed", "a snapshot changed");
    let counts = current.counts();
    assert_eq!((counts.generation, counts.delta, counts.delta_changes), (1, 6, 6));
    assert!(counts.delta_bytes > 0);

    assert_eq!(publisher.merge(&mut |_| ()).unwrap(), Some(2));
    current.swap(at.adopt(2).unwrap(), &at.dir(2)).unwrap();
    check(&current.load(), "merged");
    assert_eq!(current.load().delta_number(), 0);
    assert_eq!(current.old_bases_mapped(), 1, "the old snapshot is held");
    drop(old);
    assert_eq!(current.old_bases_mapped(), 0);
    assert_eq!(current.counts().delta_bytes, 0, "the deltas' memory is free again");
    assert_eq!(publisher.merge(&mut |_| ()).unwrap(), None, "nothing to merge");

    let more = csv("gateway,sender,block,x.example\n", &at);
    let (number, _) = publisher.build(&at.sources(vec![more]), &mut |_| ()).unwrap();
    check(&snapshot(&at.adopt(number).unwrap()), "built again from the sources");
    let view = publisher.view().unwrap();
    assert!(view.entries().any(|entry| entry == block));
    let mut recipients: Vec<String> = view.recipients().map(|(address, _)| address).collect();
    recipients.sort_unstable();
    let expected = ["a2@", "alias@", "new@", "sales@", "user@"]
        .map(|local_part| format!("{local_part}example.com"));
    assert_eq!(recipients, expected);
    assert_eq!(publisher.collect(1).unwrap(), 2);
    assert_eq!(publisher.numbers().unwrap(), [number]);
}

#[test]
fn an_old_snapshot_is_in_the_way_by_its_generation_or_by_its_deltas_and_a_new_one_never_is() {
    let at = Appliance::new();
    let publisher = at.publisher();
    let current = Current::new(at.build(vec![csv("gateway,sender,block,x.example\n", &at)]));
    let add = |name: &str| {
        let change = Change::RecipientAdd { address: format!("{name}@example.com").into() };
        publisher.add_delta(&[change]).unwrap();
        current.adopt_deltas(&at.dir(1)).unwrap();
    };
    let bare = current.load();
    add("first");
    let one = current.load();
    add("second");
    // The layers of `one` were merged with the second change: it alone keeps its own alive.
    let now = current.load();
    let blocked = |snapshot: &Snapshot, bases_max, bytes_max| {
        current.is_blocked_within(snapshot, bases_max, bytes_max)
    };
    assert!(blocked(&one, usize::MAX, 0), "its deltas are not in force any more");
    assert!(!blocked(&one, 0, usize::MAX), "its generation is");
    assert!(!blocked(&one, 0, current.counts().delta_bytes), "all deltas fit");
    assert!(!blocked(&now, 0, 0) && !blocked(&bare, 0, 0), "these keep nothing alive");
    assert!(!current.is_blocked_by(&one), "far from the real bounds");

    // As the engine does with its first one: it must not count twice when it is an old one.
    current.swap(Arc::clone(now.generation()), &at.dir(1)).unwrap();
    assert_eq!(publisher.merge(&mut |_| ()).unwrap(), Some(2));
    current.swap(at.adopt(2).unwrap(), &at.dir(2)).unwrap();
    assert_eq!(current.old_bases_mapped(), 1);
    assert!(blocked(&bare, 0, usize::MAX), "an old generation, and none may be mapped");
    assert!(!blocked(&bare, 1, usize::MAX), "one may");
    assert!(blocked(&now, 1, 0), "what was in force is old now, its deltas, too");
    let bytes = current.counts().delta_bytes;
    drop((one, now));
    assert!(bytes > 0 && current.counts().delta_bytes == 0, "let go, their memory is free");
}

#[test]
fn o16_a_change_that_makes_no_sense_is_refused_and_none_of_its_fellows_is_added() {
    let at = Appliance::new();
    drop(at.build(vec![csv("domain:example.net,sender,allow,x.example\n", &at)]));
    let publisher = at.publisher();
    let add = |address: &str| Change::RecipientAdd { address: address.into() };
    let alias = |address: &str, target: &str| Change::AliasAdd {
        address: address.into(),
        target: target.into(),
    };
    let table = [
        (add("user@example.com"), "is a mailbox already"),
        (add("alias@example.com"), "is an alias of user@example.com already"),
        (add("user@nowhere.example"), "is not a domain of ours"),
        (add("x@example.org"), "example.org is an alias of example.com"),
        (alias("user@example.com", "info@example.com"), "is a mailbox already"),
        (alias("self@example.com", "self@example.com"), "leads back to itself"),
        (Change::RecipientRemove { address: "ghost@example.com".into() }, "no such recipient"),
        (Change::EntryRemove { entry: entry("gateway,sender,allow,x.example") }, "no such entry"),
        (
            Change::EntryAdd { entry: entry("domain:example.net,sender,allow,x.example") },
            "there already",
        ),
        (
            Change::EntryAdd { entry: entry("domain:example.net,sender,block,x.example") },
            "opposite list",
        ),
        (
            Change::EntryAdd { entry: entry("domain:nowhere.example,sender,block,x.example") },
            "not a domain of ours",
        ),
    ];
    for (change, why) in table {
        let error =
            publisher.add_delta(&[add("fellow@example.com"), change]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(
        resolved(publisher.view().unwrap().snapshot(), "fellow@example.com"),
        "fellow@example.com unlisted"
    );
    assert!(!at.dir(1).join("delta/00000001").exists());
}

#[test]
fn c23_24_25_31_the_lists_of_a_mailbox_user_keep_to_the_settings_of_his_domain() {
    const NTT: &str = "[[domain]]\nname = \"example.jp\"\nprofile = \"ntt-mail-security\"\n";
    let at = Appliance::new();
    let ntt = at.source("ntt.toml", NTT, SourceKind::Domains);
    let full: String =
        (0..49).map(|n| format!("account:u@example.jp,sender,allow,a{n}@x.example\n")).collect();
    drop(at.build(vec![ntt, csv(&full, &at)]));
    let publisher = at.publisher();
    let add = |line: &str| {
        let why = publisher.add_delta(&[Change::EntryAdd { entry: entry(line) }]);
        why.map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    };
    for (line, want) in [
        ("account:u@example.jp,sender,block,b@x.example", "lists.user_lists"),
        ("account:u@example.jp,recipient,allow,b@x.example", "lists.recipient"),
        ("account:u@example.jp,sender,allow,x.example", "lists.forms"),
        ("account:u@example.jp,sender,allow,192.0.2.0/24", "lists.forms"),
        ("account:u@example.net,sender,allow,*@*.x.example", "lists.forms"),
        ("account:u@example.jp,sender,allow,*@*.x.example", "taken"),
        ("account:u@example.jp,sender,allow,*@y.example", "holds 50 entries, lists.max"),
        ("account:v@example.jp,sender,allow,*@y.example", "taken"),
        ("domain:example.jp,sender,block,192.0.2.0/24", "taken"),
        ("account:u@example.com,sender,block,b@x.example", "taken"),
    ] {
        let said = add(line);
        assert!(said.contains(want), "{line}: {said}, expected {want}");
    }
    // What is removed, from the table or from the changes, makes room again.
    for line in [
        "account:u@example.jp,sender,allow,a7@x.example",
        "account:u@example.jp,sender,allow,*@*.x.example",
    ] {
        publisher.add_delta(&[Change::EntryRemove { entry: entry(line) }]).unwrap();
        assert_eq!(add("account:u@example.jp,sender,allow,new@x.example"), "taken", "{line}");
        publisher
            .add_delta(&[Change::EntryRemove {
                entry: entry("account:u@example.jp,sender,allow,new@x.example"),
            }])
            .unwrap();
    }
}

#[test]
fn tm_37_tm_39_a_user_has_500_entries_in_each_list_and_every_bad_one_is_refused_by_itself() {
    const TMEMS: &str = "[[domain]]\nname = \"example.jp\"\nprofile = \"tmems\"\n";
    let at = Appliance::new();
    let tmems = at.source("tmems.toml", TMEMS, SourceKind::Domains);
    let full: String = ["allow", "block"]
        .iter()
        .flat_map(|list| (0..499).map(move |n| (list, n)))
        .map(|(list, n)| format!("account:u@example.jp,sender,{list},a{n}@x.example\n"))
        .collect();
    drop(at.build(vec![tmems, csv(&full, &at)]));
    let publisher = at.publisher();
    let add = |line: &str| {
        let why = publisher.add_delta(&[Change::EntryAdd { entry: entry(line) }]);
        why.map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    };
    for list in ["allow", "block"] {
        assert_eq!(add(&format!("account:u@example.jp,sender,{list},*@y.example")), "taken");
        let said = add(&format!("account:u@example.jp,sender,{list},*@z.example"));
        assert!(said.contains("holds 500 entries, lists.max of this domain is 500"), "{said}");
    }
    assert_eq!(add("account:v@example.jp,sender,allow,*@*.z.example"), "taken", "another's list");
    for bad in ["*@*", "*@*.", "name@*", "na*me@x.example", "*@x.*.example", "*@exa*.example"] {
        assert!(item::pattern(bad).is_err(), "{bad}");
    }
    for everybody in ["*@*.com", "*@com", "*@*.co.jp", "*@*.np"] {
        let said = add(&format!("account:v@example.jp,sender,allow,{everybody}"));
        assert!(said.contains("everybody below"), "{everybody}: {said}");
        let blocked = add(&format!("domain:example.jp,sender,block,{everybody}"));
        assert_eq!(blocked, "taken", "{everybody}: an administrator may mean it");
    }
    assert_eq!(add("account:v@example.jp,sender,allow,*@github.io"), "taken");
}

#[test]
fn single_changes_are_read_for_a_backup_and_brought_back_into_an_empty_box() {
    let at = Appliance::new();
    let publisher = at.publisher();
    assert_eq!(publisher.changes().unwrap(), None, "nothing was ever built");
    drop(at.build(vec![]));
    let block = Change::EntryAdd { entry: entry("gateway,sender,block,x.example") };
    publisher.add_delta(&[block]).unwrap();
    publisher.merge(&mut |_| ()).unwrap();
    publisher.add_delta(&[Change::RecipientAdd { address: "new@example.com".into() }]).unwrap();
    let saved = publisher.changes().unwrap().unwrap();
    assert_eq!(saved.len(), 2, "the carried one and the one in a delta: {saved:?}");

    let other = Appliance::new();
    other.publisher().restore_changes(&saved).unwrap();
    let back = snapshot(&other.build(vec![]));
    assert_eq!(resolved(&back, "new@example.com"), "new@example.com listed");
    assert_eq!(entries(&back, "user@example.com", "u@x.example", 0), ["Gateway Block x.example"]);
    assert_eq!(
        other.publisher().changes().unwrap().unwrap(),
        saved,
        "the next backup has them too"
    );

    // In a box that has changes of its own the restored ones stand in their place, once.
    let own = Change::EntryAdd { entry: entry("gateway,sender,block,own.example") };
    other.publisher().add_delta(std::slice::from_ref(&own)).unwrap();
    other.publisher().restore_changes(&saved).unwrap();
    drop(other.build(vec![]));
    assert_eq!(other.publisher().changes().unwrap().unwrap(), saved);
    other.publisher().add_delta(&[own]).unwrap();
    drop(other.build(vec![]));
    assert_eq!(other.publisher().changes().unwrap().unwrap().len(), 3);
}

#[test]
fn a_damaged_delta_is_refused_and_what_was_in_force_stays() {
    let at = Appliance::new();
    let current = Current::new(at.build(vec![]));
    let add = Change::RecipientAdd { address: "new@example.com".into() };
    at.publisher().add_delta(&[add]).unwrap();
    let path = delta::path(&at.dir(1), 1);
    let original = fs::read(&path).unwrap();
    for cut in [0, 50, 4096, original.len() - 1] {
        fs::write(&path, &original[..cut]).unwrap();
        let error = current.adopt_deltas(&at.dir(1)).unwrap_err().to_string();
        assert!(error.contains("delta/00000001: "), "{error}");
        assert_eq!(current.load().delta_number(), 0);
    }
    // A loop that got past the publisher is refused by the engine as well.
    let turn = |from: &str, to: &str| Change::AliasAdd { address: from.into(), target: to.into() };
    fs::remove_file(&path).unwrap();
    delta::write(
        &path,
        &[turn("p@example.com", "q@example.com"), turn("q@example.com", "p@example.com")],
    )
    .unwrap();
    let error = current.adopt_deltas(&at.dir(1)).unwrap_err().to_string();
    assert!(error.contains("leads back to itself"), "{error}");
    fs::write(&path, &original).unwrap();
    assert_eq!(current.adopt_deltas(&at.dir(1)).unwrap(), 1);
    assert_eq!(resolved(&current.load(), "new@example.com"), "new@example.com listed");
}

/// Must be shown 5: swap under load with no transaction seeing two generations.
#[test]
fn no_transaction_sees_two_generations_while_they_are_swapped_under_load() {
    let at = Appliance::new();
    let mut generations = Vec::new();
    for round in 0..2 {
        let lines: String =
            (0..50).map(|n| format!("u{n}@example.com,round{round}@example.com\n")).collect();
        let file = at.source("r.csv", &lines, SourceKind::Recipients);
        generations.push(at.build(vec![file]));
    }
    let current = Current::new(Arc::clone(&generations[0]));
    let stop = AtomicBool::new(false);
    let seen = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let snapshot = current.load();
                let round = usize::try_from(snapshot.number() - 1).unwrap();
                for n in 0..50 {
                    let expected = format!("round{round}@example.com unlisted");
                    assert_eq!(resolved(&snapshot, &format!("u{n}@example.com")), expected);
                }
                seen[round].fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut turn = 0;
        // On a busy machine the reader may begin after many swaps.
        let is_seen = || seen.iter().all(|count| count.load(Ordering::Relaxed) > 0);
        while (turn < 2000 || !is_seen()) && !reader.is_finished() {
            let next = &generations[turn % 2];
            current.swap(Arc::clone(next), &at.dir(next.number())).unwrap();
            turn += 1;
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}
