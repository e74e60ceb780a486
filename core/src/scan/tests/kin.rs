//! Where a mail leads its reader against who sent it, and how its author is written. TM-08, issue 4 section 2.

use super::*;

/// Built-in signs of a mail with these fields whose page has these links.
fn signs_of(fields: &str, links: &[&str]) -> Vec<String> {
    signs_from(None, fields, links)
}

/// A mail with these fields whose page has these links.
fn mail(fields: &str, links: &[&str]) -> String {
    let anchors: String =
        links.iter().map(|link| format!("<a href=\"{link}\">here</a> ")).collect();
    format!(
        "{fields}Date: Fri, 27 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.example>\r\nTo: taro@corp.example\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Good day, please look {anchors}</p>\r\n"
    )
}

fn signs_from(envelope: Option<&str>, fields: &str, links: &[&str]) -> Vec<String> {
    let raw = mail(fields, links);
    let view = View::build(raw.as_bytes(), &ViewLimits::worker());
    let (mut scratch, tables) = (patterns::Scratch::default(), no_tables());
    let seen = examine(&view, &tables, &mut scratch, envelope.map(str::as_bytes), &async || ());
    let seen = futures_lite::future::block_on(seen).unwrap();
    seen.findings.iter().map(|finding| finding.rule.to_string()).collect()
}

#[track_caller]
fn check(fields: &str, links: &[&str], there: &[&str], not: &[&str]) {
    let found = signs_of(fields, links);
    for sign in there {
        assert!(found.iter().any(|rule| rule == sign), "{sign} is not in {found:?}");
    }
    for sign in not {
        assert!(!found.iter().any(|rule| rule == sign), "{sign} is in {found:?}");
    }
}

const ELSEWHERE: &[&str] = &["LINKS_ELSEWHERE"];
const UNSIGNED: &[&str] = &["LINKS_ELSEWHERE", "LINKS_ELSEWHERE_UNSIGNED"];

#[test]
fn links_belong_to_a_mail_if_they_lead_to_who_sent_it_or_sent_it_for_him() {
    let shop = "From: Blue Shop <news@blueshop-ltd.com>\r\nSubject: New in\r\n";
    let signed = |domain: &str| {
        format!("{shop}DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=a; bh=YQ==; b=YQ==\r\n")
    };
    let own = "https://www.blueshop-ltd.com/new";
    let far = "https://www.other-house.com/x";
    let named = "From: Blue Shop <news@blueshop-ltd.com>\r\nSubject: New in\r\n";
    // His own; the name of the house under another suffix does, too.
    check(named, &[own], &[], ELSEWHERE);
    check(named, &["https://blueshop-ltd-mail.co.uk/1", far], &[], ELSEWHERE);
    check(named, &[far], UNSIGNED, &["LINKS_ALL_HIDDEN"]);
    // The foot of everybody's mail says nothing, for or against.
    check(
        named,
        &["https://www.youtube.com/blue", "https://www.instagram.com/blue"],
        &[],
        ELSEWHERE,
    );
    check(named, &[far, "https://www.youtube.com/blue"], UNSIGNED, &[]);
    // Who signed it, takes its bounces or its unsubscriptions.
    let of_named = |field: &str| format!("{named}{field}\r\n");
    check(
        &of_named("DKIM-Signature: v=1; d=other-house.com; s=a; bh=YQ==; b=YQ=="),
        &[far],
        &[],
        ELSEWHERE,
    );
    check(&of_named("List-Unsubscribe: <https://u.other-house.com/1>"), &[far], &[], ELSEWHERE);
    check(&of_named("Return-Path: <b-1@bounce.other-house.com>"), &[far], &[], ELSEWHERE);
    assert!(!signs_from(Some("b@other-house.com"), named, &[far]).contains(&ELSEWHERE[0].into()));
    check(&signed("blueshop-ltd.com"), &[far], &[], &["LINKS_ELSEWHERE_UNSIGNED"]);
    // A service that counts clicks for others.
    check(named, &["https://u1.ct.sendgrid.net/ls/click?upn=1"], &[], ELSEWHERE);
}

