use super::judge::{Models, findings};
use super::{Features, FitOptions, Model, Reading, Sample, base, features_with_texts, fit};
use crate::message::{View, ViewLimits};
use crate::policy::{Profile, preset};

fn view(text: &str) -> Features {
    Features::of(&View::build(text.as_bytes(), &ViewLimits::shard()))
}

/// A mail of a small language: `words` name its topic, `number` makes it one of many.
fn mail(author: &str, words: &[&str], number: u64) -> Features {
    let mut body = String::new();
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for _ in 0..60 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(state >> 40).unwrap_or(0);
        body.push_str(words[at % words.len()]);
        body.push_str(if at.is_multiple_of(7) { ".\n" } else { " " });
        if at.is_multiple_of(3) {
            body.push_str(&format!("w{} ", "abcdefghij".chars().nth(at % 10).unwrap_or('a')));
        }
    }
    view(&format!("From: A B <a@{author}>\nSubject: {}\n\n{body}\n", words[0]))
}

const SPAM: &[&str] =
    &["winner", "prize", "claim", "lottery", "urgent", "transfer", "million", "click"];
const HAM: &[&str] =
    &["meeting", "report", "agenda", "minutes", "review", "patch", "compile", "lunch"];

fn corpus(count: u64) -> Vec<(bool, Features)> {
    let spam = (0..count).map(|number| (true, mail("spam.example", SPAM, number)));
    spam.chain((0..count).map(|number| (false, mail("work.example", HAM, number + 1000)))).collect()
}

fn model_of(mails: &[(bool, Features)]) -> Vec<u8> {
    let samples: Vec<Sample<'_>> = mails
        .iter()
        .map(|(spam, mail)| Sample { spam: *spam, author: mail.author, features: &mail.list })
        .collect();
    fit(&samples, FitOptions::default())
}

fn points(features: &Features, models: &Models<'_>) -> i32 {
    findings(features, models, 3_000).iter().map(|finding| finding.points).sum()
}

#[test]
fn the_same_samples_in_any_order_give_the_same_octets() {
    let mails = corpus(60);
    let mut other = mails.clone();
    other.reverse();
    other.swap(3, 70);
    assert_eq!(model_of(&mails), model_of(&other));
    assert_ne!(model_of(&mails), model_of(&mails[1..]));
}

#[test]
fn a_model_tells_what_it_was_taught_and_says_why() {
    let octets = model_of(&corpus(200));
    let model = Model::open(&octets).unwrap();
    assert_eq!((model.spam, model.ham), (200, 200));
    let models = Models { domain: Some(model), ..Models::default() };
    let (spam, ham) = (mail("new.example", SPAM, 9_999), mail("other.example", HAM, 8_888));
    assert!(points(&spam, &models) >= 5_000, "{:?}", findings(&spam, &models, 3_000));
    assert!(points(&ham, &models) <= -1_000, "{:?}", findings(&ham, &models, 3_000));
    let text =
        "From: x@new.example\nSubject: winner\n\nclaim the prize now, winner of the lottery\n";
    let texts = features_with_texts(&View::build(text.as_bytes(), &ViewLimits::shard()));
    let strongest = model.strongest(&texts, 5);
    assert!(
        strongest.iter().any(|(word, share)| word.contains("winner") && *share > 0),
        "{strongest:?}"
    );
    let numbers: Vec<u32> = texts.iter().map(|(feature, _)| *feature).collect();
    assert_eq!(numbers, view(text).list, "explaining sees the same features as judging");
}

#[test]
fn few_samples_have_no_say_and_half_of_them_half_of_it() {
    let few = model_of(&corpus(49));
    let half = model_of(&corpus(100));
    let full = model_of(&corpus(200));
    let spam = mail("new.example", SPAM, 9_999);
    let of = |octets: &[u8]| {
        let models = Models { domain: Model::open(octets), ..Models::default() };
        points(&spam, &models)
    };
    assert_eq!(of(&few), 0);
    assert!(0 < of(&half) && of(&half) < of(&full), "{} {}", of(&half), of(&full));
}

