//! Recipients, aliases, call-outs, list entries: what RCPT is told, and single changes in force at
//! once.

use std::time::{Duration, Instant};

use sekisho_tests::gateway::{DOMAIN, Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::script::{Act, Phase, Script, ScriptHop};
use sekisho_tests::wait::wait_for;

use crate::quarantine::starter_rules;

fn rcpt(gateway: &Gateway, from: &str, to: &str) -> u16 {
    let mut client = gateway.client();
    client.command(&format!("MAIL FROM:<{from}>")).unwrap();
    let code = client.command(&format!("RCPT TO:<{to}>")).unwrap().code;
    client.quit();
    code
}

#[test]
fn aliases_are_followed_domain_first_and_unknown_recipients_are_refused() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "aliases = [\"alias.test\"]\nrecipients = [\"user\"]\n\
                 refused_recipients = [\"old\"]\n"
            .to_owned(),
        domains: "[[domain.alias]]\nalias = \"sales\"\nmailbox = \"user\"\n".to_owned(),
        settings: "recipient.verify = \"list\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let from = "a@example.com";
    assert_eq!(rcpt(&gateway, from, "user@demo.test"), 250);
    assert_eq!(rcpt(&gateway, from, "USER@DEMO.TEST"), 250);
    assert_eq!(rcpt(&gateway, from, "nobody@demo.test"), 550);
    assert_eq!(rcpt(&gateway, from, "old@demo.test"), 550, "recipient block list, SM-58");
    assert_eq!(rcpt(&gateway, from, "user@example.org"), 550, "not a domain of ours");
    let sent = gateway.send(from, &["sales@alias.test"], b"Subject: a\r\n\r\nb\r\n");
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    assert_eq!(hop.mails()[0].envelope.rcpt_to, ["user@demo.test"], "SM-20 to SM-22");
}

#[test]
fn a_call_out_asks_the_next_hop_and_an_unreachable_one_is_not_a_refusal_for_good() {
    let mut hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: "recipient.verify = \"callout\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    assert_eq!(rcpt(&gateway, "a@example.com", "user@demo.test"), 250);
    assert_eq!(rcpt(&gateway, "a@example.com", "reject-1@demo.test"), 550);
    hop.down();
    let code = rcpt(&gateway, "a@example.com", "other@demo.test");
    assert!(code == 250 || (400..500).contains(&code), "{code}");
    assert!(hop.mails().is_empty(), "a call-out leaves no mail");
}