#[test]
fn short_addresses_and_files_hide_where_links_lead_and_people_may_link_to_anything() {
    let named = "From: Blue Shop <news@blueshop-ltd.com>\r\nSubject: New in\r\n";
    let hidden = ["https://bit.ly/a", "https://storage.googleapis.com/b/c.html"];
    check(named, &hidden, &["LINKS_ELSEWHERE", "LINKS_ALL_HIDDEN"], &[]);
    check(
        named,
        &["https://bit.ly/a", "https://www.other-house.com/x"],
        ELSEWHERE,
        &["LINKS_ALL_HIDDEN"],
    );
    // The search engine's mirror is followed.
    check(named, &["https://www.google.co.uk/amp/s/other-house.com/x"], ELSEWHERE, &[]);
    let far = ["https://www.other-house.com/x"];
    check("From: taro@gmail.com\r\nSubject: look\r\n", &far, &[], ELSEWHERE);
    let answer = "In-Reply-To: <0@x.example>\r\n";
    check(&format!("{named}{answer}").replace("New in", "Re: New in"), &far, &[], ELSEWHERE);
    // The field alone is easily written.
    check(&format!("{named}{answer}"), &far, ELSEWHERE, &[]);
    check(&format!("{named}List-Post: <mailto:l@lists.example>\r\n"), &far, &[], ELSEWHERE);
    check(&format!("{named}List-Id: <l.lists.example>\r\n"), &far, ELSEWHERE, &[]);
}

#[test]
fn a_brands_address_alone_does_not_make_a_mail_the_brands() {
    let far = ["https://www.other-house.com/x"];
    let unsigned = |fields: &str, links: &[&str]| {
        let raw = mail(fields, links);
        let view = View::build(raw.as_bytes(), &ViewLimits::worker());
        look_whole(&view, &no_tables()).facts.sender.brand_unsigned
    };
    let paypal = "From: PayPal <service@paypal.com>\r\nSubject: Notice\r\n";
    assert!(unsigned(paypal, &far));
    assert!(!unsigned(paypal, &["https://www.paypal.com/x"]) && !unsigned(paypal, &[]));
    let signed = format!("{paypal}DKIM-Signature: v=1; d=paypal.com; s=a; bh=YQ==; b=YQ==\r\n");
    assert!(!unsigned(&signed, &far));
    // A field that nobody can verify is none.
    assert!(unsigned(&signed.replace("bh=YQ==", "bh="), &far));
    check(&signed, &far, &[], ELSEWHERE);
    assert!(!unsigned("From: A <a@school.pr.gov.br>\r\nSubject: x\r\n", &far));
    // The name is read of the whole field: mailers show what is before the comma.
    let split = "From: PayPal Support, x <a@other-house.com>\r\nSubject: x\r\n";
    check(split, &far, &["BRAND_NAME_FOREIGN", "BRAND_LINKS_ELSEWHERE"], &[]);
    let joined = "From: Home_Depot.Rewards <a@other-house.com>\r\nSubject: x\r\n";
    check(joined, &far, &["BRAND_NAME_FOREIGN"], &[]);
}

