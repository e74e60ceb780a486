//! The room as a whole: sources in, answers out; broken files; deltas; swaps.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::file::{Kind, Mismatch};
use super::sources::item;
use super::*;
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;

const DOMAINS: &str = r#"
[[domain]]
name = "example.com"
profile = "securemail"
aliases = ["example.org"]
recipients = ["user", "info"]
refused_recipients = ["old"]
bypass_recipients = ["postmaster"]
[[domain.route]]
host = "second.example.com"
preference = 20
[[domain.route]]
host = "first.example.com"
preference = 10
[[domain.alias]]
alias = "alias"
mailbox = "user"
[[domain.alias]]
alias = "sales"
mailbox = "alias"

[[domain]]
name = "example.net"
profile = "itscom-spam-scan"
"#;

struct Box_ {
    root: tempfile::TempDir,
}

impl Box_ {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn source(&self, name: &str, content: &str, kind: SourceKind) -> Source {
        fs::write(self.path(name), content).unwrap();
        Source { path: self.path(name), kind }
    }

    fn sources(&self, more: Vec<Source>) -> Sources {
        let mut files = vec![self.source("domains.toml", DOMAINS, SourceKind::Domains)];
        files.extend(more);
        Sources { config_text: "# settings\n".to_owned(), files, ..Sources::default() }
    }

    fn publisher(&self) -> publish::Publisher {
        publish::Publisher::open(&self.path("generations")).unwrap()
    }

    fn dir(&self, number: u64) -> PathBuf {
        self.path("generations").join(number.to_string())
    }

    fn adopt(&self, number: u64) -> Result<Arc<Generation>, AdoptError> {
        Generation::adopt(&self.dir(number), &self.path("engine"), None)
    }

    fn build(&self, more: Vec<Source>) -> Arc<Generation> {
        let (number, _) = self.publisher().build(&self.sources(more), &mut |_| ()).unwrap();
        self.adopt(number).unwrap()
    }

    fn errors(&self, more: Vec<Source>) -> Vec<String> {
        let sources = self.sources(more);
        let out = self.path("1");
        let errors = build_generation(&sources, &out, &mut |_| ()).unwrap_err();
        assert!(!out.exists(), "something was left behind");
        let prefix = format!("{}/", self.root.path().display());
        errors.iter().map(|error| error.to_string().replace(&prefix, "")).collect()
    }
}

fn mailbox(text: &str) -> Mailbox {
    let (local_part, domain) = text.rsplit_once('@').unwrap();
    Mailbox::new(local_part, domain)
}

/// `user@domain listed`, or `-`.
fn resolved(snapshot: &Snapshot, text: &str) -> String {
    match snapshot.resolve(&mailbox(text)) {
        Resolution::UnknownDomain => "-".to_owned(),
        Resolution::Known { mailbox, listed, domain, .. } => {
            assert_eq!(&*domain.name, &*mailbox.domain);
            format!("{} {}", mailbox.to_path(), if listed { "listed" } else { "unlisted" })
        }
    }
}

fn snapshot(generation: &Arc<Generation>) -> Arc<Snapshot> {
    Current::new(Arc::clone(generation)).load()
}

fn entries(snapshot: &Snapshot, recipient: &str, sender: &str, now: u64) -> Vec<String> {
    let (recipient, sender) = (mailbox(recipient), mailbox(sender));
    let found = snapshot.sender_entries(&recipient, &sender, UnixMillis(now));
    found
        .iter()
        .map(|entry| format!("{:?} {:?} {}", entry.owner, entry.polarity, entry.pattern))
        .collect()
}

fn csv(content: &str, at: &Box_) -> Source {
    at.source("senders.csv", content, SourceKind::Entries)
}

fn entry(line: &str) -> Entry {
    super::sources::csv::entry(line).unwrap()
}