#[test]
fn sm_30_and_sm_31_one_report_counts_for_the_next_similar_mail() {
    let reported = mail("shop.example", SPAM, 1);
    for (spam, wanted) in [(true, 5_000), (false, -6_000)] {
        let octets = model_of(&[(spam, reported.clone())]);
        let models = Models { domain: Model::open(&octets), ..Models::default() };
        assert_eq!(points(&reported, &models), wanted);
        assert_eq!(points(&mail("work.example", HAM, 5), &models), 0, "another mail is left alone");
    }
}

#[test]
fn a_released_mail_speaks_only_for_mails_of_its_own_author() {
    let text = |author: &str| {
        let words: String =
            (0..200).map(|number| format!("word{} ", char::from(b'a' + number % 26))).collect();
        let long: String = "abcdefghijklmnopqrstuvwxyz"
            .chars()
            .map(|c| format!("topic{c} of{c} the{c} day{c} "))
            .collect();
        view(&format!("From: News <n@{author}>\nSubject: news of the day\n\n{words}{long}\n"))
    };
    let octets = model_of(&[(false, text("news.example"))]);
    let models = Models { domain: Model::open(&octets), ..Models::default() };
    assert!(points(&text("news.example"), &models) < 0);
    assert_eq!(points(&text("copycat.example"), &models), 0);
    let octets = model_of(&[(true, text("news.example"))]);
    let models = Models { domain: Model::open(&octets), ..Models::default() };
    assert!(points(&text("copycat.example"), &models) > 0, "spam is spam whoever sends it");
}

#[test]
fn the_shipped_model_alone_never_reaches_the_threshold_of_any_profile() {
    let base = base().expect("a shipped model");
    let models = Models { base: Some(base), ..Models::default() };
    let loud = "From: WINNER <w@free-money.example>\nSubject: FREE MONEY!!! $$$ click here\n\n\
        CLICK HERE to remove, viagra, free money, guaranteed, credit card, mortgage rates, make money fast,\n\
        this is not spam, click below, order now, 100% free, lose weight, toner, investment, opt-in\n"
        .repeat(3);
    let said = points(&view(&loud), &models);
    for profile in [
        Profile::IijSecureMx,
        Profile::Securemail,
        Profile::ItscomSpamScan,
        Profile::NttMailSecurity,
        Profile::Tmems,
    ] {
        let suspect = preset(profile).weights.suspect_points;
        let all: i32 = findings(&view(&loud), &models, suspect).iter().map(|one| one.points).sum();
        assert!(all < suspect, "{profile:?}: {all} of {suspect}");
    }
    assert!(said > 0, "it does say something about spam: {said}");
    let signed = points(&Features { signed: true, ..view(&loud) }, &models);
    assert!(signed < said, "less about what somebody signed: {signed} of {said}");
    // However low a domain sets its threshold.
    let all: i32 = findings(&view(&loud), &models, 500).iter().map(|one| one.points).sum();
    assert!(all < 500, "{all}");
}

#[test]
fn the_shipped_model_is_silent_about_japanese() {
    let models = Models { base: base(), ..Models::default() };
    for text in [
        "From: a@example.jp\nSubject: =?utf-8?B?44GU5b2T6YG444GK44KB44Gn44Go44GG?=\n\nFREE MONEY click here\n",
        "From: a@example.jp\nSubject: x\nContent-Type: text/plain; charset=utf-8\n\n無料 click here free money 今すぐ\n",
        "From: a@example.jp\nSubject: x\nContent-Type: text/plain; charset=iso-2022-jp\n\nfree money click here\n",
    ] {
        assert!(view(text).japanese, "{text}");
        assert_eq!(points(&view(text), &models), 0, "{text}");
    }
    assert!(
        !view("From: a@example.com\nSubject: caf\u{e9}\n\nna\u{ef}ve r\u{e9}sum\u{e9}\n").japanese
    );
}