#[test]
fn authors_as_kits_write_them() {
    let own = ["https://www.blueshop-ltd.com/new"];
    let with = |from: &str| format!("From: {from}\r\nSubject: New in\r\n");
    for (from, sign) in [
        ("\"Facebook\" <>", "AUTHOR_NO_ADDRESS"),
        ("Correios <aviso1@correios>", "AUTHOR_NO_DOMAIN"),
        ("Blue Shop <news@blueshop-ltd.com >", "AUTHOR_ADDRESS_SPACE"),
        ("Blue Shop ,_ <news@blueshop-ltd.com>", "AUTHOR_NAME_TAIL"),
        ("Blue Shop,(<news@blueshop-ltd.com>)", "AUTHOR_NAME_TAIL"),
        ("Blue <join_now_65103@blueshop-ltd.com>", "AUTHOR_NUMBERED"),
        ("taro <news@blueshop-ltd.com>", "AUTHOR_NAME_IS_RECIPIENT"),
        ("taro@corp.example <news@blueshop-ltd.com>", "AUTHOR_NAME_IS_RECIPIENT"),
        ("Blue <news@blue-4711.web.app>", "AUTHOR_FREE_HOSTING"),
        ("=?utf-8?q?B=CD=8Fl=CD=8Fu=CD=8Fe?= <news@blueshop-ltd.com>", "AUTHOR_LETTERS_DISGUISED"),
    ] {
        check(&with(from), &own, &[sign], &[]);
    }
    let all = [
        "AUTHOR_NO_DOMAIN",
        "AUTHOR_NO_ADDRESS",
        "AUTHOR_ADDRESS_SPACE",
        "AUTHOR_NAME_TAIL",
        "AUTHOR_NUMBERED",
        "AUTHOR_NAME_IS_RECIPIENT",
        "AUTHOR_LETTERS_DISGUISED",
        "FIELD_TWICE",
        "SENT_BY_SCRIPT",
        "NO_REVERSE_PATH",
        "SUBJECT_ANSWERS_NOTHING",
    ];
    for from in [
        "Blue Shop <news@blueshop-ltd.com>",
        "\"Blue Shop, Inc.\" <news@blueshop-ltd.com>",
        "news@blueshop-ltd.com (Blue Shop)",
        "Blue <blue2026@blueshop-ltd.com>",
        "taro yamada <taro@blueshop-ltd.com>",
        "taro <taro@corp.example>",
        "=?utf-8?q?Nguy=E1=BB=85n?= <news@blueshop-ltd.com>",
        "Mail Delivery System <MAILER-DAEMON>",
        "<taro1974@gmail.com>",
    ] {
        check(&with(from), &own, &[], &all);
    }
}

#[test]
fn fields_that_kits_and_scripts_leave() {
    let own = ["https://www.blueshop-ltd.com/new"];
    let named = "From: Blue Shop <news@blueshop-ltd.com>\r\nSubject: New in\r\n";
    check(&format!("{named}List-Id: <a>\r\nList-Id: <b>\r\n"), &own, &["FIELD_TWICE"], &[]);
    check(&named.replace("New in", "RE: New in"), &own, &["SUBJECT_ANSWERS_NOTHING"], &[]);
    check(&named.replace("New in", "for taro@corp.example"), &own, &["SUBJECT_HAS_RECIPIENT"], &[]);
    let root = "Received: by web7.example (Postfix, from userid 0)\r\n\tid 1; Fri, 27 Nov 2026 10:00:00 +0000\r\n";
    check(&format!("{root}{named}"), &own, &["SENT_BY_SCRIPT"], &[]);
    let has = |envelope: Option<&str>, sign: &str| {
        signs_from(envelope, named, &own).iter().any(|rule| rule == sign)
    };
    assert!(has(Some("www-data@web7.example"), "SENT_BY_SCRIPT"));
    assert!(has(Some(""), "NO_REVERSE_PATH") && !has(None, "NO_REVERSE_PATH"));
    assert!(!has(Some("news@blueshop-ltd.com"), "NO_REVERSE_PATH"));
    let hidden = "From: Jo <jo@other-house.com>\r\nReply-To: jo17@gmail.com\r\nSubject: x\r\n";
    let raw = format!("{hidden}To: undisclosed-recipients:;\r\n\r\nHello\r\n");
    let view = View::build(raw.as_bytes(), &ViewLimits::worker());
    let seen = look_whole(&view, &no_tables());
    assert!(seen.findings.iter().any(|found| &*found.rule == "REPLY_TO_FREE_MAIL_HIDDEN"));
    // A form on a site, filled in by a customer.
    let form = hidden.replace("jo@other-house.com", "taro@corp.example");
    check(&form, &[], &[], &["REPLY_TO_FREE_MAIL", "REPLY_TO_FREE_MAIL_HIDDEN"]);
    let hides = |raw: &str| {
        let raw = format!("{raw}To: taro@corp.example\r\n\r\nHello\r\n");
        let view = View::build(raw.as_bytes(), &ViewLimits::worker());
        look_whole(&view, &no_tables()).facts.sender.hidden_recipients
    };
    assert!(hides(&form) && !hides(hidden));
    let twice = |reply: &str| format!("From: <j.smith@gmail.com>\r\nReply-To: {reply}\r\n");
    for same in ["jsmith@gmail.com", "j.smith+1@googlemail.com"] {
        check(&twice(same), &own, &[], &["REPLY_TO_OTHER_FREE_MAIL"]);
    }
    check(&twice("jsmith@yahoo.com"), &own, &["REPLY_TO_OTHER_FREE_MAIL"], &[]);
}