#[test]
fn sm_20_21_22_a_domain_alias_is_followed_first_then_the_chain_of_mailbox_aliases() {
    let at = Box_::new();
    let snapshot = snapshot(&at.build(vec![]));
    let table = [
        ("user@example.com", "user@example.com listed"),
        ("USER@example.com", "USER@example.com listed"),
        ("user@example.org", "user@example.com listed"),
        ("alias@example.com", "user@example.com listed"),
        ("sales@example.com", "user@example.com listed"),
        ("sales@example.org", "user@example.com listed"),
        ("nobody@example.com", "nobody@example.com unlisted"),
        ("user@example.net", "user@example.net unlisted"),
        ("user@elsewhere.example", "-"),
    ];
    for (asked, expected) in table {
        assert_eq!(resolved(&snapshot, asked), expected, "{asked}");
    }
}

#[test]
fn a_domain_brings_its_settings_and_its_routes_by_preference() {
    let at = Box_::new();
    let generation = at.build(vec![]);
    assert_eq!(generation.number(), 1);
    assert_eq!(generation.config_text(), "# settings\n");
    let domain = generation.domain("example.org").unwrap();
    assert_eq!(&*domain.name, "example.com");
    let hosts: Vec<&str> = domain.routes.iter().map(|route| &*route.host).collect();
    assert_eq!(hosts, ["first.example.com", "second.example.com"]);
    assert_eq!(domain.settings.profile, crate::policy::Profile::Securemail);
    assert!(generation.domain("example.net").unwrap().routes.is_empty(), "SM-05: 451");
    assert!(generation.domain("elsewhere.example").is_none());
}

#[test]
fn sm_57_58_recipient_entries_block_and_bypass() {
    let at = Box_::new();
    let snapshot = snapshot(&at.build(vec![]));
    let now = UnixMillis(1);
    assert!(snapshot.recipient_block(&mailbox("Old@example.com"), now).is_some());
    assert!(snapshot.recipient_block(&mailbox("user@example.com"), now).is_none());
    assert!(snapshot.recipient_allow(&mailbox("postmaster@example.com"), now).is_some());
    assert!(snapshot.recipient_allow(&mailbox("old@example.com"), now).is_none());
}

