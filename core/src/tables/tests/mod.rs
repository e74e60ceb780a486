//! The room as a whole: sources in, answers out. Broken files, deltas and swaps, properties: beside.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write sources and break files; they run on no shard"
)]

mod broken;
mod bypasses;
mod changes;
mod directories;
mod models;
mod properties;
mod stretches;
mod yara;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

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

struct Appliance {
    root: tempfile::TempDir,
}

impl Appliance {
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

fn csv(content: &str, at: &Appliance) -> Source {
    at.source("senders.csv", content, SourceKind::Entries)
}

fn entry(line: &str) -> Entry {
    sources::csv::entry(line).unwrap()
}

#[test]
fn sm_20_21_22_a_domain_alias_is_followed_first_then_the_chain_of_mailbox_aliases() {
    let at = Appliance::new();
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
    let at = Appliance::new();
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
    let at = Appliance::new();
    let snapshot = snapshot(&at.build(vec![]));
    let now = UnixMillis(1);
    assert!(snapshot.recipient_block(&mailbox("Old@example.com"), now).is_some());
    assert!(snapshot.recipient_block(&mailbox("user@example.com"), now).is_none());
    assert!(snapshot.recipient_allow(&mailbox("postmaster@example.com"), now).is_some());
    assert!(snapshot.recipient_allow(&mailbox("old@example.com"), now).is_none());
}

#[test]
fn c25_every_form_of_pattern_matches_what_the_unified_model_says() {
    let at = Appliance::new();
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
    let at = Appliance::new();
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
    let at = Appliance::new();
    let bad = HostFlags { bad: true, ..HostFlags::default() };
    let free = HostFlags { free_mail: true, ..HostFlags::default() };
    let suspicious = HostFlags { suspicious: true, ..HostFlags::default() };
    let hosts = |list: &str, flags, format| SourceKind::Hosts { list: list.into(), flags, format };
    let md5 = "44d88612fea8a8f36de82e1278abb02f";
    let generation = at.build(vec![
        at.source(
            "bad.zone",
            ".evil.example\n!fine.evil.example\n*.below.example\nexact.example :2:text\n",
            hosts("bad", bad, sources::ListFormat::Rbldnsd),
        ),
        at.source("free.txt", "mail.example\n", hosts("free", free, sources::ListFormat::Plain)),
        at.source(
            "pages.txt",
            "https://shared.example/evil/page?id=1\nshared.example/~bad/\nhttp://whole.example/\n",
            hosts("pages", bad, sources::ListFormat::Plain),
        ),
        at.source(
            "feed.txt",
            "odd.example\nhttps://shared.example/odd\nexact.example\n",
            hosts("feed", suspicious, sources::ListFormat::Plain),
        ),
        at.source("a.hdb", &format!("{md5}:68:Eicar-Test\n"), SourceKind::Hashes),
        at.source("a.msb", &format!("*:{}:Any-Size\n", "ab".repeat(32)), SourceKind::Hashes),
    ]);
    let table = [
        ("evil.example", bad),
        ("a.evil.example", bad),
        ("fine.evil.example", HostFlags::default()),
        ("below.example", HostFlags::default()),
        ("a.below.example", bad),
        ("exact.example", HostFlags { bad: true, ..suspicious }),
        ("a.odd.example", suspicious),
        ("shared.example/odd", suspicious),
        ("a.exact.example", suspicious),
        ("mail.example", free),
        ("a.mail.example", HostFlags::default()),
        ("shared.example", HostFlags::default()),
        ("shared.example/evil/page?id=1", bad),
        ("shared.example/evil/page", HostFlags::default()),
        ("shared.example/~bad", bad),
        ("a.shared.example/~bad", HostFlags::default()),
        ("whole.example", bad),
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
    let at = Appliance::new();
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
        "missing.txt: No such file or directory (os error 2)",
    ];
    for line in expected {
        assert!(errors.iter().any(|error| error == line), "missing: {line}\nin {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn sm_20_alias_loops_long_chains_and_aliases_of_mailboxes_are_build_errors() {
    let at = Appliance::new();
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

/// Found by the fuzz target `csv`: what a list shows of an entry is what the entry is removed by.
#[test]
fn an_address_is_shown_as_it_may_be_written() {
    for (written, shown) in [
        ("\"x y\"@a.example", "\"x y\"@a.example"),
        ("\"A.b\"@A.example", "a.b@a.example"),
        ("\"q\\\"\\\\@\"@a.example", "\"q\\\"\\\\@\"@a.example"),
    ] {
        let pattern = item::pattern(written).unwrap();
        assert_eq!(pattern.to_string(), shown);
        assert_eq!(item::pattern(shown), Ok(pattern));
    }
}