#[test]
fn a_from_field_of_64_kib_takes_no_time() {
    let name = "ana ".repeat(16_000);
    let raw =
        format!("From: {name} カ一 <a@{}b.example>\r\nSubject: x\r\n\r\nx\r\n", "a.".repeat(100));
    let view = View::build(raw.as_bytes(), &ViewLimits::worker());
    let seen = look_whole(&view, &no_tables());
    let name = seen.findings.iter().find(|found| &*found.rule == "BRAND_NAME_WEAK");
    assert!(name.is_some_and(|found| found.detail.contains("ana")));
}

/// Signs of mass mail of any decade: what it calls its reader, how its author and its subject are written.
#[test]
fn tm_08_mass_mail_is_told_by_how_it_is_written() {
    let far = ["https://www.other-house.com/x"];
    let named = "From: Blue Shop <news@blueshop-ltd.com>\r\nSubject: New in\r\n";
    let subject = |subject: &str| named.replace("New in", subject);
    let bulk = "Precedence: bulk\r\n";
    // In the reader's own name.
    let own = "From: taro@corp.example\r\nSubject: Report\r\n";
    check(own, &far, &["AUTHOR_IS_RECIPIENT", "AUTHOR_IS_RECIPIENT_PAGE"], &[]);
    for harmless in [
        format!("{own}DKIM-Signature: v=1; d=corp.example; s=a; bh=YQ==; b=YQ==\r\n"),
        own.replace("taro@", "hanako@"),
    ] {
        check(&harmless, &far, &[], &["AUTHOR_IS_RECIPIENT_PAGE"]);
    }
    check(own, &["https://files.corp.example/1"], &[], &["AUTHOR_IS_RECIPIENT_PAGE"]);
    check(&subject("Taro, 80% off"), &far, &["SUBJECT_HAS_MAILBOX"], &[]);
    check(&subject("Tarot, 80% off"), &far, &[], &["SUBJECT_HAS_MAILBOX"]);
    let asked = format!("{}List-Unsubscribe: <https://u.example/1>\r\n", subject("Taro, 80% off"));
    check(&asked, &far, &[], &["SUBJECT_HAS_MAILBOX"]);
    // A mark that tells copies apart; capitals; urgency.
    check(&subject("Lowest rates                 edhhnjt"), &far, &["SUBJECT_TAIL"], &[]);
    let japanese = "【UNIQLO ONLINE】感謝祭のご案内、会員の皆さまへ";
    check(&subject(japanese), &far, &[], &["SUBJECT_CAPITALS"]);
    for plain in ["Lowest rates", "Figures  of May", "Record broken        (w/pic)"] {
        check(&subject(plain), &far, &[], &["SUBJECT_TAIL", "SUBJECT_CAPITALS"]);
    }
    check(&subject("LOWEST RATES TODAY"), &far, &["SUBJECT_CAPITALS"], &[]);
    check(&format!("{named}X-Priority: 1 (Highest)\r\n"), &far, &["PRIORITY_HIGH"], &[]);
    check(
        &format!("{named}X-Priority: 3\r\nImportance: normal\r\n"),
        &far,
        &[],
        &["PRIORITY_HIGH"],
    );
    // A mailer that is not the one it says.
    let express = format!("{named}X-Mailer: Microsoft Outlook Express 6.00.2600.0000\r\n");
    check(&express, &far, &["MAILER_FORGED"], &[]);
    check(&format!("{express}X-MimeOLE: Produced By\r\n"), &far, &[], &["MAILER_FORGED"]);
    check(&express.replace("Express 6", "Express Macintosh 6"), &far, &[], &["MAILER_FORGED"]);
    // Bulk mail of a private mailbox.
    let free = "From: Jo <jo@gmail.com>\r\nSubject: New in\r\n";
    check(&format!("{free}{bulk}"), &far, &["FREE_MAIL_BULK"], &["LINKS_ELSEWHERE"]);
    check(free, &far, &[], &["FREE_MAIL_BULK", "AUTHOR_SCRAMBLED"]);
    check(&format!("{free}{bulk}"), &["https://mail.gmail.com/1"], &[], &["FREE_MAIL_BULK"]);
    check(&free.replace("jo@", "we9boig3l9689@"), &far, &["AUTHOR_SCRAMBLED"], &[]);
    for chosen in ["jo1984@", "haru0401yuki0815@"] {
        check(&free.replace("jo@", chosen), &far, &[], &["AUTHOR_SCRAMBLED"]);
    }
    // A signature with links and pictures is no bulk mail.
    let page: String =
        (0..9).map(|_| "<a href=\"https://x.example/\"><img src=\"b\"></a>").collect();
    let raw = format!(
        "{free}To: taro@corp.example\r\nContent-Type: text/html\r\n\r\n<p>The old pipes need to be removed.</p>{page}"
    );
    let view = View::build(raw.as_bytes(), &ViewLimits::worker());
    let seen = look_whole(&view, &no_tables());
    assert!(seen.findings.iter().all(|found| &*found.rule != "FREE_MAIL_BULK"));
    for (name, sign) in [
        ("Blue      JF183", "AUTHOR_NAME_GAP"),
        ("Blue \u{1F381} Shop", "AUTHOR_NAME_EMOJI"),
        (".. Blue Shop", "AUTHOR_NAME_TAIL"),
    ] {
        check(&named.replace("Blue Shop", name), &far, &[sign], &[]);
    }
    for name in [
        "【公式】Blue",
        "★Blue★",
        "\"Blue\" Shop",
        "Blue  Shop",
        ".BLUE Foundation",
        "-お知らせ-",
        "*** 自動送信 ***",
        "Blue House of the\r\n\tlong name",
    ] {
        let signs = ["AUTHOR_NAME_GAP", "AUTHOR_NAME_EMOJI", "AUTHOR_NAME_TAIL"];
        check(&named.replace("Blue Shop", name), &far, &[], &signs);
    }
}