#[test]
fn a_single_change_is_in_force_in_under_a_second() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\"]\n".to_owned(),
        settings: "recipient.verify = \"list\"\nlists.block_action = \"reject\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let change = |arguments: &[&str], probe: &dyn Fn() -> u16, want: u16| {
        let start = Instant::now();
        let output = gateway.sekisho(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        assert_eq!(probe(), want, "{arguments:?}");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{arguments:?} took {took:?}");
    };
    let new = || rcpt(&gateway, "a@example.com", "new@demo.test");
    change(&["recipient", "add", "new@demo.test"], &new, 250);
    change(&["recipient", "remove", "new@demo.test"], &new, 550);
    let bad = || rcpt(&gateway, "bad@example.com", &format!("user@{DOMAIN}"));
    assert_eq!(bad(), 250);
    change(&["list", "add", "block", "bad@example.com"], &bad, 550);
    let shown =
        gateway.sekisho_json(&["list", "show", "bad@example.com", "--recipient", "user@demo.test"]);
    assert_eq!(shown[0]["polarity"], "block", "{shown:?}");
    change(&["list", "remove", "block", "bad@example.com"], &bad, 250);
    let wrong = gateway.sekisho(&["list", "add", "block", "not a pattern"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", words(&wrong));
}

/// A hop that hung kept the replies to the whole pipelined group back for as long as its call-out waited: the
/// client could not tell us from a dead server.
#[test]
fn replies_that_are_known_do_not_wait_for_a_call_out_that_hangs() {
    let hop = ScriptHop::start(Script::default().with(Phase::Rcpt, Act::Silent));
    let gateway = Gateway::start(&Setup {
        settings: "recipient.verify = \"callout\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    let begun = Instant::now();
    let group = "MAIL FROM:<a@example.com>\r\nRCPT TO:<a@elsewhere.test>\r\n\
                 RCPT TO:<user@demo.test>\r\nRSET\r\n";
    client.raw(group.as_bytes()).unwrap();
    let codes = [client.reply().unwrap().code, client.reply().unwrap().code];
    let took = begun.elapsed();
    assert_eq!(codes, [250, 550], "MAIL, and a domain that is not ours");
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The question itself is still open.
    wait_for("the hop is asked, and says nothing", || {
        hop.lines().iter().any(|line| line.starts_with("RCPT")).then_some(())
    });
    hop.behave(Script::default());
    assert_eq!(client.reply().unwrap().code, 451, "the hop gave no answer");
    assert_eq!(client.reply().unwrap().code, 250, "and the session goes on");
    client.quit();
    let row = wait_for("SM-64: the log has who was asked to come again", || {
        gateway.sekisho_json(&["log", "search", "to=user@demo.test"]).pop()
    });
    let told = ["status", "status_class", "classification"].map(|key| row[key].clone());
    assert_eq!(told, ["temporarily rejected", "temporary", "Greylist"], "{row}");
}

/// What a mailbox gets: content as the hop has it.
fn delivered(hop: &Hop, subject: &str) -> Option<String> {
    let mails = hop.mails();
    let mut texts = mails.iter().map(|mail| String::from_utf8_lossy(&mail.content).into_owned());
    texts.find(|mail| mail.contains(subject))
}

#[test]
fn sm_63_class_actions_and_bypasses_come_before_a_refusal_at_rcpt() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\"]\n".to_owned(),
        settings: "lists.block_action = \"reject\"\nsize.limit_mb = 1\nsize.action = \"reject\"\n\
                   [[domain.settings.class_actions]]\norder = 1\nmain = \"blacklisted\"\n\
                   extra = \"marked@*\"\naction = \"accept_and_mark\"\n\
                   [[domain.settings.class_actions]]\norder = 2\nmain = \"blacklisted\"\n\
                   extra = \"again@*\"\naction = \"reject\"\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    let run = |arguments: &[&str]| {
        let output = gateway.sekisho(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    };
    for sender in ["marked@example.com", "again@example.com", "plain@example.com"] {
        run(&["list", "add", "block", sender]);
    }
    let to = "user@demo.test";
    let codes =
        ["marked", "again", "plain"].map(|who| rcpt(&gateway, &format!("{who}@example.com"), to));
    assert_eq!(codes, [250, 550, 550], "class action, class action that refuses, setting");
    let event = wait_for("IIJ-74: the event of a refusal at RCPT", || {
        gateway.sekisho_json(&["log", "search", "row=event", "from=plain@example.com"]).pop()
    });
    let told = ["filter_type", "condition", "delivery_action"].map(|key| event[key].clone());
    assert_eq!(told, ["User/Domain List", "block: plain@example.com", "Rejected"], "{event}");
    assert_eq!(event["memo"], "lists.block_action");
    let event = wait_for("IIJ-74: the event of a class action", || {
        gateway.sekisho_json(&["log", "search", "row=event", "from=again@example.com"]).pop()
    });
    assert_eq!(event["memo"], "class_actions 2", "{event}");
    let sent = gateway.send("marked@example.com", &[to], b"Subject: first\r\n\r\nb\r\n");
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let mail = delivered(&hop, "first").expect("delivered");
    assert!(mail.contains("Subject: [SPAM] first"), "{mail}");
    // Bypasses: of the setting, of the class action, of the size limit.
    let size = || {
        let mut client = gateway.client();
        client.command("MAIL FROM:<big@example.com> SIZE=1500000").unwrap();
        let code = client.command(&format!("RCPT TO:<{to}>")).unwrap().code;
        client.quit();
        code
    };
    assert_eq!(size(), 552, "SM-62");
    for rule in ["lists.block_action", "class_actions 2", "size.action"] {
        run(&["bypass", "add", "--domain", DOMAIN, "--rule", rule, "--until", "1h", "--why", "t"]);
    }
    let codes = ["again", "plain"].map(|who| rcpt(&gateway, &format!("{who}@example.com"), to));
    assert_eq!((codes, size()), ([250, 250], 250));
    let sent = gateway.send("plain@example.com", &[to], b"Subject: second\r\n\r\nb\r\n");
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    assert!(delivered(&hop, "second").is_some(), "nor is it held later");
}

#[test]
fn sm_56_an_entry_that_does_not_say_is_compared_with_what_the_domain_says() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\"]\n".to_owned(),
        settings: "lists.block_action = \"quarantine\"\nquarantine.reply = \"accept\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    // Of the whole box, so only the recipient's domain can say.
    for arguments in [
        ["list", "add", "block", "bad@example.com", "--owner", "gateway"],
        ["list", "add", "block", "both@example.com", "--match-on", "both"],
    ] {
        let output = gateway.sekisho(&arguments);
        assert!(output.status.success(), "{}", words(&output));
    }
    let send = |from: &str, author: &str, subject: &str| {
        let mail = format!("From: <{author}@example.com>\r\nSubject: {subject}\r\n\r\nb\r\n");
        let sent =
            gateway.send(&format!("{from}@example.com"), &["user@demo.test"], mail.as_bytes());
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
        delivered(&hop, subject).is_some()
    };
    assert!(send("good", "bad", "author only"), "SM-56: the envelope sender is compared");
    assert!(!send("bad", "good", "envelope"), "blocked");
    assert!(!send("good", "both", "both"), "SM-55: --match-on");
}

#[test]
fn sm_58_a_refused_recipient_leaves_no_copy() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\", \"old\"]\nrefused_recipients = [\"old\"]\n".to_owned(),
        settings: "recipient.log_invalid = true\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let mail = b"Subject: both\r\n\r\nb\r\n";
    let sent = gateway.send("a@example.com", &["old@demo.test", "user@demo.test"], mail);
    assert_eq!(sent.reply.code, 250, "the other one gets it: {}", sent.reply.text());
    assert_eq!(hop.mails().len(), 1);
    assert_eq!(hop.mails()[0].envelope.rcpt_to, ["user@demo.test"]);
    let row =
        wait_for("its row", || gateway.sekisho_json(&["log", "search", "to=old@demo.test"]).pop());
    let reply = row["reply"].as_str().unwrap_or_default();
    assert!(reply.starts_with("550 5.7.1"), "{row}");
    assert!(
        gateway.sekisho_json(&["quarantine", "list", "--all"]).is_empty(),
        "no quarantine copy"
    );
}