#[test]
fn c25_every_form_of_pattern_matches_what_the_unified_model_says() {
    let at = Box_::new();
    let snapshot = snapshot(&at.build(vec![csv(
        "owner,side,polarity,pattern,match_on,active_from\n\
         account:user@example.com,sender,allow,friend@d.example\n\
         domain:example.com,sender,block,d.example,envelope\n\
         gateway,sender,block,*@d.example\n\
         gateway,sender,block,*@*.d.example\n\
         gateway,sender,block,10.0.0.0/8\n\
         gateway,sender,allow,10.1.2.3\n\
         gateway,sender,block,2001:db8::/32\n\
         domain:example.com,sender,block,later.example,both,1970-01-01T00:00:01Z\n",
        &at,
    )]));
    let to = "user@example.com";
    let all =
        ["Account Allow friend@d.example", "Domain Block d.example", "Gateway Block *@d.example"];
    assert_eq!(entries(&snapshot, to, "Friend@d.example", 0), all);
    assert_eq!(entries(&snapshot, "info@example.com", "friend@d.example", 0), all[1..]);
    assert_eq!(entries(&snapshot, "a@example.net", "friend@d.example", 0), all[2..]);
    assert_eq!(entries(&snapshot, to, "x@a.b.d.example", 0), ["Gateway Block *@*.d.example"]);
    assert_eq!(entries(&snapshot, to, "x@ad.example", 0), [""; 0]);
    // C28: an entry works from its time on.
    assert_eq!(entries(&snapshot, to, "x@later.example", 999), [""; 0]);
    assert_eq!(entries(&snapshot, to, "x@later.example", 1000), ["Domain Block later.example"]);
    let client = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let found = snapshot.client_entries(&mailbox(to), address, UnixMillis(0));
        found.iter().map(|entry| entry.pattern.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(client("10.1.2.3"), ["10.1.2.3", "10.0.0.0/8"]);
    assert_eq!(client("::ffff:10.9.9.9"), ["10.0.0.0/8"]);
    assert_eq!(client("2001:db8::1"), ["2001:db8::/32"]);
    assert_eq!(client("192.0.2.1"), [""; 0]);
}

#[test]
fn networks_know_the_most_specific_prefix_of_each_list() {
    let at = Box_::new();
    let zone = at.source(
        "bad.zone",
        "$DATASET ip4trie bad\n$1 see https://bl.example/\n:127.0.0.3:$1$\n10.0.0.0/8\n!10.1.0.0/16\n\
         10.1.2.3 :4:one\n192.0.2.5-7\n198.51.100 # whole\n2001:db8::/32 :127.0.0.9:six\n\
         2.0.0.127 3600 A 127.0.0.2\n",
        SourceKind::Networks {
            list: "bad".into(),
            class: NetworkClass::Positive,
            format: sources::ListFormat::Rbldnsd,
        },
    );
    let plain = at.source(
        "ours.txt",
        "# our own\n10.1.0.0/16\n2001:db8::1\n",
        SourceKind::Networks {
            list: "ours".into(),
            class: NetworkClass::Allow,
            format: sources::ListFormat::Plain,
        },
    );
    let generation = at.build(vec![zone, plain]);
    let table = [
        ("9.255.255.255", ""),
        ("10.0.0.0", "bad 127.0.0.3 see https://bl.example/10.0.0.0"),
        ("10.1.0.1", "ours 127.0.0.2 "),
        ("10.1.2.3", "bad 127.0.0.4 one,ours 127.0.0.2 "),
        ("10.255.255.255", "bad 127.0.0.3 see https://bl.example/10.255.255.255"),
        ("11.0.0.0", ""),
        ("192.0.2.4", ""),
        ("192.0.2.5", "bad 127.0.0.3 see https://bl.example/192.0.2.5"),
        ("192.0.2.7", "bad 127.0.0.3 see https://bl.example/192.0.2.7"),
        ("192.0.2.8", ""),
        ("198.51.100.255", "bad 127.0.0.3 see https://bl.example/198.51.100.255"),
        ("127.0.0.2", "bad 127.0.0.2 "),
        ("2001:db8::1", "bad 127.0.0.9 six,ours 127.0.0.2 "),
        ("2001:db8::2", "bad 127.0.0.9 six"),
        ("2001:db9::", ""),
    ];
    for (address, expected) in table {
        let found = generation.network(address.parse().unwrap());
        let found: Vec<_> =
            found.iter().map(|hit| format!("{} {} {}", hit.list, hit.code, hit.text)).collect();
        assert_eq!(found.join(","), expected, "{address}");
    }
}

#[test]
fn hosts_and_hashes_are_found_by_what_their_sources_say() {
    let at = Box_::new();
    let bad = HostFlags { bad: true, ..HostFlags::default() };
    let free = HostFlags { free_mail: true, ..HostFlags::default() };
    let hosts = |list: &str, flags, format| SourceKind::Hosts { list: list.into(), flags, format };
    let md5 = "44d88612fea8a8f36de82e1278abb02f";
    let generation = at.build(vec![
        at.source(
            "bad.zone",
            ".evil.example\n!fine.evil.example\n*.below.example\nexact.example :2:text\n",
            hosts("bad", bad, sources::ListFormat::Rbldnsd),
        ),
        at.source("free.txt", "mail.example\n", hosts("free", free, sources::ListFormat::Plain)),
        at.source("a.hdb", &format!("{md5}:68:Eicar-Test\n"), SourceKind::Hashes),
        at.source("a.msb", &format!("*:{}:Any-Size\n", "ab".repeat(32)), SourceKind::Hashes),
    ]);
    let table = [
        ("evil.example", bad),
        ("a.evil.example", bad),
        ("fine.evil.example", HostFlags::default()),
        ("below.example", HostFlags::default()),
        ("a.below.example", bad),
        ("exact.example", bad),
        ("a.exact.example", HostFlags::default()),
        ("mail.example", free),
        ("a.mail.example", HostFlags::default()),
    ];
    for (host, expected) in table {
        assert_eq!(generation.url_host(host), expected, "{host}");
    }
    let octets: [u8; 16] =
        std::array::from_fn(|at| u8::from_str_radix(&md5[at * 2..at * 2 + 2], 16).unwrap());
    assert_eq!(generation.hash(&Digest::Md5(octets), 68), Some("Eicar-Test"));
    assert_eq!(generation.hash(&Digest::Md5(octets), 69), None, "another size");
    assert_eq!(generation.hash(&Digest::SectionMd5(octets), 68), None, "another kind");
    assert_eq!(generation.hash(&Digest::SectionSha256([0xab; 32]), 7), Some("Any-Size"));
}

#[test]
fn every_mistake_of_every_source_is_reported_with_its_place_and_nothing_is_built() {
    let at = Box_::new();
    let errors = at.errors(vec![
        at.source("r.txt", "ok@example.com\nnot an address\n  x@nowhere.example\nok@example.com\nu@example.org\n", SourceKind::Recipients),
        csv("gateway,sender,allow,a@b.example\nwho,sender,allow,a@b.example\ngateway,sender,perhaps,x\ngateway,sender,allow,a*b\ngateway,sender,allow,10.0.0.1/8\ngateway,sender,allow,A@B.example\n", &at),
        at.source("n.zone", "10.0.0.0/33\n$WHAT 1\n1.2.3.9-4\n", SourceKind::Networks { list: "n".into(), class: NetworkClass::Deny, format: sources::ListFormat::Rbldnsd }),
        at.source("h.hsb", "zz:1:Name\n", SourceKind::Hashes),
        at.source("bom.txt", "\u{feff}a@example.com\n", SourceKind::Recipients),
        Source { path: at.path("missing.txt"), kind: SourceKind::Recipients },
    ]);
    let expected = [
        "r.txt:2:1: `not an address` has no @",
        "r.txt:3:1: x@nowhere.example: nowhere.example is not a domain of ours",
        "r.txt:4:1: ok@example.com is there already: r.txt:1",
        "r.txt:5:1: u@example.org: example.org is an alias of example.com, use that domain",
        "senders.csv:2:1: owner `who` is none of gateway, tenant:NAME, domain:NAME, account:ADDRESS",
        "senders.csv:3:16: `perhaps` is neither allow nor block",
        "senders.csv:4:22: `a*b`: a `*` is only understood in `*@domain` and `*@*.domain`",
        "senders.csv:5:22: `10.0.0.1/8` has host bits set, the prefix is 10.0.0.0/8",
        "senders.csv:6:1: this entry of this owner is there already: senders.csv:1",
        "n.zone:1:1: `10.0.0.0/33` is not an IPv4 address, prefix or range",
        "n.zone:2:1: directive `$WHAT` is not known",
        "n.zone:3:1: `1.2.3.9-4`: the range ends before it begins",
        "h.hsb:1:1: `zz` is not an MD5, SHA-1 or SHA-256 in hexadecimal",
        "bom.txt:1:1: begins with a byte order mark; save it as plain UTF-8",
        "missing.txt:0:0: No such file or directory (os error 2)",
    ];
    for line in expected {
        assert!(errors.iter().any(|error| error == line), "missing: {line}\nin {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn sm_20_alias_loops_long_chains_and_aliases_of_mailboxes_are_build_errors() {
    let at = Box_::new();
    let mut lines = "a@example.com,b@example.com\nb@example.com,a@example.com\n".to_owned();
    lines += "user@example.com,info@example.com\nme@example.com,me@example.com\n";
    for hop in 0..=crate::limits::ALIAS_CHAIN_MAX {
        lines += &format!("h{hop}@example.com,h{}@example.com\n", hop + 1);
    }
    let errors = at.errors(vec![at.source("r.csv", &lines, SourceKind::Recipients)]);
    let found = |part: &str| errors.iter().any(|error| error.contains(part));
    assert!(found("r.csv:1:1: alias a@example.com leads back"), "{errors:#?}");
    assert!(found("r.csv:2:1: alias b@example.com leads back"));
    assert!(found("r.csv:3:1: user@example.com is there already: domains.toml"));
    assert!(found("r.csv:4:1: me@example.com is an alias of itself"));
    assert!(found("alias h0@example.com leads back"));
    assert!(!found("alias h1@example.com leads back"), "16 hops are allowed");
}

/// Must be shown 5: a truncated or overwritten source never reaches the mapped copy.
#[test]
fn what_happens_to_a_published_file_after_adoption_never_reaches_the_mapped_copy() {
    let at = Box_::new();
    let generation = at.build(vec![]);
    let snapshot = snapshot(&generation);
    for name in ["recipients.table", "senders.table", "policies.table"] {
        let path = at.dir(1).join(name);
        let length = fs::metadata(&path).unwrap().len();
        let overwritten = vec![0xff; usize::try_from(length).unwrap()];
        fs::write(&path, overwritten).unwrap();
        assert_eq!(resolved(&snapshot, "sales@example.org"), "user@example.com listed");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert_eq!(resolved(&snapshot, "sales@example.org"), "user@example.com listed");
    }
    // The engine's copy is good: adopting again asks nothing of the broken files.
    assert!(at.adopt(1).is_ok());
    let elsewhere = Generation::adopt(&at.dir(1), &at.path("other"), None).unwrap_err().to_string();
    assert!(elsewhere.contains(".table: BLAKE3 of the header: found "), "{elsewhere}");
    assert_eq!(fs::read_dir(at.path("other").join("tables")).unwrap().count(), 0, "left behind");
}

#[test]
fn a_flip_or_cut_anywhere_in_a_generation_is_refused_by_file_and_value() {
    let at = Box_::new();
    drop(at.build(vec![]));
    let original = fs::read(at.dir(1).join("recipients.table")).unwrap();
    let attempts = [0, 9, 13, 20, 28, 40, 4000, 4095, 4096, original.len() - 1];
    for (attempt, place) in attempts.into_iter().enumerate() {
        let mut broken = original.clone();
        broken[place] ^= 1;
        fs::write(at.dir(1).join("recipients.table"), &broken).unwrap();
        let engine = at.path(&format!("engine-{attempt}"));
        let error = Generation::adopt(&at.dir(1), &engine, None).unwrap_err().to_string();
        assert!(error.contains("recipients.table: ") && error.contains(", expected "), "{error}");
    }
    for length in [0, 100, 4096, original.len() - 1] {
        fs::write(at.dir(1).join("recipients.table"), &original[..length]).unwrap();
        let engine = at.path(&format!("engine-cut-{length}"));
        let error = Generation::adopt(&at.dir(1), &engine, None).unwrap_err().to_string();
        assert!(error.contains("recipients.table: "), "{error}");
    }
    fs::write(at.dir(1).join("sekisho.toml"), "# other\n").unwrap();
    let error = Generation::adopt(&at.dir(1), &at.path("e"), None).unwrap_err().to_string();
    assert!(error.contains("sekisho.toml: BLAKE3: found "), "{error}");
    fs::rename(at.dir(1), at.dir(7)).unwrap();
    let error = Generation::adopt(&at.dir(7), &at.path("e"), None).unwrap_err().to_string();
    assert!(error.ends_with("manifest.json: number: found 1, expected 7"), "{error}");
}

#[test]
fn a_copy_that_went_bad_in_the_engines_directory_is_replaced_by_a_fresh_one() {
    let at = Box_::new();
    drop(at.build(vec![]));
    for file in fs::read_dir(at.path("engine/tables")).unwrap() {
        let path = file.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(&path, content).unwrap();
    }
    let generation = at.adopt(1).unwrap();
    assert_eq!(resolved(&snapshot(&generation), "alias@example.com"), "user@example.com listed");
}

#[test]
fn an_unchanged_table_is_shared_and_sweeping_leaves_what_is_held() {
    let at = Box_::new();
    let first = at.build(vec![]);
    let files = || fs::read_dir(at.path("engine/tables")).unwrap().count();
    let before = files();
    let (number, _) = at.publisher().build(&at.sources(vec![]), &mut |_| ()).unwrap();
    let second = Generation::adopt(&at.dir(number), &at.path("engine"), Some(&first)).unwrap();
    assert_eq!(files(), before, "equal content is one file");
    let third = {
        let more = at.source("r.txt", "new@example.com\n", SourceKind::Recipients);
        let (number, _) = at.publisher().build(&at.sources(vec![more]), &mut |_| ()).unwrap();
        Generation::adopt(&at.dir(number), &at.path("engine"), Some(&second)).unwrap()
    };
    assert_eq!(files(), before + 1);
    assert_eq!(adopt::sweep(&at.path("engine"), &[&second, &third]).unwrap(), 0);
    assert_eq!(adopt::sweep(&at.path("engine"), &[&third]).unwrap(), 1);
    assert_eq!(resolved(&snapshot(&second), "user@example.com"), "user@example.com listed");
}

#[test]
fn single_changes_come_into_force_are_merged_and_survive_a_new_build() {
    let at = Box_::new();
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
fn o16_a_change_that_makes_no_sense_is_refused_and_none_of_its_fellows_is_added() {
    let at = Box_::new();
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
fn a_damaged_delta_is_refused_and_what_was_in_force_stays() {
    let at = Box_::new();
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
    let at = Box_::new();
    let mut generations = Vec::new();
    for round in 0..2 {
        let lines: String =
            (0..50).map(|n| format!("u{n}@example.com,round{round}@example.com\n")).collect();
        let file = at.source("r.csv", &lines, SourceKind::Recipients);
        generations.push(at.build(vec![file]));
    }
    let current = Current::new(Arc::clone(&generations[0]));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = [0_u64; 2];
            while !stop.load(Ordering::Relaxed) {
                let snapshot = current.load();
                let round = usize::try_from(snapshot.number() - 1).unwrap();
                for n in 0..50 {
                    let expected = format!("round{round}@example.com unlisted");
                    assert_eq!(resolved(&snapshot, &format!("u{n}@example.com")), expected);
                }
                seen[round] += 1;
            }
            seen
        });
        let mut turn = 0;
        while turn < 2000 || current.counts().generation == 0 {
            let next = &generations[turn % 2];
            current.swap(Arc::clone(next), &at.dir(next.number())).unwrap();
            turn += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen[0] + seen[1] > 0);
    });
}

#[test]
fn a_crashed_build_leaves_nothing_that_is_taken_for_a_generation() {
    let at = Box_::new();
    drop(at.build(vec![]));
    fs::create_dir_all(at.path("generations/2.tmp-1/delta")).unwrap();
    fs::create_dir_all(at.path("generations/3")).unwrap();
    fs::write(at.dir(1).join("delta/00000001.tmp-9"), "half").unwrap();
    let publisher = at.publisher();
    assert_eq!(publisher.numbers().unwrap(), [1]);
    assert_eq!(Current::new(at.adopt(1).unwrap()).adopt_deltas(&at.dir(1)).unwrap(), 0);
    assert_eq!(publisher.collect(3).unwrap(), 2);
    assert_eq!(publisher.latest().unwrap(), Some(1));
}

#[test]
fn patterns_are_compiled_opened_and_their_sources_carried() {
    let at = Box_::new();
    let rule = "body DEMO /unlikely-words-here/\nscore DEMO 1.5\n";
    let kind = SourceKind::Patterns { format: sources::RuleFormat::Spamassassin };
    let generation = at.build(vec![at.source("demo.cf", rule, kind)]);
    assert!(generation.patterns().is_some());
    assert_eq!(fs::read_to_string(at.dir(1).join("sources/0000")).unwrap(), rule);
    adopt::rebuild_patterns(&at.dir(1), &at.path("engine")).unwrap();
    let used = [&*generation];
    assert_eq!(adopt::sweep(&at.path("engine"), &used).unwrap(), 0, "the rebuilt ones stay");
    fs::write(at.dir(1).join("sources/0000"), "other").unwrap();
    let error = adopt::rebuild_patterns(&at.dir(1), &at.path("engine")).unwrap_err().to_string();
    assert!(error.contains("sources/0000: BLAKE3: found"), "{error}");
}

#[test]
fn headers_of_another_kind_or_version_are_refused_by_value() {
    let at = Box_::new();
    let path = at.path("x");
    file::write_bytes(&path, Kind::Delta, b"[]").unwrap();
    let content = fs::read(&path).unwrap();
    assert!(file::verify(&content, Kind::Delta).is_ok());
    let error = |wrong: Mismatch| wrong.of(Path::new("x")).to_string();
    let found = file::verify(&content, Kind::Senders).map(drop).map_err(error);
    assert_eq!(found, Err("x: kind of table: found 9, expected 2".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flat_table_finds_exactly_what_was_put_into_it(keys in proptest::collection::btree_map("[a-z]{0,6}", "[a-z]{0,4}", 0..300), absent in "[A-Z]{1,6}") {
        let mut builder = flat::FlatBuilder::default();
        for (key, value) in &keys {
            builder.push(key.as_bytes(), value.as_bytes(), (0, 0)).unwrap();
        }
        let (table, duplicates) = builder.finish(|_, _| true);
        prop_assert!(duplicates.is_empty());
        let octets = rkyv::to_bytes::<rkyv::rancor::Error>(&table).unwrap();
        let table = rkyv::access::<flat::ArchivedFlat, rkyv::rancor::Error>(&octets).unwrap();
        for (key, value) in &keys {
            let found: Vec<_> = table.find(key.as_bytes()).collect();
            prop_assert_eq!(found, [value.as_bytes()]);
        }
        prop_assert_eq!(table.find(absent.as_bytes()).count(), 0);
        prop_assert_eq!(table.records().count(), keys.len());
    }

    #[test]
    fn networks_agree_with_asking_every_prefix(nets in proptest::collection::vec((any::<u32>(), 0_u8..=32, 0_u32..3, any::<bool>()), 0..60), asked in proptest::collection::vec(any::<u32>(), 20)) {
        let mut builder = networks::NetworksBuilder::default();
        let names = ["a", "b", "c"];
        let lists = names.map(|name| builder.list(name, NetworkClass::Deny));
        // Few distinct addresses, so that prefixes nest.
        let nets: Vec<_> = nets.into_iter().map(|(address, length, list, excluded)| {
            let net = ipnet::Ipv4Net::new((address & 0x8181_8181).into(), length).unwrap().trunc();
            (net, list, excluded)
        }).collect();
        for (net, list, excluded) in &nets {
            let value = (!excluded).then_some((std::net::Ipv4Addr::new(127, 0, 0, 2), ""));
            builder.push(lists[*list as usize], ipnet::IpNet::V4(*net), value);
        }
        let octets = rkyv::to_bytes::<rkyv::rancor::Error>(&builder.finish()).unwrap();
        let table = rkyv::access::<networks::ArchivedNetworksTable, rkyv::rancor::Error>(&octets).unwrap();
        for address in asked.iter().flat_map(|address| [*address, address & 0x8181_8181]) {
            let address = std::net::Ipv4Addr::from_bits(address);
            let mut expected = Vec::new();
            for (number, name) in (0_u32..).zip(names) {
                // max_by_key takes the last of equals: the later line wins.
                let nearest = nets.iter().filter(|(net, list, _)| *list == number && net.contains(&address)).max_by_key(|(net, _, _)| net.prefix_len());
                if nearest.is_some_and(|(_, _, excluded)| !excluded) {
                    expected.push(name);
                }
            }
            let mut found: Vec<_> = table.find(address.into()).iter().map(|hit| hit.list).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_octets_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz::fuzz_table(&data);
        fuzz::fuzz_rbldnsd(&data);
        fuzz::fuzz_csv(&data);
    }
}

#[test]
fn items_are_made_canonical_or_refused() {
    assert_eq!(item::domain("EXAMPLE.com").unwrap(), "example.com");
    assert_eq!(item::domain("例え.テスト").unwrap(), "xn--r8jz45g.xn--zckzah");
    assert_eq!(item::address("\"A B\"@Example.com").unwrap(), "a b@example.com");
    for wrong in ["", "-a.example", "a..b", "a_b c", "exa mple", "."] {
        assert!(item::domain(wrong).is_err(), "{wrong}");
    }
    for wrong in ["a b@example.com", "@example.com", "a@", "plain", "a\u{1f}@example.com"] {
        assert!(item::address(wrong).is_err(), "{wrong}");
    }
}