#[test]
fn a_domain_that_trained_enough_speaks_about_japanese() {
    let text = |topic: &str, number: usize| {
        let body: String = (0..40)
            .map(|at| {
                topic.chars().cycle().skip(at * 3 + number % 5).take(6 + at % 3).collect::<String>()
                    + "。\n"
            })
            .collect();
        view(&format!(
            "From: a@example.jp\nSubject: {topic}\nContent-Type: text/plain; charset=utf-8\n\n{body} n{number}\n"
        ))
    };
    let (spam, ham) = (
        "当選おめでとうございます今すぐ賞金を受け取る",
        "会議の議事録を共有しますので確認してください",
    );
    let mut mails = Vec::new();
    for number in 0..200 {
        mails.push((true, text(spam, number)));
        mails.push((false, text(ham, number)));
    }
    let octets = model_of(&mails);
    let models = Models { domain: Model::open(&octets), base: base(), ..Models::default() };
    assert!(points(&text("当選おめでとう賞金を今すぐ", 900), &models) > 3_000);
    assert!(points(&text("会議の議事録を確認", 901), &models) < 0);
}

#[test]
fn what_the_way_of_a_mail_wrote_is_no_feature() {
    let plain = "From: a@example.com\nSubject: hello\nMessage-ID: <1@example.com>\n\nsome words of a mail\n";
    let traced = format!(
        "Return-Path: <x@y.example>\nDelivered-To: me@here.example\nReceived: from a by b; Mon, 1 Jan 2024\n\
         X-Spam-Status: Yes, score=99\nX-Sekisho-Class: Spam\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\
         List-Id: <l.example>\nStatus: RO\n{plain}"
    );
    assert_eq!(view(plain), view(&traced));
    assert_eq!(view(plain).id(), view(&traced).id());
    let boxed = format!("From a@example.com Mon Jan  1 00:00:00 2024\n{plain}");
    assert_eq!(view(plain), view(&boxed));
}