#[test]
fn a_report_of_a_mail_server_has_no_author_and_may_have_links() {
    let report = "From: <>\r\nSubject: x\r\nTo: a@corp.example\r\n\r\nsee https://mx.example/1\r\n";
    let signs = |raw: &str| {
        let view = View::build(raw.as_bytes(), &ViewLimits::worker());
        let seen = look_whole(&view, &no_tables());
        seen.findings.iter().any(|found| &*found.rule == "AUTHOR_NO_ADDRESS")
    };
    assert!(!signs(report) && signs(&report.replace("<>", "Facebook <>")));
}

#[test]
fn tm_08_a_free_mailbox_that_hides_whom_it_writes_to() {
    let found = |to: &str| {
        let raw =
            format!("From: Jo <jo@gmail.com>\r\nSubject: x\r\n{to}\r\nHello, how are you\r\n");
        let view = View::build(raw.as_bytes(), &ViewLimits::worker());
        let seen = look_whole(&view, &no_tables());
        seen.findings.iter().any(|found| &*found.rule == "FREE_MAIL_TO_NOBODY")
    };
    assert!(found("") && found("To: undisclosed-recipients:;\r\n"));
    assert!(!found("To: taro@corp.example\r\n") && !found("Cc: taro@corp.example\r\n"));
}