#[test]
fn tm_38_a_block_entry_drops_by_the_author_alone_and_the_row_says_so() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\"]\n".to_owned(),
        settings: "lists.block_action = \"drop\"\nlists.block_match_on = \"both\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let output = gateway.sekisho(&[
        "list",
        "add",
        "block",
        "bad@example.com",
        "--owner",
        "account:user@demo.test",
    ]);
    assert!(output.status.success(), "{}", words(&output));
    let mail = b"From: Bad <bad@example.com>\r\nSubject: dropped\r\n\r\nb\r\n";
    let sent = gateway.send("bounce@example.org", &["user@demo.test"], mail);
    assert_eq!(sent.reply.code, 250, "dropped silently: {}", sent.reply.text());
    assert!(hop.mails().is_empty());
    let row = wait_for("its row", || {
        gateway.sekisho_json(&["log", "search", "row=delivery", "to=user@demo.test"]).pop()
    });
    let told = ["status", "classification", "reason", "list_entry"].map(|key| row[key].clone());
    assert_eq!(told, ["dropped", "Blacklisted", "block_list", "block: bad@example.com"], "{row}");
    assert!(gateway.sekisho_json(&["quarantine", "list", "--all"]).is_empty());
}

#[test]
fn tm_40_the_users_own_entry_is_asked_before_the_administrators() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "recipients = [\"user\"]\n".to_owned(),
        settings: "lists.precedence = \"block_first\"\nlists.forms = [\"address\", \"*@domain\"]\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    // The administrator's entry is the more specific one, and comes second all the same.
    for (pattern, owner) in
        [("a@example.com", "domain:demo.test"), ("*@example.com", "account:user@demo.test")]
    {
        let output = gateway.sekisho(&["list", "add", "allow", pattern, "--owner", owner]);
        assert!(output.status.success(), "{}", words(&output));
    }
    let sent = gateway.send("a@example.com", &["user@demo.test"], b"Subject: x\r\n\r\nb\r\n");
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let row = wait_for("its row", || {
        gateway.sekisho_json(&["log", "search", "row=delivery", "to=user@demo.test"]).pop()
    });
    assert_eq!(row["list_entry"], "allow: *@example.com", "{row}");
}

#[test]
fn tm_37_an_approved_sender_skips_spam_rules_and_not_those_for_viruses_and_content() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        files: starter_rules(),
        domains: format!(
            "[[domain]]\nname = \"tm.test\"\nprofile = \"tmems\"\nrecipients = [\"user\", \"other\"]\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n\
             [[domain.settings.rules]]\nname = \"plans\"\nkind = \"content\"\naction = \"quarantine\"\n\
             when.content = [{{ words = [\"blueprint\"] }}]\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    });
    let virus = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
    let spam = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X".to_owned();
    let from = "friend@example.com";
    let added = ["list", "add", "allow", from, "--owner", "account:user@tm.test"];
    let output = gateway.sekisho(&added);
    assert!(output.status.success(), "{}", words(&output));
    for (subject, body) in
        [("spam", spam), ("virus", virus.concat()), ("content", "the blueprint".to_owned())]
    {
        let mail = format!("From: <{from}>\r\nSubject: {subject}\r\n\r\n{body}\r\n");
        let sent = gateway.send(from, &["user@tm.test", "other@tm.test"], mail.as_bytes());
        assert_eq!(sent.reply.code, 250, "{subject}: {}", sent.reply.text());
    }
    let items = gateway.sekisho_json(&["quarantine", "list", "--all"]);
    let mut held: Vec<(&str, &str, &str)> = items
        .iter()
        .map(|item| ["to", "subject", "reason"].map(|key| item[key].as_str().unwrap_or_default()))
        .map(|[to, subject, reason]| (to, subject, reason))
        .collect();
    held.sort_unstable();
    let expected = [
        ("other@tm.test", "content", "content"),
        ("other@tm.test", "spam", "spam"),
        ("other@tm.test", "virus", "malware"),
        ("user@tm.test", "content", "content"),
        ("user@tm.test", "virus", "malware"),
    ];
    assert_eq!(held, expected);
    assert!(delivered(&hop, "Subject: spam").is_some(), "to the user who approved the sender");
    assert_eq!(hop.mails().len(), 1);
}