#[test]
fn features_cross_the_wire_unchanged_and_nothing_else_is_taken_for_them() {
    let features = mail("a.example", HAM, 3);
    let text = serde_json::to_string(&features).unwrap();
    assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), features);
    for wrong in ["\"\"", "\"AAAA\"", "\"!\"", "\"AAAAAAAAAAACAAAAAQAAAA==\""] {
        assert!(serde_json::from_str::<Features>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn octets_that_are_no_model_are_none_and_cut_ones_neither() {
    let octets = model_of(&corpus(3));
    assert!(Model::open(&octets).is_some());
    for end in [0, 7, 39, 40, octets.len() - 1] {
        assert!(Model::open(&octets[..end]).is_none(), "{end}");
    }
    let mut longer = octets.clone();
    longer.push(0);
    assert!(Model::open(&longer).is_none());
}

#[test]
fn a_mail_of_any_size_has_a_bounded_number_of_features() {
    let words: String = (0..200_000)
        .map(|number| {
            format!("x{}y ", char::from(b'a' + (number % 26) as u8).to_string().repeat(number % 20))
        })
        .collect();
    let features = view(&format!("From: a@b.example\nSubject: s\n\n{words}"));
    assert!(features.list.len() <= super::FEATURES_MAX);
    let grams: String = (0x4E00..0x9000).filter_map(char::from_u32).collect();
    let text = format!("From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n{grams}");
    assert!(view(&text).list.len() <= super::FEATURES_MAX);
    assert!(view("").list.len() < 50);
}

/// Models that a site trained, and the shipped one, hold numbers of features: a mail must have the same ones after an
/// upgrade. Who changes them on purpose fits the shipped model anew and raises the version of the table.
#[test]
fn features_keep_their_numbers() {
    let text = "From: \"T. Sender\" <t.sender@mail.example.org>\r\nTo: a@example.com, b@example.com\r\n\
        Subject: =?utf-8?B?44GK55+l44KJ44Gb?= RE: 50% OFF!!\r\nMessage-ID: <AB12-cd.34@other.example>\r\n\
        Reply-To: x@elsewhere.example\r\nX-Mailer: The Bat! (v1.52f)\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"----=_Part_01\"\r\n\r\n------=_Part_01\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nDon't miss 'it', $100 for a-b-c! \
        Donaudampfschifffahrtsgesellschaftskapit\u{e4}n \u{c9}t\u{e9} \u{304b}\u{306a}\u{6f22}\u{5b57}\u{3002}\u{30ab}\u{30ca}\r\n\
        ------=_Part_01\r\nContent-Type: text/html\r\n\r\n<p ALIGN=center>See <a href=\"http://u@www.example.net:8080/p/Q12?r=7\">\
        <font color='#FF0000'>here</font></a><span style=\"display:none\">hidden</span></p>\r\n------=_Part_01--\r\n";
    let view = View::build(text.as_bytes(), &ViewLimits::shard());
    let (whole, shipped) = (Features::of(&view), Features::read(&view, Reading::Shipped));
    let hex = |features: &Features| -> String {
        features.id().iter().map(|octet| format!("{octet:02x}")).collect()
    };
    assert!(whole.japanese && shipped.japanese && shipped.is_empty());
    assert_eq!(Features::read(&view, Reading::Nothing), Features::default());
    assert_eq!((whole.list.len(), hex(&whole).as_str()), (347, "ab5c2d4fbf1bd1192d66e383d4dc813e"));
}

#[test]
fn the_shipped_model_alone_is_given_the_beginning_of_a_text() {
    let text = format!("Subject: x\n\n{}", "one two three four five\n".repeat(10));
    let letter = |number: u32| char::from_u32(97 + number % 26).unwrap();
    let words = (0..2_000).map(|n| format!("{}{}{} ", letter(n), letter(n / 26), letter(n / 676)));
    let long = format!("{text}{}", words.collect::<String>());
    let read = |text: &str, reading| {
        Features::read(&View::build(text.as_bytes(), &ViewLimits::shard()), reading)
    };
    let mut whole = read(&text, Reading::Whole);
    let all = whole.list.len();
    whole.list.retain(|feature| super::model::class(*feature) != super::model::RELATIONS);
    assert!(whole.list.len() < all, "how the pieces fit is for models that were trained");
    assert_eq!(read(&text, Reading::Shipped), whole);
    let (part, all) = (read(&long, Reading::Shipped), read(&long, Reading::Whole));
    assert!(!part.is_empty() && part.list.len() < all.list.len());
}

/// What `fits:` features a mail has.
fn relations(text: &str) -> Vec<String> {
    let view = View::build(text.as_bytes(), &ViewLimits::shard());
    let texts = features_with_texts(&view);
    let numbers: Vec<u32> = texts.iter().map(|(feature, _)| *feature).collect();
    assert_eq!(numbers, Features::of(&view).list, "explaining sees the same features as judging");
    let found = texts.into_iter().filter_map(|(_, text)| Some(text.strip_prefix("fits:")?.into()));
    let mut found: Vec<String> = found.collect();
    found.sort();
    found
}

fn has(found: &[String], wanted: &[&str]) {
    for one in wanted {
        assert!(found.iter().any(|found| found == one), "{one} is not in {found:?}");
    }
}

#[test]
fn what_a_company_sends_its_customers_fits_together() {
    let found = relations(
        "From: \"Fabrikam News\" <news@mail.fabrikam.example>\nTo: a@b.example\n\
         Message-ID: <1.2@mta.fabrikam.example>\nDate: Tue, 1 Oct 2019 10:00:00 +0200\n\
         Subject: Your printer needs paper\nContent-Type: text/html\n\n\
         <p>Dear reader, Fabrikam has paper for your printer.</p>\
         <a href=\"https://www.fabrikam.example/paper\"><img src=\"//img.fabrikam.example/1.png\">\
         Order</a> or write to paper@fabrikam.example\n",
    );
    has(
        &found,
        &[
            "name in domain yes",
            "name in text yes",
            "domain in text yes",
            "links to the author all",
            "link like the author yes",
            "pictures linked",
            "message-id linked yes author's yes",
            "addresses own",
            "subject in text 2",
            "answer no refers no",
        ],
    );
}

#[test]
fn what_a_stranger_sends_in_its_name_does_not() {
    let found = relations(
        "From: \"Fabrikam\" <x81@mail.adatum.example>\nTo: a@b.example\nReply-To: <me@contoso.example>\n\
         Date: Tue, 1 Oct 2019 10:00:00 -1900\nSubject: Re: account   xkcdqwrt\n\
         Content-Type: text/html\n\n<p>Dear customer, <a href=\"http://litware.example/1\">log in</a>\
         <img src=\"http://www.fabrikam.example/logo.png\"> or write to help@litware.example</p>\n",
    );
    has(
        &found,
        &[
            "name in domain no",
            "name in address no",
            "name in text no",
            "domain in text no",
            "links to the author no",
            "answers linked no",
            "pictures elsewhere",
            "addresses elsewhere",
            "answer yes refers no",
            "subject with a tail yes",
        ],
    );
}

#[test]
fn relations_of_a_mail_are_few_whatever_it_is() {
    let mut text = String::from("Subject: x\n\n");
    for number in 0..4000 {
        text.push_str(&format!(
            "a{number}@b{number}.example http://h{number}.example/ w{number}x{number}\n"
        ));
    }
    let found = relations(&text);
    has(&found, &["no name", "links to the author no", "addresses elsewhere"]);
    assert!(found.len() <= 24, "{found:?}");
}

#[test]
fn samples_of_another_numbering_are_none() {
    let text = |feature: u32| String::from(Features { list: vec![feature], ..Features::default() });
    assert_eq!(Features::try_from(text(8 + 4)).unwrap().list, [12]);
    Features::try_from(text(8 + 5)).unwrap_err();
}

/// A model that was taught the mail of one time and place has no say about mail that is written wholly otherwise, and its
/// whole say about what is written as its samples are.
#[test]
fn a_model_speaks_of_what_is_like_its_samples() {
    let text = |mailer: &str, number: u64, words: &str| {
        view(&format!(
            "From: A B <a{number}@list.example>\nTo: us@here.example\nSubject: {words}\n\
             Message-ID: <{number}.x@list.example>\n{mailer}\n\n{words} {words} n{number}\n"
        ))
    };
    let old = "X-Mailer: Pine 4.44\nMIME-Version: 1.0\nContent-Type: TEXT/PLAIN; charset=US-ASCII";
    let new = "Feedback-ID: 4711:campaign:esp\nX-Entity-ID: Zq8==\nX-CSA-Complaints: csa@eco.example\n\
        List-Unsubscribe-Post: List-Unsubscribe=One-Click\nX-SG-EID: u001.abcDEF\nMime-Version: 1.0\n\
        Content-Type: text/html; charset=\"utf-8\"\nX-Job: 12345_6789\nX-Report-Abuse-To: abuse@esp.example";
    let mut mails = Vec::new();
    for number in 0..200 {
        mails.push((true, text(old, number, "claim your prize winner")));
        mails.push((false, text(old, number + 500, "agenda of the meeting")));
    }
    let octets = model_of(&mails);
    let model = Model::open(&octets).unwrap();
    let like = model.say(&text(old, 900, "claim your prize winner").list);
    let unlike = model.say(&text(new, 901, "claim your prize winner").list);
    assert_eq!(like.familiar, 1000);
    assert!(unlike.familiar < 500 && unlike.score > 0, "{unlike:?}");
    let models = Models { gateway: Some(model), ..Models::default() };
    let said = |mail: &Features| findings(mail, &models, 3_000);
    let (old, new) =
        (text(old, 902, "claim your prize winner"), text(new, 903, "claim your prize winner"));
    let points = |mail: &Features| said(mail).iter().map(|one| one.points).sum::<i32>();
    assert!(points(&new) * 2 < points(&old), "{} and {}", points(&new), points(&old));
    // A mail of hardly any fields gives nothing to compare.
    assert_eq!(model.say(&view("\n\nclaim your prize winner\n").list).familiar, 1000);
}
