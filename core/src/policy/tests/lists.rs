use super::*;
use crate::clock::UnixMillis;
use crate::policy::lists::choose;

fn entry(owner: Owner, polarity: Polarity, pattern: PatternKind) -> ListEntry {
    ListEntry {
        owner,
        polarity,
        pattern,
        match_on: MatchOn::Both,
        active_from: UnixMillis(0),
        text: "x".into(),
    }
}

fn outcome(entries: &[ListEntry], precedence: Precedence) -> &'static str {
    let settings = ListSettings { precedence, ..ListSettings::default() };
    named(&choose(entries, &[], &settings, UnixMillis(1)))
}

fn named(decision: &ListDecision) -> &'static str {
    match decision {
        ListDecision::None => "none",
        ListDecision::Bypass => "bypass",
        ListDecision::Allow(_) => "allow",
        ListDecision::Block(_) => "block",
    }
}

#[test]
fn precedence_table_of_section_5() {
    use PatternKind::{Address, Domain, DomainWildcard, SubdomainWildcard};
    use Polarity::{Allow, Block};
    use Precedence::{AllowFirst, BlockFirst, SpecificFirst};
    let cases = [
        // ITS-46: the more specific wins, both ways round.
        (SpecificFirst, (Owner::Account, Block, Domain), (Owner::Account, Allow, Address), "allow"),
        (SpecificFirst, (Owner::Account, Allow, Domain), (Owner::Account, Block, Address), "block"),
        // More specific beats nearer; nearer beats block; then block.
        (SpecificFirst, (Owner::Account, Block, Domain), (Owner::Gateway, Allow, Address), "allow"),
        (SpecificFirst, (Owner::Account, Allow, Domain), (Owner::Domain, Block, Domain), "allow"),
        (SpecificFirst, (Owner::Account, Allow, Domain), (Owner::Account, Block, Domain), "block"),
        (
            SpecificFirst,
            (Owner::Account, Allow, DomainWildcard),
            (Owner::Gateway, Block, Domain),
            "block",
        ),
        (
            SpecificFirst,
            (Owner::Account, Allow, SubdomainWildcard),
            (Owner::Gateway, Block, DomainWildcard),
            "block",
        ),
        // TM-40: approved john@example.com + blocked *@example.com = blocked.
        (
            BlockFirst,
            (Owner::Account, Allow, Address),
            (Owner::Account, Block, DomainWildcard),
            "block",
        ),
        (
            BlockFirst,
            (Owner::Account, Allow, Address),
            (Owner::Gateway, Block, DomainWildcard),
            "block",
        ),
        // SM-55, SM-56 (O5): white over black.
        (
            AllowFirst,
            (Owner::Gateway, Allow, SubdomainWildcard),
            (Owner::Account, Block, Address),
            "allow",
        ),
    ];
    for (precedence, first, second, expected) in cases {
        let entries = [first, second].map(|(o, p, k)| entry(o, p, k));
        assert_eq!(outcome(&entries, precedence), expected, "{precedence:?} {entries:?}");
        let turned = [entries[1].clone(), entries[0].clone()];
        assert_eq!(outcome(&turned, precedence), expected, "turned {precedence:?} {entries:?}");
    }
}

#[test]
fn tm_40_user_blocked_is_named_before_admin_blocked() {
    let mut user = entry(Owner::Account, Polarity::Block, PatternKind::DomainWildcard);
    user.text = "user's".into();
    let admin = entry(Owner::Domain, Polarity::Block, PatternKind::Address);
    let settings = ListSettings { precedence: Precedence::BlockFirst, ..ListSettings::default() };
    let ListDecision::Block(applied) = choose(&[admin, user], &[], &settings, UnixMillis(1)) else {
        panic!("blocked");
    };
    assert_eq!((applied.owner, applied.text.as_ref()), (Owner::Account, "user's"));
}

#[test]
fn its_47_an_entry_works_from_ten_minutes_after_registration() {
    let settings = preset(Profile::ItscomSpamScan);
    let registered = 1_000_000_000_000_u64;
    let active = registered + u64::from(settings.lists.delay_seconds) * 1000;
    let mut block = entry(Owner::Account, Polarity::Block, PatternKind::Address);
    block.active_from = UnixMillis(active);
    let at = |seconds: u64| {
        let now = UnixMillis(registered + seconds * 1000);
        named(&choose(std::slice::from_ref(&block), &[], &settings.lists, now))
    };
    assert_eq!(at(9 * 60 + 59), "none", "9 min 59 s");
    assert_eq!(at(10 * 60), "block", "10 min");
}

#[test]
fn c26_an_entry_is_compared_with_the_address_it_is_for() {
    let mut allow = entry(Owner::Account, Polarity::Allow, PatternKind::Address);
    let settings = ListSettings::default();
    let mut check = |match_on, in_envelope, in_header| {
        allow.match_on = match_on;
        let one = [allow.clone()];
        let seen = |there: bool| if there { one.as_slice() } else { &[] };
        named(&choose(seen(in_envelope), seen(in_header), &settings, UnixMillis(1)))
    };
    assert_eq!(check(MatchOn::Envelope, true, false), "allow");
    assert_eq!(check(MatchOn::Envelope, false, true), "none");
    assert_eq!(check(MatchOn::Header, true, false), "none");
    assert_eq!(check(MatchOn::Header, false, true), "allow");
    assert_eq!(check(MatchOn::Both, true, false), "allow");
    assert_eq!(check(MatchOn::Both, false, true), "allow");
}

#[test]
fn sm_56_a_block_entry_of_securemail_is_for_the_envelope_sender() {
    let settings = preset(Profile::Securemail).lists;
    let mut block = entry(Owner::Domain, Polarity::Block, PatternKind::Domain);
    block.match_on = MatchOn::Setting;
    let one = [block];
    assert_eq!(named(&choose(&[], &one, &settings, UnixMillis(1))), "none");
    assert_eq!(named(&choose(&one, &[], &settings, UnixMillis(1))), "block");
}

#[test]
fn an_allow_entry_holds_for_several_authors_only_if_each_is_allowed() {
    use crate::policy::lists::of_authors;
    let settings = ListSettings::default();
    let entry = |polarity| ListEntry {
        owner: Owner::Account,
        polarity,
        pattern: PatternKind::Address,
        match_on: MatchOn::Both,
        active_from: UnixMillis(0),
        text: "x".into(),
    };
    let now = UnixMillis(1);
    let of = |authors: Vec<Vec<ListEntry>>| {
        choose(&[], &of_authors(authors.into_iter(), &settings, now), &settings, now)
    };
    let (allow, block) = (entry(Polarity::Allow), entry(Polarity::Block));
    assert!(matches!(of(vec![vec![allow.clone()]]), ListDecision::Allow(_)));
    assert!(matches!(of(vec![vec![allow.clone()], vec![allow.clone()]]), ListDecision::Allow(_)));
    assert_eq!(
        of(vec![vec![allow.clone()], vec![]]),
        ListDecision::None,
        "one stranger beside him"
    );
    assert!(matches!(of(vec![vec![allow], vec![block]]), ListDecision::Block(_)));
}
